"""What writing costs beside moving rows: commits, flushes, upserts, and small commits beside large work.

``python -m benchmarks.writes``; see README.md here.
"""

import argparse
import io
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from rich import box
from rich.table import Table

from benchmarks.contest import Call, Case, Line, Turn, run, summary, timed
from benchmarks.lineitem import lineitem
from benchmarks.report import report
from benchmarks.tables import ME, BenchTable, create, keyed, many_commits, upload
from maxlake.client import ArrowWriter, StorageApiArrowClient, StreamWriter, builders
from maxlake.client.endpoint import StorageEndpoint
from maxlake.client.requests import WriteStreamRequest
from maxlake.client.transport import Transport
from maxlake.protocol.messages.write import (
    CommitRequest,
    CreateWriteSessionRequest,
    StreamAddress,
    WriteRowsRequest,
)
from maxlake.service import maintenance, uploads, write_commits, write_sessions, write_streams
from maxlake.service.project import Project
from maxlake.service.service import Service
from maxlake.testing import LocalServer, local_server
from tests.lake.duckdb_child import connect

PROJECT = "demo"
GROUPS = COMMIT, FLUSH, UPSERT, BESIDE = "commit", "flush", "upsert", "beside"
#: Contenders: through our server and client, the same calls without HTTP, a bare SQLite transaction, and
#: DuckDB's own ducklake extension.
HTTP, SERVICE, SQLITE, DUCKLAKE = "maxlake", "service", "sqlite", "ducklake"
EARLIER = (1, 1_000, 10_000)
WRITERS, FLUSHES = 32, 640
#: Rows of the keyed table, in so many files, and of an upsert; a tenth of these rows are new.
KEYED_ROWS, KEYED_FILES, UPSERT_ROWS = 10_000_000, 20, 10_000
#: Keys of the upsert beside which small commits go on.
LARGE_UPSERT = 1_000_000
#: Most commits a second beside large work: small commits are rare, and each makes the next slower to plan.
PAUSE = 0.05


@dataclass(frozen=True)
class Site:
    """A server, and its project also at hand without it."""

    server: LocalServer
    project: Project
    root: Path

    def client(self, table: BenchTable) -> StorageApiArrowClient:
        """Return a client that knows its endpoint already."""
        odps = self.server.odps()
        client = StorageApiArrowClient(odps, odps.get_table(table.name))
        _ = client.tunnel_rest.endpoint
        return client


def written_session(client: StorageApiArrowClient, rows: pa.RecordBatch) -> str:
    """Upload rows in a session that is ready to be committed."""
    session = client.create_write_session().session_id
    client.create_write_stream(session, 0)
    writer = client.write_rows_arrow(session, 0)
    writer.write(rows)
    writer.finish()
    client.close_write_stream(session, 0)
    return session


def written_without_http(table: BenchTable, rows: pa.RecordBatch) -> str:
    project, target = table.project, table.target
    session = write_sessions.create(project, target, CreateWriteSessionRequest(), ME).session_id
    address = StreamAddress(session_id=session, stream_id="0")
    write_streams.create(project, target, address, ME)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_batch(rows)
    uploads.write(project, target, WriteRowsRequest(stream=address), io.BytesIO(sink.getvalue()), ME)
    write_streams.close(project, target, address, ME)
    return session


def commit_calls(site: Site, table: BenchTable, rows: Callable[[], pa.RecordBatch]) -> dict[str, Call]:
    """Commits of sessions written beforehand, over HTTP and without."""
    client = site.client(table)

    def over_http() -> float:
        session = written_session(client, rows())
        return timed(lambda: client.commit_write_session(session))()

    def without() -> float:
        session = written_without_http(table, rows())
        commit = CommitRequest()
        return timed(lambda: write_commits.commit(table.project, table.target, session, commit, ME))()

    return {HTTP: over_http, SERVICE: without}


