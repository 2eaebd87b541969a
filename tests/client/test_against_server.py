"""Our client on the real server, in its own process, over real sockets."""

import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from maxlake.client import (
    ArrowReader,
    ArrowWriter,
    Compression,
    SessionStatus,
    SplitOptions,
    StorageApiArrowClient,
    StorageApiClient,
)
from maxlake.client.errors import ClientError
from maxlake.testing import LocalServer, local_server
from odps import ODPS, errors
from tests.postgresql import Postgresql

ROWS = 40_000
SCHEMA = pa.schema([("id", pa.int64()), ("name", pa.string())])


@pytest.fixture(scope="module")
def server(database: Postgresql | None) -> Iterator[LocalServer]:
    arguments = ("--database", database.url) if database else ()
    with local_server(arguments=arguments) as running:
        yield running


@pytest.fixture
def client(server: LocalServer, request: pytest.FixtureRequest) -> StorageApiArrowClient:
    odps = server.odps()
    name = "t_" + "".join(each if each.isalnum() else "_" for each in request.node.name).lower()[:60]
    created = odps.create_table(name, ("id bigint, name string", "pt string"))
    return StorageApiArrowClient(odps, created)


def batch(start: int, count: int) -> pa.RecordBatch:
    ids = range(start, start + count)
    return pa.record_batch([pa.array(ids), pa.array([f"name {each}" for each in ids])], schema=SCHEMA)


def write_stream(
    client: StorageApiArrowClient, session: str, stream: int, batches: Any, **options: Any
) -> None:
    client.create_write_stream(session, stream)
    writer = client.write_rows_arrow(session, stream, **options)
    for each in batches:
        assert writer.write(each)
    message, success = writer.finish()
    assert message
    assert success
    assert writer.get_request_id()
    assert client.close_write_stream(session, stream).request_id


def write_and_finish(writer: ArrowWriter, batches: list[pa.RecordBatch]) -> None:
    for each in batches:
        writer.write(each)
    writer.finish()


def load(client: StorageApiArrowClient, partition: str, batches: list[pa.RecordBatch], **flags: Any) -> None:
    session = client.create_write_session(f"pt={partition}", flags).session_id
    assert session
    write_stream(client, session, 0, batches)
    client.commit_write_session(session)


def read_all(client: StorageApiArrowClient, **options: Any) -> pa.Table:
    session = client.create_read_session(**options)
    assert session.session_status is SessionStatus.NORMAL
    batches = [
        each
        for split in range(session.splits_count or 0)
        for each in drained(client.read_rows_arrow(session.session_id or "", split))
    ]
    return pa.Table.from_batches(batches) if batches else pa.table({})


def drained(reader: ArrowReader) -> Iterator[pa.RecordBatch]:
    while (each := reader.read()) is not None:
        yield each
    assert reader.get_request_id()


