"""A real server that fails where a test says, and sessions that expire when it says."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from maxlake.client import StorageApiArrowClient
from maxlake.client.enums import SessionStatus
from maxlake.testing import BatchPoint, Failpoint, LocalServer, local_server
from odps import errors

#: Batches of a megabyte: an answer is begun before it is made.
BATCHES = [pa.record_batch({"id": [number], "text": ["x" * 1_000_000]}) for number in range(8)]


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with local_server() as running:
        running.odps().create_table("t", "id bigint, text string")
        write(client_of(running))
        yield running


def client_of(server: LocalServer, table: str = "t") -> StorageApiArrowClient:
    odps = server.odps()
    client = StorageApiArrowClient(odps, odps.get_table(table))
    client.retry_seconds = 0
    return client


@pytest.fixture
def client(server: LocalServer) -> StorageApiArrowClient:
    return client_of(server)


def upload(client: StorageApiArrowClient, session: str, version: int = 0) -> None:
    client.create_write_stream(session, 0, version)
    writer = client.write_rows_arrow(session, 0, version)
    for batch in BATCHES:
        writer.write(batch)
    writer.finish()
    client.close_write_stream(session, 0, version)


def write(client: StorageApiArrowClient) -> None:
    session = client.create_write_session(flags={"overwrite": True}).session_id
    upload(client, session)
    client.commit_write_session(session)


def read(client: StorageApiArrowClient, session: str = "") -> list[int]:
    reader = client.read_rows_arrow(session or client.create_read_session().session_id, max_batch_rows=1)
    return [batch["id"][0].as_py() for batch in iter(reader.read, None)]


def test_the_third_batch_of_an_upload(server: LocalServer, client: StorageApiArrowClient) -> None:
    session = client.create_write_session(flags={"overwrite": True}).session_id
    with server.failing(BatchPoint.BEFORE_STORING_BATCH, 3) as fault:
        with pytest.raises(errors.InternalServerError):
            upload(client, session)
        assert fault.met
        upload(client, session, version=1)
    client.commit_write_session(session)
    assert read(client) == list(range(8))


def test_the_third_batch_of_an_answer(server: LocalServer, client: StorageApiArrowClient) -> None:
    with (
        server.failing(BatchPoint.BEFORE_ANSWERING_BATCH, 3) as fault,
        pytest.raises(errors.ODPSError, match=r"cut|end"),
    ):
        read(client)
    assert fault.met
    client.retry_seconds = 10
    with server.failing(BatchPoint.BEFORE_ANSWERING_BATCH, 3) as fault:
        assert read(client) == list(range(8))
    assert fault.met


@pytest.mark.parametrize("point", [Failpoint.BEFORE_COMMIT_TRANSACTION, Failpoint.AFTER_COMMIT_TRANSACTION])
def test_a_commit(server: LocalServer, client: StorageApiArrowClient, point: Failpoint) -> None:
    client.retry_seconds = 10
    with server.failing(point) as fault:
        write(client)
    assert fault.met
    assert read(client) == list(range(8))


def test_a_fault_ends_with_its_with(server: LocalServer, client: StorageApiArrowClient) -> None:
    with server.failing(BatchPoint.BEFORE_ANSWERING_BATCH, 9) as fault:
        assert read(client) == list(range(8))
        assert not fault.met
    assert not fault.met
    assert read(client) == list(range(8))
    with pytest.raises(ValueError, match="from 1"), server.failing(BatchPoint.BEFORE_ANSWERING_BATCH, 0):
        pass


def test_a_read_session_expires(server: LocalServer, client: StorageApiArrowClient) -> None:
    session = client.create_read_session().session_id
    server.expire(session)
    assert client.get_read_session(session).session_status is SessionStatus.EXPIRED
    assert read(client, session) == list(range(8))  # our client refreshes it
    assert client.get_read_session(session).session_status is SessionStatus.NORMAL


def test_a_write_session_expires(server: LocalServer, client: StorageApiArrowClient) -> None:
    session = client.create_write_session().session_id
    upload(client, session)
    server.expire(session)
    with pytest.raises(errors.ODPSError, match="expired"):
        client.commit_write_session(session)
    client.abort_write_session(session)
    with pytest.raises(KeyError, match="unknown"):
        server.expire("unknown")
