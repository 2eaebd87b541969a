"""What reading costs beside moving rows: sessions, first bytes, projections, filters, previews.

``python -m benchmarks.reads``; see README.md here.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from rich import box
from rich.table import Table

from benchmarks.contest import Call, Case, Line, Turn, run, summary, timed
from benchmarks.report import report
from benchmarks.tables import BenchTable, large, many_files, many_partitions, wide
from maxlake.protocol.enums import SplitMode
from maxlake.protocol.messages import read as messages
from maxlake.protocol.messages.read import PreviewRequest, ReadAddress, ReadRowsRequest
from maxlake.service import rows
from maxlake.service.service import Service
from maxlake.storage_api_v2 import SplitOptions, StorageApiArrowClient
from maxlake.testing import LocalServer, local_server

PROJECT = "demo"
GROUPS = SESSION, COLD, FIRST, SCAN, PREVIEW = "session", "cold", "first batch", "scan", "preview"
#: Contenders: through our server and client, the same calls without HTTP, and pyarrow on the same files.
HTTP, SERVICE, DATASET, PARQUET = "maxlake", "service", "pyarrow.dataset", "pyarrow.parquet"
FILE_COUNTS = (10, 1_000, 10_000)
#: Rows of the batches asked for.
BATCH_ROWS = 16_384
#: Threads and splits of a scan.
STREAMS = (1, 2)
THREE = ["l_orderkey", "l_extendedprice", "l_shipdate"]
#: Of l_partkey, which is spread evenly over 200,000 values everywhere: 0.1 % of the rows.
SCATTERED = 200
LATE = 0.95
PREVIEW_LIMITS = (10, 1000)
#: First calls after a start of the server, at most: each costs a start.
COLD_STARTS = 2


@dataclass(frozen=True)
class Site:
    """A server, and its tables also at hand without it."""

    server: LocalServer
    many: dict[str, BenchTable]
    large: BenchTable
    wide: BenchTable

    def client(self, table: BenchTable) -> StorageApiArrowClient:
        """Return a client that knows its endpoint already."""
        odps = self.server.odps()
        client = StorageApiArrowClient(odps, odps.get_table(table.name))
        _ = client.tunnel_rest.endpoint
        return client


def built(root: Path, row_count: int, seed: int) -> tuple[Service, dict[str, Any]]:
    """Write all tables below ``root``; the service stays open, for the calls without HTTP."""
    service = Service.open(root, project=PROJECT)
    project = service.project(PROJECT)
    many: dict[str, BenchTable] = {}
    for files in FILE_COUNTS:
        many[f"{files:,} files"] = many_files(project, f"files_{files}", files, seed)
        many[f"{files:,} files, 2 keys"] = many_partitions(project, f"parts_{files}", files, seed)
    return service, {
        "many": many,
        "large": large(project, "lineitem", row_count, 4, seed),
        "wide": wide(project, "wide", 500, 40_000, seed),
    }


def predicates(table: BenchTable) -> Iterator[tuple[str, str]]:
    yield "", ""
    yield ", 1 %", table.predicate


def session_cases(site: Site) -> Iterator[Case]:
    """Creating read sessions. The peer finds the files by listing directories, and prunes by their names."""
    for label, table in site.many.items():
        client = site.client(table)
        for what, predicate in predicates(table):
            contenders = {
                HTTP: timed(lambda c=client, p=predicate: c.create_read_session(filter_predicate=p)),
                SERVICE: timed(lambda t=table, p=predicate: t.create_session(filter_predicate=p)),
            }
            if table.table.partition_keys or not predicate:
                contenders[DATASET] = timed(lambda t=table, p=predicate: fragments(t, p))
            yield Case(SESSION, label + what, 10, contenders)


def fragments(table: BenchTable, predicate: str) -> list[Any]:
    keys = pa.schema([(key, pa.string()) for key in table.table.partition_keys])
    found = ds.dataset(table.directory, format="parquet", partitioning=ds.partitioning(keys, flavor="hive"))
    wanted = None
    if predicate:
        key, value = predicate.split(" = ")
        wanted = pc.field(key) == value.strip("'")
    return list(found.get_fragments(filter=wanted))


def cold_turns(site: Site, rounds: int) -> list[Turn]:
    """Create the first session after a start of the server, for each table and predicate."""
    turns: list[Turn] = []
    for number in range(min(rounds, COLD_STARTS)):
        for label, table in site.many.items():
            for what, predicate in predicates(table):
                site.server.restart()
                client = site.client(table)
                started = time.perf_counter()
                client.create_read_session(filter_predicate=predicate)
                took = time.perf_counter() - started
                turns.append(Turn(COLD, label + what, HTTP, number, [took], 0.0, 0))
    return turns


def first_batch_cases(site: Site) -> Iterator[Case]:
    """From the request for rows to the first batch: of the first split, and at a late offset."""
    table = site.large
    client = site.client(table)
    row_count = _row_count(table)
    split = client.create_read_session(
        split_options=SplitOptions(split_mode=SplitOptions.SplitMode.PARALLELISM, split_number=4)
    ).session_id
    whole = client.create_read_session(
        split_options=SplitOptions(split_mode=SplitOptions.SplitMode.ROW_OFFSET, split_number=0)
    ).session_id
    own_split = table.create_session(
        split_options=messages.SplitOptions(split_mode=SplitMode.PARALLELISM, split_number=4)
    )
    own_whole = table.create_session(split_options=messages.SplitOptions(split_mode=SplitMode.ROW_OFFSET))
    late = int(row_count * LATE)
    for label, session, own, address in (
        ("first split", split, own_split, {"index": 0}),
        ("late offset", whole, own_whole, {"offset": late, "count": row_count - late}),
    ):
        asked = {f"{'split' if k == 'index' else 'row'}_{k}": v for k, v in address.items()}
        yield Case(
            FIRST,
            label,
            10,
            {
                HTTP: lambda s=session, a=asked: first_over_http(client, s, a),
                SERVICE: timed(
                    lambda s=own, a=address: next(
                        table.read(
                            ReadAddress(session_id=s, **a), ReadRowsRequest(max_batch_rows=BATCH_ROWS)
                        ).batches
                    )
                ),
                PARQUET: timed(lambda a=address: first_of_parquet(table, a.get("offset", 0))),
            },
        )


def first_over_http(client: StorageApiArrowClient, session: str, asked: dict[str, int]) -> float:
    started = time.perf_counter()
    stream = client.read_rows_stream(session, max_batch_rows=BATCH_ROWS, **asked)
    pa.ipc.open_stream(stream).read_next_batch()
    took = time.perf_counter() - started
    stream.close()
    return took


def first_of_parquet(table: BenchTable, offset: int) -> pa.RecordBatch:
    """Open the file that holds a row, and decode a batch of the row group that does."""
    for path in _paths(table):
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                rows_here = file.metadata.row_group(group).num_rows
                if offset < rows_here:
                    return next(file.iter_batches(BATCH_ROWS, row_groups=[group]))
                offset -= rows_here
    raise AssertionError("the table is shorter")


def scan_cases(site: Site) -> Iterator[Case]:
    """Whole reads: three columns of everything, and of 0.1 % of the rows."""
    table = site.large
    client = site.client(table)
    orders = _last_order(table)
    low, high = orders // 2, orders // 2 + orders // 1000
    key = pc.field("l_orderkey")
    for what, predicate, expression in (
        ("3 columns", "", None),
        ("0.1 % scattered", f"l_partkey <= {SCATTERED}", pc.field("l_partkey") <= SCATTERED),
        (
            "0.1 % clustered",
            f"l_orderkey BETWEEN {low} AND {high}",
            (key >= low) & (key <= high),
        ),
    ):
        expected = dataset_rows(table, expression, threads=True)
        for streams in STREAMS:
            checks = {
                HTTP: lambda s=streams, p=predicate: http_rows(client, s, p),
                SERVICE: lambda s=streams, p=predicate: service_rows(table, s, p),
                DATASET: lambda s=streams, e=expression: dataset_rows(table, e, threads=s > 1),
            }
            contenders = {name: checked(count, expected) for name, count in checks.items()}
            yield Case(SCAN, f"{what}, {streams} split{'s' * (streams > 1)}", 2, contenders)


def checked(count: Callable[[], int], expected: int) -> Call:
    """Return a call that fails when it does not see as many rows as the others do."""

    def call() -> float:
        started = time.perf_counter()
        found = count()
        took = time.perf_counter() - started
        if found != expected:
            raise RuntimeError(f"{found} rows were read, not {expected}")
        return took

    return call


def http_rows(client: StorageApiArrowClient, streams: int, predicate: str) -> int:
    session = client.create_read_session(
        required_data_columns=THREE,
        filter_predicate=predicate,
        split_options=SplitOptions(split_mode=SplitOptions.SplitMode.PARALLELISM, split_number=streams),
    )

    def of_split(index: int) -> int:
        reader = client.read_rows_arrow(session.session_id, split_index=index, max_batch_rows=BATCH_ROWS)
        return sum(batch.num_rows for batch in iter(reader.read, None))

    return _in_threads(of_split, session.splits_count)


def service_rows(table: BenchTable, streams: int, predicate: str) -> int:
    session = table.create_session(
        required_data_columns=tuple(THREE),
        filter_predicate=predicate,
        split_options=messages.SplitOptions(split_mode=SplitMode.PARALLELISM, split_number=streams),
    )

    def of_split(index: int) -> int:
        address = ReadAddress(session_id=session, index=index)
        stream = table.read(address, ReadRowsRequest(max_batch_rows=BATCH_ROWS))
        return sum(batch.num_rows for batch in stream.batches)

    # As many as asked for, but for a plan without rows.
    return _in_threads(of_split, streams)


def dataset_rows(table: BenchTable, expression: pc.Expression | None, *, threads: bool) -> int:
    found = ds.dataset(_paths(table), format="parquet")
    batches = found.to_batches(columns=THREE, filter=expression, batch_size=BATCH_ROWS, use_threads=threads)
    return sum(batch.num_rows for batch in batches)


def preview_cases(site: Site) -> Iterator[Case]:
    """Previews of all columns of large files, of many columns, of many files."""
    tables = {
        "large": site.large,
        "500 columns": site.wide,
        **{label: table for label, table in site.many.items() if label.startswith(f"{FILE_COUNTS[-1]:,} ")},
    }
    for label, table in tables.items():
        client = site.client(table)
        for limit in PREVIEW_LIMITS:
            contenders = {
                HTTP: lambda c=client, n=limit: previewed(c, n),
                SERVICE: lambda t=table, n=limit: service_preview(t, n),
                DATASET: lambda t=table, n=limit: dataset_head(t, n),
            }
            yield Case(
                PREVIEW,
                f"{label}, {limit} rows",
                5,
                {name: checked(count, limit) for name, count in contenders.items()},
            )


def previewed(client: StorageApiArrowClient, limit: int) -> int:
    reader = client.preview_table_arrow(limit=limit)
    return sum(batch.num_rows for batch in iter(reader.read, None))


def service_preview(table: BenchTable, limit: int) -> int:
    stream = rows.preview(table.project, table.target, PreviewRequest(limit=limit))
    return sum(batch.num_rows for batch in stream.batches)


def dataset_head(table: BenchTable, limit: int) -> int:
    return ds.dataset(table.directory, format="parquet").head(limit).num_rows


def _in_threads(work: Callable[[int], int], count: int) -> int:
    if count == 1:
        return work(0)
    with ThreadPoolExecutor(count) as pool:
        return sum(pool.map(work, range(count)))


def _paths(table: BenchTable) -> list[Path]:
    """The files, in some order that stays: whoever looks for a late row finds one much like ours."""
    return sorted(table.directory.iterdir())


def _row_count(table: BenchTable) -> int:
    return sum(pq.read_metadata(path).num_rows for path in _paths(table))


def _last_order(table: BenchTable) -> int:
    found = ds.dataset(table.directory, format="parquet").to_table(columns=["l_orderkey"])
    return pc.max(found["l_orderkey"]).as_py()


CASES = {SESSION: session_cases, FIRST: first_batch_cases, SCAN: scan_cases, PREVIEW: preview_cases}


def measured(root: Path, row_count: int, seed: int, rounds: int, groups: list[str]) -> list[Turn]:
    """Write the tables, serve them and measure."""
    service, tables = built(root, row_count, seed)
    try:
        with local_server(root, PROJECT) as server:
            site = Site(server=server, **tables)
            cases = [case for group in CASES if group in groups for case in CASES[group](site)]
            turns = run(cases, rounds, server.pid)
            return turns + (cold_turns(site, rounds) if COLD in groups else [])
    finally:
        service.close()


def table_of(lines: list[Line]) -> Table:
    """Return the lines as a table, one row a case, in Markdown: README.md holds it as it is printed."""
    table = Table(title="ms, CPU ms and KB read of a call", box=box.MARKDOWN)
    for name in ("", "case"):
        table.add_column(name)
    numbers = ("p50", "p95", "service", "peer", "/ peer", "CPU", "service CPU", "peer CPU", "KB", "peer KB")
    for name in numbers:
        table.add_column(name, justify="right")
    for group, case in dict.fromkeys((line.group, line.case) for line in lines):
        by = {line.contender: line for line in lines if (line.group, line.case) == (group, case)}
        ours, service = by.pop(HTTP), by.pop(SERVICE, None)
        peer = next(iter(by.values()), None)
        table.add_row(
            group,
            case,
            _thousand(ours.p50),
            _thousand(ours.p95),
            _thousand(service and service.p50),
            _thousand(peer and peer.p50),
            f"{peer.ratio:.2f}" if peer else "",
            _thousand(ours.cpu),
            _thousand(service and service.cpu),
            _thousand(peer and peer.cpu),
            f"{ours.read / 1000:,.0f}" if group != COLD else "",
            f"{peer.read / 1000:,.0f}" if peer else "",
        )
    return table


def _thousand(value: float | None) -> str:
    """Return a thousand times as much, nothing for what was not measured."""
    return f"{value * 1000:,.1f}" if value else ""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reads", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--rows", type=int, default=2_000_000, help="rows of the large table (143 bytes each)"
    )
    parser.add_argument("--groups", nargs="+", default=list(GROUPS), choices=GROUPS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where to write every timing, with the run's description")
    chosen = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="maxlake-") as directory:
        turns = measured(Path(directory), chosen.rows, chosen.seed, chosen.rounds, chosen.groups)
    lines = summary(turns)
    report(
        table_of(lines),
        lines,
        turns,
        chosen.json,
        started,
        rows=chosen.rows,
        seed=chosen.seed,
        rounds=chosen.rounds,
    )


if __name__ == "__main__":
    main()
