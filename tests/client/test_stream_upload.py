"""Streams whose uploads break: sent again under a higher version, each row is there once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from random import Random
from threading import Thread
from typing import Any

import pyarrow as pa
import pytest

from maxlake.client import Compression, StorageApiArrowClient, retry_budget, stream_upload, upload_spool
from maxlake.client.connected import ODPS
from maxlake.client.errors import TruncatedStreamError, UploadNotKeptError
from maxlake.client.memory_budget import MemoryBudget
from maxlake.protocol.errors import BadRequestError, NotFoundError
from maxlake.protocol.limits import CLIENT_ATTEMPTS
from maxlake.testing import Fault, FaultProxy, LocalServer, fault_proxy, faults, local_server
from odps import errors
from tests.budget import Budget
from tests.client.replay import HANG_UP, ReplayServer, Reply

ROWS_A_BATCH = 20_000
BATCHES = 20
WRITES = faults.action("TableWrite")
STORED = Reply({"CommitMessage": "cm"})
BUSY = Reply({"Code": "ServiceUnavailable", "Message": "stopping"}, 503)


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with local_server() as server:
        yield server


@pytest.fixture(scope="module")
def proxy(server: LocalServer) -> Iterator[FaultProxy]:
    with fault_proxy(server.endpoint) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting shows nothing."""
    monkeypatch.setattr(retry_budget, "CLIENT_RETRY_PAUSE", 0.001)


@pytest.fixture
def client(server: LocalServer, proxy: FaultProxy, request: pytest.FixtureRequest) -> StorageApiArrowClient:
    """A client of an empty table, whose calls go through the proxy."""
    name = f"t{abs(hash(request.node.nodeid))}"
    server.odps().create_table(name, "id bigint")
    return client_of(server, name, proxy.endpoint)


def client_of(server: LocalServer, table: str, endpoint: str) -> StorageApiArrowClient:
    odps = ODPS(server.access_id, server.secret, server.project, endpoint)
    return StorageApiArrowClient(odps, odps.get_table(table), rest_endpoint=endpoint)


def batch(number: int, rows: int = ROWS_A_BATCH) -> pa.RecordBatch:
    return pa.record_batch({"id": pa.array(range(number * rows, (number + 1) * rows))})


def ids(client: StorageApiArrowClient) -> list[int]:
    session = client.create_read_session()
    reader = client.read_rows_arrow(session.session_id)
    return sorted(each for rows in iter(reader.read, None) for each in rows["id"].to_pylist())


def upload(client: StorageApiArrowClient, streams: int = 1, batches: int = BATCHES, **how: Any) -> list[int]:
    """Write all batches in so many streams side by side, commit just these, and return their versions."""
    session = client.create_write_session().session_id
    uploads = [client.upload_stream(session, number, **how) for number in range(streams)]
    for number in range(batches):
        uploads[number % streams].write(batch(number))
    for each in uploads:
        each.finish()
    versions = [each.stream_version for each in uploads]
    client.commit_write_session(session, [each.stream_id for each in uploads], versions)
    return versions


@pytest.mark.parametrize(
    ("fault", "compression"),
    [
        (faults.unreachable, None),
        (faults.lose_answer, None),
        (faults.busy(0), Compression.ZSTD),
    ],
    ids=["unreachable", "answer lost", "busy"],
)
def test_rows_are_stored_once(
    client: StorageApiArrowClient, proxy: FaultProxy, fault: Fault, compression: Compression | None
) -> None:
    with proxy.inject(faults.when(faults.first(2, WRITES), fault)):
        assert upload(client, compression=compression) == [2]
    assert ids(client) == list(range(BATCHES * ROWS_A_BATCH))


def test_what_goes_well_is_the_first_version(client: StorageApiArrowClient) -> None:
    assert upload(client, 3, stream_version=7) == [7, 7, 7]
    assert ids(client) == list(range(BATCHES * ROWS_A_BATCH))


@pytest.mark.long
def test_whatever_is_cut(
    client: StorageApiArrowClient, proxy: FaultProxy, rng: Random, budget: Callable[[float], Budget]
) -> None:
    """Any call of a write fails before or after it is done, at random."""
    written: list[int] = []
    for number in budget(5).points(at_least=5):
        kinds = [faults.unreachable, faults.lose_answer, faults.busy(0)]
        fault = faults.when(faults.by_chance(0.3, rng.randrange(2**32)), rng.choice(kinds))
        with proxy.inject(fault):
            upload(client, streams=rng.randrange(1, 5), batches=5)
        written += range(5 * ROWS_A_BATCH)
        assert ids(client) == sorted(written), number


def test_a_server_restarted_in_the_middle(server: LocalServer, client: StorageApiArrowClient) -> None:
    client = client_of(server, client.table.name, server.endpoint)  # the proxy would hold the upload back
    session = client.create_write_session().session_id
    starting = Thread(target=server.start)
    with client.upload_stream(session, "s") as stream:
        for number in range(BATCHES):
            if number == BATCHES // 2:
                server.kill()
                starting.start()
            stream.write(batch(number))
    starting.join()
    client.commit_write_session(session, [stream.stream_id], [stream.stream_version])
    assert stream.stream_version > 0
    assert ids(client) == list(range(BATCHES * ROWS_A_BATCH))


def test_a_stream_without_rows_can_be_committed(client: StorageApiArrowClient) -> None:
    assert upload(client, batches=0) == [0]
    assert ids(client) == []


