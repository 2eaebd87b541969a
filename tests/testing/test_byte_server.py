"""The byte server answers as the protocol says, to our client and to PyODPS' of 0.13.0."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pytest

from maxlake.client import SplitOptions, StorageApiArrowClient
from maxlake.testing import ByteServer, Received, byte_server
from odps import errors
from tests.clients.environments import run_in_client

ROWS = pa.table({"id": pa.array(range(1000)), "name": [f"name {number}" for number in range(1000)]})
#: Ten batches.
BATCHES = ROWS.to_batches(max_chunksize=100)
PYODPS = Path(__file__).parents[1] / "clients" / "scripts" / "byte_server.py"


@pytest.fixture(scope="module")
def server() -> Iterator[ByteServer]:
    with byte_server(pa.Table.from_batches(BATCHES)) as running:
        yield running


@pytest.fixture
def client(server: ByteServer) -> StorageApiArrowClient:
    odps = server.odps()
    return StorageApiArrowClient(odps, odps.get_table(server.table))


def read(
    client: StorageApiArrowClient, split: int | None = None, session: str = "", **what: int
) -> list[int]:
    session = session or client.create_read_session().session_id
    rows = pa.ipc.open_stream(client.read_rows_stream(session, split, **what)).read_all()
    assert rows.schema == ROWS.schema
    return rows["id"].to_pylist()


def write(client: StorageApiArrowClient) -> None:
    session = client.create_write_session().session_id
    client.create_write_stream(session, stream_id=0)
    writer = client.write_rows_arrow(session, stream_id=0, record_count=ROWS.num_rows)
    for batch in BATCHES:
        assert writer.write(batch)
    assert writer.finish()[1]
    assert client.get_write_session(session).streams == []
    assert client.get_write_stream(session, "0", 0).status == "OPEN"
    client.close_write_stream(session, stream_id=0)
    client.commit_write_session(session)


def test_a_table_is_described(server: ByteServer) -> None:
    table = server.odps().get_table(server.table)
    assert [(column.name, column.type.name) for column in table.table_schema] == [
        ("id", "bigint"),
        ("name", "string"),
    ]


def test_splits_are_shares_of_the_batches(client: StorageApiArrowClient) -> None:
    options = SplitOptions(split_mode=SplitOptions.SplitMode.PARALLELISM, split_number=3)
    session = client.create_read_session(split_options=options)
    assert (session.splits_count, session.record_count) == (3, 1000)
    assert client.get_read_session(session.session_id).splits_count == 3
    shares = [read(client, split, session.session_id) for split in range(3)]
    assert [len(share) for share in shares] == [300, 300, 400]
    assert [*chain(*shares)] == list(range(1000))
    assert read(client, None, session.session_id) == list(range(1000))
    assert client.create_read_session().splits_count == 1


def test_whole_batches_are_addressed(client: StorageApiArrowClient) -> None:
    assert read(client, row_offset=300, row_count=200) == list(range(300, 500))
    assert read(client, row_offset=300, row_count=200, skip_row_num=100) == list(range(400, 500))
    assert read(client, row_offset=900) == list(range(900, 1000))
    assert read(client, row_offset=5000) == []
    with pytest.raises(errors.InvalidArgument, match="whole batches"):
        read(client, row_offset=150)


def test_an_upload_is_counted(server: ByteServer, client: StorageApiArrowClient) -> None:
    before = server.received()
    write(client)
    write(client)
    assert server.received() == Received(
        uploads=before.uploads + 2,
        byte_count=before.byte_count + 2 * len(ipc(BATCHES)),
        row_count=before.row_count + 2000,
    )


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda c: c.create_read_session(filter_predicate="id > 1"), errors.InvalidArgument),
        (lambda c: c.create_read_session(required_data_columns=["id"]), errors.InvalidArgument),
        (lambda c: c.read_rows_stream("Size-1", data_columns=["id"]).read(), errors.InvalidArgument),
        (lambda c: c.read_rows_stream("Size-1", 1).read(), errors.InvalidArgument),
        (lambda c: c.read_rows_stream("unknown").read(), errors.NoSuchObject),
        (lambda c: c.read_rows_stream("Size-1", "first").read(), errors.InvalidArgument),
        (lambda c: c.get_write_stream("s", "0", 0, exactly_once_mode=True), errors.InvalidArgument),
        (lambda c: c.preview_table().read(), errors.InvalidArgument),
    ],
)
def test_what_is_not_served_is_an_error(
    client: StorageApiArrowClient, call: Callable[[StorageApiArrowClient], object], error: type[Exception]
) -> None:
    client.retry_seconds = 0
    with pytest.raises(error):
        call(client)


def ipc(batches: list[pa.RecordBatch], **options: str) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, ROWS.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("batches", [BATCHES, []], ids=["rows", "none"])
def test_a_recorded_answer_is_replayed_as_it_is(tmp_path: Path, batches: list[pa.RecordBatch]) -> None:
    body = ipc(batches, compression="zstd")
    (tmp_path / "rows").write_bytes(body)
    with byte_server(tmp_path / "rows") as server:
        client = StorageApiArrowClient(odps := server.odps(), odps.get_table("rows"))
        session = client.create_read_session()
        assert session.record_count == sum(batch.num_rows for batch in batches)
        assert client.read_rows_stream(session.session_id).read() == body


@pytest.mark.parametrize(
    "damage",
    [lambda b: b[:-8], lambda b: b[:-100], lambda b: b + b"x", lambda b: b"", lambda b: b"x" * 99],
    ids=["no end", "cut", "more", "empty", "text"],
)
def test_a_file_that_is_no_complete_stream_is_refused(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    (tmp_path / "rows").write_bytes(damage(ipc(BATCHES)))
    with pytest.raises(ValueError, match="rows"), byte_server(tmp_path / "rows"):
        pass


def test_dictionaries_are_refused() -> None:
    rows = ROWS.set_column(1, "name", ROWS["name"].dictionary_encode())
    with pytest.raises(ValueError, match="dictionary"), byte_server(rows):
        pass


def test_pyodps_reads_and_writes(server: ByteServer) -> None:
    before = server.received()
    done = run_in_client("0.13.0", PYODPS, server.endpoint)
    assert done.returncode == 0, done.stderr
    assert server.received().uploads == before.uploads + 1
    assert server.received().byte_count == before.byte_count + len(ipc(BATCHES))


def test_its_process_ends_with_the_with() -> None:
    with byte_server(ROWS) as server:
        os.kill(server.pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)
