"""The documented client against a real server, with a proxy between them in which things go wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from random import Random
from threading import Thread
from typing import Any

import pyarrow as pa
import pytest

from maxlake.client import Compression, SplitOptions, StorageApiArrowClient, retry_budget
from maxlake.client.connected import ODPS
from maxlake.testing import Fault, FaultProxy, LocalServer, fault_proxy, faults, local_server
from odps import options
from tests.budget import Budget

ROW_COUNT = 140_000
#: Bytes of a read without compression: the place of a cut is below that.
BYTES = 4 * 1024 * 1024
STEP = 1024
READS = faults.action("TableRead")
ROWS = pa.table(
    {
        "id": pa.array(range(ROW_COUNT)),
        "amount": pa.array([number / 7 if number % 5 else None for number in range(ROW_COUNT)]),
        "name": pa.array([f"name {number % 1000:06}" for number in range(ROW_COUNT)]),
    }
)


@dataclass(frozen=True)
class Site:
    server: LocalServer
    proxy: FaultProxy

    @cached_property
    def client(self) -> StorageApiArrowClient:
        return self.client_of("rows")

    def client_of(self, table: str) -> StorageApiArrowClient:
        """A client whose calls go through the proxy."""
        odps = ODPS(self.server.access_id, self.server.secret, self.server.project, self.proxy.endpoint)
        return StorageApiArrowClient(odps, odps.get_table(table), rest_endpoint=self.proxy.endpoint)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with local_server() as server, fault_proxy(server.endpoint) as proxy:
        server.odps().create_table("rows", "id bigint, amount double, name string")
        site = Site(server, proxy)
        write(site.client, ROWS)
        yield site


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting shows nothing."""
    monkeypatch.setattr(retry_budget, "CLIENT_RETRY_PAUSE", 0.001)


def write(client: StorageApiArrowClient, rows: pa.Table) -> str:
    session = client.create_write_session().session_id
    client.create_write_stream(session, 0)
    writer = client.write_rows_arrow(session, 0)
    for batch in rows.to_batches(max_chunksize=16_384):
        writer.write(batch)
    writer.finish()
    client.close_write_stream(session, 0)
    client.commit_write_session(session)
    return session


def read(client: StorageApiArrowClient, splits: int = 1, **how: Any) -> pa.Table:
    parallel = SplitOptions(split_mode=SplitOptions.SplitMode.PARALLELISM, split_number=splits)
    session = client.create_read_session(split_options=parallel)
    return pa.concat_tables(read_split(client, session.session_id, split, **how) for split in range(splits))


def read_split(client: StorageApiArrowClient, session: str, split: int = 0, **how: Any) -> pa.Table:
    reader = client.read_rows_arrow(session, split, **how)
    return pa.Table.from_batches(iter(reader.read, None))


def same(found: pa.Table) -> bool:
    return found.cast(ROWS.schema).equals(ROWS)


def test_the_read_is_as_long_as_said(site: Site) -> None:
    session = site.client.create_read_session()
    assert BYTES <= len(site.client.read_rows_stream(session.session_id).read()) < 1.1 * BYTES


@pytest.mark.long
def test_a_read_cut_anywhere(site: Site, budget: Callable[[float], Budget], rng: Random) -> None:
    """Every KiB where the budget allows: 4096 places."""
    places = list(range(0, BYTES, STEP))
    rng.shuffle(places)
    session = site.client.create_read_session().session_id
    for _, after in zip(budget(5).points(at_least=20), places):  # noqa: B905 - the shorter of both
        with site.proxy.inject(faults.when(faults.first(1, READS), faults.cut(after))):
            assert same(read_split(site.client, session)), after


@pytest.mark.parametrize("compression", list(Compression))
@pytest.mark.parametrize(
    "fault",
    [
        faults.when(faults.first(3, READS), faults.busy(0)),
        faults.when(faults.first(3, READS), faults.unreachable),
        faults.when(faults.first(1, READS), faults.truncate(1_000_000)),
        faults.when(faults.first(1, READS), faults.cut(500_000)),
        faults.when(faults.by_chance(0.4, 3), faults.unreachable),
    ],
    ids=["busy", "unreachable", "truncated", "cut", "unreachable by chance"],
)
def test_reads_survive(site: Site, fault: Fault, compression: Compression) -> None:
    with site.proxy.inject(fault):
        assert same(read(site.client, 4, compression=compression, max_batch_rows=5000))


def test_a_stalled_read_goes_on(site: Site) -> None:
    client = site.client_of("rows")
    patience, options.read_timeout = options.read_timeout, 1
    try:
        with site.proxy.inject(faults.when(faults.first(1, READS), faults.stall(700_000, 3))):
            assert same(read(client))
    finally:
        options.read_timeout = patience


def test_a_server_restarted_while_it_is_read(site: Site) -> None:
    session = site.client.create_read_session()
    reader = site.client.read_rows_arrow(session.session_id, max_batch_rows=1000)
    batches = [reader.read() for _ in range(10)]
    site.server.kill()
    starting = Thread(target=site.server.start)
    starting.start()
    try:
        while (batch := reader.read()) is not None:
            batches.append(batch)
    finally:
        starting.join()
    assert same(pa.Table.from_batches(batches))


@pytest.mark.parametrize(
    ("name", "fault"), [("answer_lost", faults.lose_answer), ("not_reached", faults.unreachable)]
)
def test_a_commit_happens_once(site: Site, name: str, fault: Fault) -> None:
    site.server.odps().create_table(name, "id bigint")
    client = site.client_of(name)
    rule = faults.first(2, faults.action("TableCommitWriteSession"))
    with site.proxy.inject(faults.when(rule, fault)):
        write(client, ROWS.select(["id"]))
    assert read(client).num_rows == ROW_COUNT


def test_rows_with_offsets_are_stored_once(site: Site) -> None:
    """Answers are lost, and whole requests: the writer notices nothing."""
    site.server.odps().create_table("offsets", "id bigint")
    client = site.client_of("offsets")
    session = client.create_write_session().session_id
    client.create_write_stream(session, 0)
    state = client.get_write_stream(session, "0", 0, exactly_once_mode=True)
    offset = state.row_offset or 0
    for number, fault in enumerate(
        [faults.lose_answer, faults.unreachable, faults.busy(0), faults.lose_answer]
    ):
        rule = faults.first(2, faults.action("TableWrite"))
        with site.proxy.inject(faults.when(rule, fault)):
            how = {"row_offset": offset, "access_token": state.access_token}
            writer = client.write_rows_arrow(session, 0, **how)
            for _ in range(3):
                writer.write(pa.record_batch({"id": pa.array(range(30_000))}))
            writer.finish()
        offset = writer.get_write_stream_response().exactly_once_row_offset
        assert offset == 90_000 * (number + 1)
    client.close_write_stream(session, 0)
    client.commit_write_session(session)
    assert read(client).num_rows == 360_000
