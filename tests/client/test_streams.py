"""Readers and writers of rows: as files, when rows are missing, when the service says no."""

import contextlib
import io
import threading
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxlake.client import ArrowReader, ArrowWriter, Compression, Status, StreamReader, StreamWriter
from maxlake.client.arrow_messages import ArrowMessages, MessageKind
from maxlake.client.buffers import BufferRing
from maxlake.client.errors import (
    BrokenConnectionError,
    ClientError,
    MalformedAnswerError,
    TruncatedStreamError,
)
from maxlake.client.memory_budget import MemoryBudget
from maxlake.protocol.limits import CLIENT_MAX_MEMORY, CLIENT_READ_BUFFERS, CLIENT_UPLOAD_CHUNK
from odps import errors
from tests.client.replay import HANG_UP, ReplayServer, Reply

EOS = b"\xff\xff\xff\xff\x00\x00\x00\x00"
# Its last eight bytes look like an end marker: only following the frames tells them apart.
DECEPTIVE = 0x00000000_FFFFFFFF
BATCHES = [
    pa.record_batch({"a": pa.array(range(start, start + 500)), "s": ["text"] * 500}) for start in (0, 500)
] + [pa.record_batch({"a": pa.array([7] * 499 + [DECEPTIVE]), "s": pa.array([None] * 500, pa.string())})]