def halves(stream: int) -> list[pa.RecordBatch]:
    return [batch(stream * ROWS, ROWS // 2), batch(stream * ROWS + ROWS // 2, ROWS // 2)]


@pytest.mark.parametrize("compression", list(Compression))
def test_parallel_streams_and_splits(client: StorageApiArrowClient, compression: Compression) -> None:
    session = client.create_write_session("pt=a").session_id
    assert session
    assert not client.get_write_session(session).streams
    threads = [
        threading.Thread(
            target=write_stream,
            args=(client, session, stream, halves(stream)),
            kwargs={"compression": compression, "record_count": ROWS},
        )
        for stream in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    streams = client.get_write_session(session).streams
    assert sorted((each["StreamId"], each["Status"]) for each in streams) == [
        ("0", "CLOSED"),
        ("1", "CLOSED"),
    ]
    client.commit_write_session(session)

    parallel = SplitOptions(split_mode=SplitOptions.SplitMode.PARALLELISM, split_number=3)
    reading = client.create_read_session(split_options=parallel)
    assert (reading.splits_count, reading.record_count) == (3, 2 * ROWS)
    assert reading.session_id
    assert [each.name for each in reading.data_schema.data_columns] == ["id", "name"]
    found = pa.Table.from_batches(
        each
        for split in range(3)
        for each in drained(client.read_rows_arrow(reading.session_id, split, compression=compression))
    ).sort_by("id")
    assert found.column_names == ["id", "name", "pt"]
    assert found["id"].to_pylist() == list(range(2 * ROWS))
    assert found["name"].to_pylist() == [f"name {each}" for each in range(2 * ROWS)]
    assert set(found["pt"].to_pylist()) == {"a"}
    assert client.get_read_session(reading.session_id, refresh=True).session_status is SessionStatus.NORMAL


def test_a_writer_finished_without_a_batch_wrote_no_rows(client: StorageApiArrowClient) -> None:
    session = client.create_write_session("pt=a").session_id
    write_stream(client, session, 0, [])
    write_stream(client, session, 1, [batch(0, 3)])
    client.commit_write_session(session)
    assert client.create_read_session().record_count == 3


def test_a_commit_of_no_streams_publishes_nothing(client: StorageApiArrowClient) -> None:
    session = client.create_write_session("pt=a").session_id
    write_stream(client, session, 0, [batch(0, 3)])
    client.commit_write_session(session, [], [])
    assert client.create_read_session().record_count == 0


def test_rows_by_offset(client: StorageApiArrowClient) -> None:
    load(client, "a", [batch(0, 1000)])
    by_row = SplitOptions(split_mode=SplitOptions.SplitMode.ROW_OFFSET)
    session = client.create_read_session(split_options=by_row, required_data_columns=["id"])
    assert (session.session_id, session.record_count) != (None, None)
    reader = client.read_rows_arrow(session.session_id or "", row_offset=0, row_count=700, skip_row_num=690)
    assert [each for rows in drained(reader) for each in rows.column("id").to_pylist()] == list(
        range(690, 700)
    )


def test_overwriting_a_partition(client: StorageApiArrowClient) -> None:
    load(client, "a", [batch(0, 10)])
    load(client, "b", [batch(10, 10)])
    load(client, "a", [batch(20, 5)], overwrite=True)
    assert sorted(read_all(client)["id"].to_pylist()) == [*range(10, 25)]
    assert sorted(read_all(client, required_partitions=["pt=a"])["id"].to_pylist()) == [*range(20, 25)]


def test_aborting_leaves_nothing(client: StorageApiArrowClient) -> None:
    session = client.create_write_session("pt=a").session_id
    assert session
    write_stream(client, session, 0, [batch(0, 10)])
    client.abort_write_session(session)
    client.abort_write_session(session)
    assert read_all(client).num_rows == 0
    with pytest.raises(errors.ODPSError) as caught:
        client.commit_write_session(session)
    assert isinstance(caught.value, ClientError)
    assert caught.value.status_code == 409


def test_preview(client: StorageApiArrowClient) -> None:
    load(client, "a", [batch(0, 100)])
    (rows,) = list(drained(client.preview_table_arrow(limit=7)))
    assert (rows.num_rows, rows.schema.names) == (7, ["id", "name", "pt"])
    (names,) = list(drained(client.preview_table_arrow(limit=3, partition="pt=a", columns=["name"])))
    assert names.schema.names == ["name"]
    with client.preview_table() as raw:
        assert pa.ipc.open_stream(raw).read_all().num_rows == 100


def test_the_wrong_schema_fails_the_stream(client: StorageApiArrowClient) -> None:
    session = client.create_write_session("pt=a").session_id
    assert session
    client.create_write_stream(session, 0)
    writer = client.write_rows_arrow(session, 0)
    wrong = pa.record_batch({"unknown": pa.array(range(100_000))})
    with pytest.raises(errors.ODPSError) as caught:
        write_and_finish(writer, [wrong] * 200)
    assert caught.value.code == "SCHEMA_MISMATCH"
    assert caught.value.request_id
    state = client.get_write_stream(session, "0", 0)
    assert (state.status, state.error_code) == ("ERROR", "SCHEMA_MISMATCH")
    client.create_write_stream(session, 0, 1)
    writer = client.write_rows_arrow(session, 0, 1)
    writer.write(batch(0, 3))
    writer.finish()
    client.close_write_stream(session, 0, 1)
    client.commit_write_session(session)
    assert read_all(client).num_rows == 3


KILLED = """
import os, signal, sys
import pyarrow as pa
from maxlake.client import StorageApiArrowClient
from odps import ODPS

endpoint, project, access_id, key, table, session = sys.argv[1:]
odps = ODPS(access_id, key, project, endpoint=endpoint)
client = StorageApiArrowClient(odps, odps.get_table(table))
state = client.get_write_stream(session, "0", 0, exactly_once_mode=True)

def rows(start, count):
    ids = range(start, start + count)
    return pa.record_batch({"id": pa.array(ids), "name": [f"name {each}" for each in ids]})

writer = client.write_rows_arrow(session, 0, row_offset=state.row_offset, access_token=state.access_token)
writer.write(rows(0, 1000))
writer.finish()
writer = client.write_rows_arrow(session, 0, row_offset=1000, access_token=state.access_token)
writer.write(rows(1000, 200_000))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_upload_is_resumed_exactly_once(server: LocalServer, client: StorageApiArrowClient) -> None:
    session = client.create_write_session("pt=a").session_id
    client.create_write_stream(session, 0)
    arguments = (server.endpoint, server.project, server.access_id, server.secret, client.table.name, session)
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    state = client.get_write_stream(session, "0", 0, exactly_once_mode=True)
    assert (state.status, state.row_offset) == ("OPEN", 1000)
    writer = client.write_rows_arrow(session, 0, row_offset=state.row_offset, access_token=state.access_token)
    write_and_finish(writer, [batch(1000, 4000)])
    answer = writer.get_write_stream_response()
    assert answer is not None
    assert answer.exactly_once_row_offset == 5000
    client.close_write_stream(session, 0)
    client.commit_write_session(session)
    assert sorted(read_all(client)["id"].to_pylist()) == list(range(5000))


def test_errors(server: LocalServer, client: StorageApiArrowClient) -> None:
    with pytest.raises(errors.NoSuchObject):
        client.get_read_session("nothing")
    with pytest.raises(errors.NoSuchObject):
        client.get_write_session("nothing")
    with pytest.raises(errors.InvalidArgument):
        client.create_read_session(filter_predicate="no such column")
    with pytest.raises(errors.NoSuchTable):
        StorageApiClient(server.odps(), server.odps().get_table("missing")).create_read_session()
    stranger = ODPS(server.access_id, "wrong", server.project, endpoint=server.endpoint)
    wrong = StorageApiClient(stranger, client.table, rest_endpoint=server.endpoint)
    with pytest.raises(errors.ODPSError) as caught:
        wrong.create_read_session()
    assert caught.value.status_code == 401


def test_an_endpoint_that_ends_in_api(server: LocalServer, client: StorageApiArrowClient) -> None:
    load(client, "a", [batch(0, 5)])
    for endpoint in (server.endpoint, server.endpoint.removesuffix("/api")):
        other = StorageApiArrowClient(server.odps(), client.table, rest_endpoint=endpoint)
        assert read_all(other).num_rows == 5


def test_a_pickled_client_works(client: StorageApiArrowClient) -> None:
    session = client.create_write_session("pt=a").session_id
    copy = pickle.loads(pickle.dumps(client))
    write_stream(copy, session, 0, [batch(0, 3)])
    copy.commit_write_session(session)
    assert client.create_read_session().record_count == 3


@pytest.mark.parametrize("tags", ["метка", "a\r\nX-Evil: 1"])
def test_tags_that_no_header_holds_are_refused(client: StorageApiArrowClient, tags: str) -> None:
    with pytest.raises(ValueError, match="tags"):
        StorageApiArrowClient(client._odps, client.table, tags=tags)