def bare_transaction(path: Path) -> Call:
    """A durable transaction of one row, as SQLite makes it: what no commit can be faster than."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE one (number INTEGER)")
    return timed(lambda: connection.execute("INSERT INTO one VALUES (1)"))


def commit_cases(site: Site) -> Iterator[Case]:
    """The commit of one small file after so many others."""
    rows = lineitem(20, 1).to_batches()[0]
    for earlier in EARLIER:
        table = many_commits(site.project, f"commits_{earlier}", earlier)
        calls = commit_calls(site, table, lambda: rows)
        calls[SQLITE] = bare_transaction(site.root / f"bare-{earlier}.sqlite")
        yield Case(COMMIT, f"after {earlier:,} others", 30, calls)


def flush_cases(site: Site) -> Iterator[Case]:
    """Streamed uploads of ten rows, each visible when it is answered, by so many writers at once."""
    table = create(site.project, "streamed", "id bigint, name string")
    rows = pa.record_batch({"id": range(10), "name": ["a"] * 10})
    target = builders.Target.table(PROJECT, None, table.name)
    endpoint = StorageEndpoint(site.client(table).tunnel_rest, {}, {})
    bare = bare_transaction(site.root / "bare-flush.sqlite")

    def writer(number: int) -> None:
        transport = Transport(endpoint)
        try:
            for _ in range(FLUSHES // WRITERS):
                request = builders.write_rows(
                    target, WriteStreamRequest("default", f"s{number}", 1, 10), None
                )
                upload_ = ArrowWriter(StreamWriter(lambda request=request: transport.upload(request)), None)
                upload_.write(rows)
                upload_.finish()
        finally:
            transport.close()

    def together() -> float:
        with ThreadPoolExecutor(WRITERS) as pool:
            return timed(lambda: list(pool.map(writer, range(WRITERS))))()

    yield Case(
        FLUSH,
        f"{FLUSHES} flushes, {WRITERS} writers",
        3,
        {HTTP: together, SQLITE: lambda: sum(bare() for _ in range(FLUSHES))},
    )


def upsert_rows(seed: int, count: int, within: int) -> pa.RecordBatch:
    """Rows of the keyed table: nine of ten replace one, all keys are different."""
    random = np.random.default_rng(seed)
    ids = random.choice(within + within // 9, count, replace=False)
    return pa.record_batch({"id": pa.array(ids), "a": pa.array(ids * 2), "b": pa.array(random.random(count))})


def upsert_cases(site: Site) -> Iterator[Case]:
    """The commit of 10,000 changed rows among ten million; the peer merges the same into the same."""
    table = keyed(site.project, "keyed", KEYED_ROWS, KEYED_FILES)
    seeds = iter(range(1_000_000))
    calls = commit_calls(site, table, lambda: upsert_rows(next(seeds), UPSERT_ROWS, KEYED_ROWS))
    peer = connect(str(site.root))
    peer.execute(f"ATTACH 'ducklake:sqlite:{site.root}/peer.sqlite' AS peer (DATA_PATH '{site.root}/peer/')")
    peer.execute("CREATE TABLE peer.keyed (id BIGINT, a BIGINT, b DOUBLE)")
    size = KEYED_ROWS // KEYED_FILES
    for first in range(0, KEYED_ROWS, size):
        numbers = f"range({first}, {first + size}) AS r(i)"
        peer.execute(f"INSERT INTO peer.keyed SELECT i, i * 2, i / 2 FROM {numbers}")

    def merge() -> float:
        peer.register("changed", upsert_rows(next(seeds), UPSERT_ROWS, KEYED_ROWS))
        return timed(
            lambda: peer.execute(
                "MERGE INTO peer.keyed USING changed ON keyed.id = changed.id WHEN MATCHED THEN UPDATE "
                "SET a = changed.a, b = changed.b WHEN NOT MATCHED THEN INSERT VALUES (id, a, b)"
            )
        )()

    yield Case(UPSERT, f"{UPSERT_ROWS:,} rows into {KEYED_ROWS:,}", 3, {**calls, DUCKLAKE: merge})


def beside_turns(site: Site, seconds: float) -> list[Turn]:
    """Small appends, each a whole session: alone, and beside a load, large upserts and merges."""
    table = create(site.project, "small", "id bigint, name string")
    client, rows = site.client(table), pa.record_batch({"id": range(10), "name": ["a"] * 10})

    def appends(name: str, end: Callable[[], bool]) -> Turn:
        taken: list[float] = []
        while not end():
            taken.append(timed(lambda: client.commit_write_session(written_session(client, rows)))())
            time.sleep(PAUSE)
        return Turn(BESIDE, name, HTTP, 0, taken, 0, 0)

    quiet = time.monotonic() + seconds / 6
    turns = [appends("small appends, alone", lambda: time.monotonic() > quiet)]
    stopped = threading.Event()
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(3))
        stack.callback(stopped.set)
        work = [pool.submit(job, site, stopped) for job in (load, upserts, merges)]
        end = time.monotonic() + seconds
        turns.append(
            appends(
                "small appends, beside",
                lambda: time.monotonic() > end or any(job.done() and job.exception() for job in work),
            )
        )
        stopped.set()
        done = [job.result() for job in work]
    print(", ".join(done))
    return turns


def load(site: Site, stopped: threading.Event) -> str:
    """A bulk load: one stream after the other, as fast as they go."""
    table = create(site.project, "bulk", "id bigint, a bigint, b double, c string")
    client, sent = site.client(table), 0
    random = np.random.default_rng(1)
    batch = pa.record_batch(
        {
            "id": range(65_536),
            "a": random.integers(0, 1 << 40, 65_536),
            "b": random.random(65_536),
            "c": ["x" * 40] * 65_536,
        }
    )
    session = client.create_write_session().session_id
    stream = 0
    while not stopped.is_set():
        client.create_write_stream(session, stream)
        writer = client.write_rows_arrow(session, stream)
        for _ in range(64):
            if not stopped.is_set():
                writer.write(batch)
                sent += batch.nbytes
        writer.finish()
        client.close_write_stream(session, stream)
        stream += 1
    client.commit_write_session(session)
    return f"loaded {sent / 1e6:,.0f} MB"


def upserts(site: Site, stopped: threading.Event) -> str:
    """Upserts of a million keys, one after the other."""
    table = keyed(site.project, "beside_keyed", 2 * LARGE_UPSERT, 4)
    client, count = site.client(table), 0
    while not stopped.is_set():
        session = written_session(client, upsert_rows(count, LARGE_UPSERT, 2 * LARGE_UPSERT))
        client.commit_write_session(session)
        count += 1
    return f"{count} upserts of {LARGE_UPSERT:,} keys"


def merges(site: Site, stopped: threading.Event) -> str:
    """Many small files merged, again and again."""
    table, merged = create(site.project, "fragments", "id bigint, name string"), 0
    while not stopped.is_set():
        rows = pa.table({"id": range(100_000), "name": [f"name {i}" for i in range(100_000)]})
        for _ in range(20):
            upload(table, rows)
        report = maintenance.maintain(site.project, datetime.now(UTC), stopped=stopped.is_set)
        merged += sum(each.files for each in report.tables)
    return f"{merged} files merged"


CASES = {COMMIT: commit_cases, FLUSH: flush_cases, UPSERT: upsert_cases}


def measured(root: Path, rounds: int, groups: list[str], seconds: float) -> list[Turn]:
    """Write the tables, serve them and measure."""
    service = Service.open(root, project=PROJECT)
    try:
        with local_server(root, PROJECT) as server:
            site = Site(server, service.project(PROJECT), root)
            cases = [case for group in CASES if group in groups for case in CASES[group](site)]
            turns = run(cases, rounds, server.pid)
            return turns + (beside_turns(site, seconds) if BESIDE in groups else [])
    finally:
        service.close()


def table_of(lines: list[Line]) -> Table:
    """Return the lines as a table, one row a case, in Markdown: README.md holds it as it is printed."""
    table = Table(title="ms of a call", box=box.MARKDOWN)
    for name in ("", "case"):
        table.add_column(name)
    numbers = ("p50", "p95", "p99", "service", "peer", "/ peer", "CPU")
    for name in numbers:
        table.add_column(name, justify="right")
    for group, case in dict.fromkeys((line.group, line.case) for line in lines):
        by = {line.contender: line for line in lines if (line.group, line.case) == (group, case)}
        ours, service = by.pop(HTTP), by.pop(SERVICE, None)
        peer = next(iter(by.values()), None)
        table.add_row(
            group,
            case,
            *(f"{value * 1000:,.1f}" for value in (ours.p50, ours.p95, ours.p99)),
            f"{service.p50 * 1000:,.1f}" if service else "",
            f"{peer.p50 * 1000:,.1f}" if peer else "",
            f"{peer.ratio:.2f}" if peer else "",
            f"{ours.cpu * 1000:,.1f}" if ours.cpu else "",
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.writes", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--groups", nargs="+", default=list(GROUPS), choices=GROUPS)
    parser.add_argument("--seconds", type=float, default=60.0, help="of small commits beside large work")
    parser.add_argument("--json", type=Path, help="where to write every timing, with the run's description")
    chosen = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="maxlake-") as directory:
        turns = measured(Path(directory), chosen.rounds, chosen.groups, chosen.seconds)
    lines = summary(turns)
    report(table_of(lines), lines, turns, chosen.json, started, rounds=chosen.rounds)


if __name__ == "__main__":
    main()