def ipc(batches: list[pa.RecordBatch], codec: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(
        sink, batches[0].schema, options=pa.ipc.IpcWriteOptions(compression=codec)
    ) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


ROWS = ipc(BATCHES)
LAST_COLUMN_DECEPTIVE = ipc([pa.record_batch({"a": pa.array([1, 2, 3, DECEPTIVE])})])
COMMITTED = Reply(
    {"CommitMessage": "cm", "WarningMessage": "w", "ExactlyOnceRowOffset": 6},
    headers={"x-odps-request-id": "req-w", "x-odps-max-storage-route-token": "rt-w"},
)


def exhaust(reader: ArrowReader) -> None:
    while reader.read() is not None:
        pass


def write_all(writer: Any, pieces: list[Any]) -> None:
    for piece in pieces:
        writer.write(piece)


# -- reading ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", [None, "zstd", "lz4"])
@pytest.mark.parametrize("chunked", [True, False])
def test_reading_batches(codec: str | None, chunked: bool) -> None:
    with ReplayServer(Reply(ipc(BATCHES, codec), chunked=chunked)) as server:
        reader = server.client().read_rows_arrow("s", 0)
        assert reader.get_status() is Status.RUNNING
        assert [reader.read(), reader.read(), reader.read()] == BATCHES
        assert (reader.read(), reader.read()) == (None, None)
        assert (reader.get_status(), reader.get_request_id()) == (Status.OK, "req-1")


def test_reading_gives_the_connection_back() -> None:
    with ReplayServer(Reply(ROWS)) as server:
        client = server.client()
        for _ in range(3):
            client.read_rows_stream("s").read()
            exhaust(client.read_rows_arrow("s"))
        assert server.connections == 1


def test_a_reader_is_a_file() -> None:
    with ReplayServer(Reply(ROWS)) as server:
        with server.client().read_rows_stream("s") as reader:
            assert isinstance(reader, io.IOBase)
            assert reader.readable()
            assert not reader.writable()
            assert reader.read(10) + reader.read(0) + reader.read(7) == ROWS[:17]
            assert reader.read() == ROWS[17:]
            assert (reader.read(), reader.read(1), reader.readable()) == (b"", b"", False)
        assert reader.closed
        with pytest.raises(ValueError, match="closed"):
            reader.read(1)
        table = pa.ipc.open_stream(server.client().read_rows_stream("s")).read_all()
        assert table.to_batches() == BATCHES
        assert io.BufferedReader(server.client().read_rows_stream("s")).read() == ROWS  # type: ignore[arg-type]


def test_closing_early_is_allowed() -> None:
    with ReplayServer(Reply(ROWS)) as server:
        client = server.client()
        reader = client.read_rows_stream("s")
        reader.read(5)
        reader.close()
        assert reader.get_status() is Status.RUNNING
        assert client.read_rows_stream("s").read() == ROWS


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("cut", [0, 3, 8, 400, len(ROWS) - 9, len(ROWS) - 8, len(ROWS) - 1])
def test_a_cut_connection_is_noticed(cut: int, chunked: bool) -> None:
    with ReplayServer(Reply(ROWS, chunked=chunked, cut=cut)) as server:
        reader = server.client().read_rows_stream("s")
        for _ in range(2):
            with pytest.raises(TruncatedStreamError) as caught:
                reader.read()
            assert isinstance(caught.value, errors.ODPSError)
            assert (caught.value.request_id, caught.value.status_code) == ("req-1", 200)
        batches = server.client().read_rows_arrow("s")
        with pytest.raises(TruncatedStreamError):
            exhaust(batches)
        assert batches.get_status() is Status.RUNNING


@pytest.mark.parametrize("body", [ROWS[:-8], LAST_COLUMN_DECEPTIVE[:-8], b"", ROWS[:100]])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_missing_end_marker_is_noticed(body: bytes, chunked: bool) -> None:
    with ReplayServer(Reply(body, chunked=chunked)) as server:
        with pytest.raises(TruncatedStreamError, match="end marker"):
            server.client().read_rows_stream("s").read()
        reader = server.client().read_rows_arrow("s")
        with pytest.raises(TruncatedStreamError, match="end marker"):
            exhaust(reader)


@pytest.mark.parametrize(
    "body", [b"no arrow at all", b"\x28\xb5\x2f\xfd" + bytes(60), ROWS + b"x", EOS + EOS]
)
def test_what_is_not_arrow_is_refused(body: bytes) -> None:
    with ReplayServer(Reply(body)) as server, pytest.raises(MalformedAnswerError):
        server.client().read_rows_stream("s").read()


def test_arrow_that_cannot_be_decoded_is_refused() -> None:
    with ReplayServer(Reply(ROWS[:16] + bytes(8) + ROWS[24:])) as server:
        with pytest.raises(errors.ODPSError) as caught:
            server.client().read_rows_arrow("s").read()
        assert caught.value.request_id == "req-1"


def test_nothing_is_read_after_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    with ReplayServer(Reply(ROWS)) as server:
        reader = server.client().read_rows_stream("s")
        reader.read(8)
        while reader._pieces:
            reader.read(1)

        def interrupted() -> Any:
            raise KeyboardInterrupt

        monkeypatch.setattr(reader._rows, "next", interrupted)
        with pytest.raises(KeyboardInterrupt):
            reader.read(100)
        monkeypatch.undo()
        with pytest.raises(KeyboardInterrupt):
            reader.read(100)


def messages(body: bytes, sizes: list[int]) -> ArrowMessages:
    """The messages of a body that comes in pieces of these sizes, then whole."""
    source, wanted = io.BytesIO(body), iter(sizes)
    return ArrowMessages(lambda view: source.readinto(view[: next(wanted, len(view))]), ring())


@settings(max_examples=60)
@given(st.lists(st.integers(1, 900), max_size=40), st.integers(0, len(ROWS)))
def test_messages_come_whole_up_to_the_end_marker(sizes: list[int], cut: int) -> None:
    found, received = [], messages(ROWS[:cut], sizes)
    with contextlib.suppress(TruncatedStreamError):
        while not found or found[-1].kind is not MessageKind.END:
            found.append(received.next())
    assert b"".join(each.head + bytes(each.body) for each in found) == ROWS[: sum(map(size_of, found))]
    assert sum(each.row_count for each in found) <= 1500
    whole = [MessageKind.SCHEMA, *[MessageKind.ROWS] * 3, MessageKind.END]
    kinds = [each.kind for each in found]
    assert kinds == whole if cut == len(ROWS) else kinds == whole[: len(kinds)] and len(kinds) < 5


def size_of(message: Any) -> int:
    return len(message.head) + len(message.body)


@settings(max_examples=150)
@given(st.binary(max_size=200))
def test_no_bytes_break_the_messages(garbage: bytes) -> None:
    for data in (garbage, b"\xff\xff\xff\xff\x40\x00\x00\x00" + garbage):
        received = messages(data, [])
        with contextlib.suppress(ClientError):
            while received.next().kind is not MessageKind.END:
                pass


def ring(limit: int = CLIENT_MAX_MEMORY) -> BufferRing:
    return BufferRing(MemoryBudget(limit).reservation())


def test_buffers_in_use_are_never_reused() -> None:
    buffers = ring()
    kept = [buffers.take(1000) for _ in range(3 * CLIENT_READ_BUFFERS)]
    for number, view in enumerate(kept):
        view[:] = bytes([number]) * 1000
    assert [view[999] for view in kept] == list(range(len(kept)))
    first = buffers.take(10)
    address = id(first.obj)
    del first
    assert id(buffers.take(10).obj) == address


def test_batches_that_are_kept_stay_as_they_were() -> None:
    many = [pa.record_batch({"a": pa.array([number] * 20_000)}) for number in range(40)]
    with ReplayServer(Reply(ipc(many))) as server:
        reader = server.client().read_rows_arrow("s")
        assert [reader.read() for _ in many] == many


# -- writing ------------------------------------------------------------------------------------------


def test_writing_bytes() -> None:
    with ReplayServer(COMMITTED) as server:
        writer = server.client().write_rows_stream("s", 0)
        assert isinstance(writer, io.IOBase)
        assert (writer.writable(), writer.get_status()) == (True, Status.RUNNING)
        assert (writer.get_request_id(), writer.get_route_token()) == (None, None)
        assert writer.get_write_stream_response() is None
        assert server.connections == 0
        for piece in (b"ab", bytearray(b"cd"), memoryview(b"ef"), pa.py_buffer(b"gh")):
            assert writer.write(piece)
        assert writer.finish() == ("cm", True)
        assert server.last.body == b"abcdefgh"
        assert (writer.writable(), writer.get_status()) == (False, Status.OK)
        assert (writer.get_request_id(), writer.get_route_token()) == ("req-w", "rt-w")
        response = writer.get_write_stream_response()
        assert (response.exactly_once_row_offset, response.warning_message) == (6, "w")
        assert response.request_id == "req-w"
        assert writer.write(b"more") is False
        assert writer.finish() == ("cm", True)
        assert len(server.requests) == 1


def test_a_response_without_exactly_once_data_is_none() -> None:
    with ReplayServer(Reply({"CommitMessage": "cm"})) as server:
        writer = server.client().write_rows_stream("s", 0)
        writer.finish()
        assert writer.get_write_stream_response() is None


def test_the_route_token_is_handed_on() -> None:
    tokens: list[str] = []
    with ReplayServer(COMMITTED) as server:
        inner = server.client().write_rows_stream("s", 0)
        writer = StreamWriter(inner._begin, on_route_token=tokens.append)
        writer.finish()
        assert tokens == ["rt-w"]
        assert StreamWriter(inner._begin).finish() == ("cm", True)


@pytest.mark.parametrize("compression", list(Compression))
def test_writing_batches(compression: Compression) -> None:
    with ReplayServer(COMMITTED) as server:
        writer = server.client().write_rows_arrow("s", 0, compression=compression)
        for batch in BATCHES:
            assert writer.write(batch)
        assert writer.finish() == ("cm", True)
        assert (writer.write(BATCHES[0]), writer.finish()) == (False, ("cm", True))
        assert (writer.get_status(), writer.get_request_id()) == (Status.OK, "req-w")
        assert writer.get_write_stream_response().exactly_once_row_offset == 6
        body = server.last.body
        assert pa.ipc.open_stream(body).read_all().to_batches() == BATCHES
        assert body.endswith(EOS)
        assert (len(body) == len(ROWS)) == (compression is Compression.UNCOMPRESSED)


def test_large_pieces_and_many_small_ones() -> None:
    large = bytes(range(256)) * 40_000
    with ReplayServer(COMMITTED) as server:
        writer = server.client().write_rows_stream("s", 0)
        expected = bytearray()
        for piece in [large, *[b"x" * 1000] * 3000, large, b"end"]:
            assert writer.write(piece)
            expected += piece
        writer.finish()
        assert server.last.body == expected
        assert min(server.last.chunk_sizes[:-1]) >= CLIENT_UPLOAD_CHUNK


def test_what_was_written_may_be_changed_afterwards() -> None:
    with ReplayServer(COMMITTED) as server:
        writer = server.client().write_rows_stream("s", 0)
        for size in (10, 200_000):
            piece = bytearray(b"a" * size)
            writer.write(piece)
            piece[:] = b"z" * size
        writer.finish()
        assert set(server.last.body) == {ord("a")}


def test_leaving_a_with_block_finishes() -> None:
    with ReplayServer(COMMITTED) as server:
        with server.client().write_rows_stream("s", 0) as writer:
            writer.write(b"rows")
        assert (writer.closed, writer.finish()) == (True, ("cm", True))
        assert server.last.body == b"rows"


def test_leaving_a_with_block_by_an_error_discards() -> None:
    with ReplayServer(COMMITTED) as server:
        writer = server.client().write_rows_stream("s", 0)
        with contextlib.suppress(KeyError), writer:
            writer.write(bytes(2_000_000))
            raise KeyError
        assert (writer.closed, writer.finish(), writer.write(b"")) == (True, (None, False), False)
        assert server.requests == []


def refused(early: bool) -> Reply:
    return Reply({"Code": "SCHEMA_MISMATCH", "Message": "no such column"}, 400, early=early)


@pytest.mark.parametrize("arrow", [True, False])
def test_an_error_at_the_end_is_raised_once_by_finish(arrow: bool) -> None:
    with ReplayServer(refused(early=False)) as server:
        client = server.client()
        writer = client.write_rows_arrow("s", 0) if arrow else client.write_rows_stream("s", 0)
        assert writer.write(BATCHES[0] if arrow else b"rows")
        with pytest.raises(errors.ODPSError, match="no such column") as caught:
            writer.finish()
        stream = writer._stream if arrow else writer
        assert stream.error is caught.value
        assert (writer.finish(), writer.write(BATCHES[0] if arrow else b"x")) == ((None, False), False)
        assert (writer.get_status(), writer.get_request_id()) == (Status.RUNNING, "req-1")
        assert caught.value.code == "SCHEMA_MISMATCH"
        assert len(server.requests) == 1


@pytest.mark.parametrize("arrow", [True, False])
def test_an_early_error_is_raised_once_by_a_write(arrow: bool) -> None:
    batch = pa.record_batch({"a": pa.array(range(500_000))})
    with ReplayServer(refused(early=True)) as server:
        client = server.client()
        writer = client.write_rows_arrow("s", 0) if arrow else client.write_rows_stream("s", 0)
        with pytest.raises(errors.ODPSError, match="no such column"):
            write_all(writer, [batch if arrow else batch.column(0).buffers()[1]] * 100)
        assert (writer.write(batch), writer.finish()) == (False, (None, False))


def test_a_hung_up_upload_is_raised_once() -> None:
    with ReplayServer(HANG_UP) as server:
        writer = server.client().write_rows_stream("s", 0)
        writer.write(b"rows")
        with pytest.raises(BrokenConnectionError, match="not known") as caught:
            writer.finish()
        assert writer.error is caught.value
        assert isinstance(caught.value, errors.ODPSError)
        assert writer.finish() == (None, False)
        assert len(server.requests) == 1


def test_no_server_is_raised_by_the_write() -> None:
    with ReplayServer() as server:
        client = server.client()
    writer = client.write_rows_stream("s", 0)
    with pytest.raises(errors.ODPSError, match="cannot connect"):
        writer.write(bytes(100_000))
    assert (writer.write(b""), writer.finish()) == (False, (None, False))


def test_another_schema_is_refused_and_harms_nothing() -> None:
    with ReplayServer(COMMITTED) as server:
        writer = server.client().write_rows_arrow("s", 0)
        writer.write(BATCHES[0])
        with pytest.raises(ValueError, match="schema"):
            writer.write(pa.record_batch({"z": [1]}))
        with pytest.raises(TypeError, match="RecordBatch"):
            writer.write(BATCHES[0].to_pylist())
        writer.write(BATCHES[1])
        writer.finish()
        assert pa.ipc.open_stream(server.last.body).read_all().to_batches() == BATCHES[:2]


def test_many_threads_share_a_client() -> None:
    found: list[bytes] = []
    with ReplayServer(Reply(ROWS)) as server:
        client = server.client()

        def read() -> None:
            found.extend(client.read_rows_stream("s").read() for _ in range(5))

        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [ROWS] * 40
        assert server.connections <= 8


def test_wrapping_is_the_documented_one() -> None:
    with ReplayServer(Reply(ROWS)) as server:
        stream = server.client().read_rows_stream("s")
        assert isinstance(stream, StreamReader)
        assert ArrowReader(stream).read() == BATCHES[0]
    with ReplayServer(COMMITTED) as server:
        writer = ArrowWriter(server.client().write_rows_stream("s", 0), Compression.UNCOMPRESSED)
        assert (writer.write(BATCHES[0]), writer.finish()) == (True, ("cm", True))