def test_an_error_aborts(client: StorageApiArrowClient) -> None:
    session = client.create_write_session().session_id
    stream = client.upload_stream(session, 0)
    with suppress(KeyError), stream:
        stream.write(batch(0))
        raise KeyError
    assert client.get_write_stream(session, "0", 0).status == "OPEN"
    for call in (lambda: stream.write(batch(1)), stream.finish):
        with pytest.raises(ValueError, match=r"ended|aborted"):
            call()


def test_the_end_is_the_end(client: StorageApiArrowClient) -> None:
    session = client.create_write_session().session_id
    with client.upload_stream(session, 0) as stream:
        stream.write(batch(0))
        stream.finish()
        with pytest.raises(ValueError, match="takes no more rows"):
            stream.write(batch(1))
    assert (stream.row_count, stream.stream_id) == (ROWS_A_BATCH, "0")


def test_refused_rows_are_not_sent_again(client: StorageApiArrowClient) -> None:
    session = client.create_write_session().session_id
    stream = client.upload_stream(session, 0)
    stream.write(pa.record_batch({"other": [1]}))
    with pytest.raises(errors.ODPSError, match="other"):
        stream.finish()
    assert stream.stream_version == 0


def test_a_session_that_does_not_exist_is_told_at_once(client: StorageApiArrowClient) -> None:
    with pytest.raises(NotFoundError):
        client.upload_stream("no-such-session", 0)


# -- against a server that answers as told ------------------------------------------------------------


def test_versions_are_opened_one_after_the_other() -> None:
    with ReplayServer(Reply(), HANG_UP, BUSY, Reply(), BUSY, Reply(), STORED, Reply()) as replay:
        stream = replay.client(retry_seconds=5).upload_stream("s", "x", 4)
        stream.write(batch(0, 10))
        stream.finish()
        steps = [(each.action.removeprefix("Table"), each) for each in replay.requests]
        versions = [int(each.params.get("StreamVersion") or each.json["StreamVersion"]) for _, each in steps]
        assert list(zip((name for name, _ in steps), versions, strict=True)) == [
            ("CreateWriteStream", 4),
            ("Write", 4),
            ("CreateWriteStream", 5),
            ("CreateWriteStream", 5),
            ("Write", 5),
            ("CreateWriteStream", 6),
            ("Write", 6),
            ("CloseWriteStream", 6),
        ]
        assert len({each.body for name, each in steps if name == "Write"}) == 1


def test_what_is_too_large_to_keep_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_spool, "CLIENT_SPOOL_BYTES", 1000)
    with ReplayServer(Reply(), HANG_UP, STORED) as replay:
        stream = replay.client(retry_seconds=5).upload_stream("s", 0)
        stream.write(batch(0, 200))
        with pytest.raises(UploadNotKeptError, match="more than the 1000 bytes") as failed:
            stream.finish()
        assert not failed.value.retryable
        assert isinstance(failed.value.__cause__, errors.ODPSError)
        assert len(replay.requests) == 2


def test_a_disk_that_takes_no_copy_harms_only_what_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_spool, "CLIENT_SPOOL_MEMORY", 1000)
    monkeypatch.setattr("tempfile.tempdir", "/no/such/directory")
    for trouble in ([], [HANG_UP]):
        with ReplayServer(Reply(), *trouble, STORED, Reply()) as replay:
            stream = replay.client(retry_seconds=5).upload_stream("s", 0)
            stream.write(batch(0, 200))
            if trouble:
                with pytest.raises(UploadNotKeptError, match="/no/such/directory"):
                    stream.finish()
            else:
                stream.finish()


def test_what_is_refused_is_told_however_large_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_spool, "CLIENT_SPOOL_BYTES", 1000)
    refused = Reply({"Code": "SCHEMA_MISMATCH", "Message": "no such column"}, 400)
    with ReplayServer(Reply(), refused) as replay:
        stream = replay.client(retry_seconds=5).upload_stream("s", 0)
        stream.write(batch(0, 200))
        with pytest.raises(BadRequestError, match="no such column"):
            stream.finish()


def test_an_upload_is_given_up_in_time() -> None:
    with ReplayServer(Reply(), BUSY) as replay:
        stream = replay.client(retry_seconds=0.2).upload_stream("s", 0)
        stream.write(batch(0, 10))
        with pytest.raises(errors.ODPSError, match="stopping"):
            stream.finish()


def test_missing_rows_are_an_error() -> None:
    incomplete = Reply({"WarningMessage": "data_incomplete: 3 of 5 rows"})
    with ReplayServer(Reply(), STORED, incomplete) as replay:
        stream = replay.client().upload_stream("s", 0)
        stream.write(batch(0, 5))
        with pytest.raises(TruncatedStreamError, match="3 of 5"):
            stream.finish()


def test_a_stream_is_full_long_before_it_cannot_be_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_upload, "CLIENT_STREAM_BYTES", 10_000)
    with ReplayServer(Reply(), STORED, Reply()) as replay:
        stream = replay.client().upload_stream("s", 0)
        full = []
        for number in range(3):
            full.append(stream.is_full)
            stream.write(batch(number, 800))
        assert full == [False, False, True]


def test_a_long_upload_that_comes_further_has_its_time_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_spool, "CLIENT_UPLOAD_AHEAD", 0)
    spool = upload_spool.UploadSpool(retry_budget.RetryBudget(3600), MemoryBudget().reservation())
    broken = TruncatedStreamError("cut", code="TruncatedStream")
    for _ in range(10):
        spool.keep(memoryview(b"more"))
        spool.wait(broken)
    for _ in range(CLIENT_ATTEMPTS - 2):
        spool.wait(broken)
    with pytest.raises(TruncatedStreamError):
        spool.wait(broken)
