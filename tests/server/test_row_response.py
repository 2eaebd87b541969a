"""Rows to the wire: every compression reads back, memory stays bounded, failures cut the answer."""

from __future__ import annotations

import asyncio
import io
import threading

import lz4.frame
import pyarrow as pa
import pytest
import zstandard

from maxlake.protocol import limits
from maxlake.protocol.enums import Codec
from maxlake.protocol.errors import invalid_argument
from maxlake.server.dialects import Compression, Layer
from maxlake.server.exchange import Exchange
from maxlake.server.row_response import pieces, send_rows
from maxlake.server.workers import Workers
from maxlake.service.rows import RowStream

BATCH = pa.record_batch(
    {"id": pa.array(range(4096)), "name": pa.array([f"name {n % 99}" for n in range(4096)])}
)
END_MARKER = b"\xff\xff\xff\xff\x00\x00\x00\x00"
CHOICES = [None, *(Compression(codec, layer) for codec in Codec for layer in Layer)]


def _decompressed(body: bytes, compression: Compression | None) -> bytes:
    if compression is None or compression.layer is Layer.IPC_BUFFERS:
        return body
    if compression.codec is Codec.ZSTD:
        return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(body)).read()
    return lz4.frame.decompress(body)


@pytest.mark.parametrize("count", [0, 1, 100])
@pytest.mark.parametrize("compression", CHOICES, ids=str)
def test_every_compression_reads_back(compression, count):
    made = list(pieces(RowStream(BATCH.schema, iter([BATCH] * count)), compression))
    assert all(len(piece) >= limits.ROW_PIECE for piece in made[:-1])
    assert len(made[-1]) < limits.ROW_PIECE
    plain = _decompressed(b"".join(made), compression)
    assert plain.endswith(END_MARKER)
    with pa.ipc.open_stream(plain) as reader:
        assert reader.read_all() == pa.Table.from_batches([BATCH] * count, schema=BATCH.schema)


def test_dictionaries_and_nested_columns_read_back():
    batch = pa.record_batch(
        {
            "word": pa.array(["a", "b", "a"]).dictionary_encode(),
            "list": pa.array([[1], None, [2, 3]]),
            "map": pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.int64())),
        }
    )
    body = b"".join(pieces(RowStream(batch.schema, iter([batch, batch])), None))
    with pa.ipc.open_stream(body) as reader:
        assert reader.read_all() == pa.Table.from_batches([batch, batch])


class _Client:
    """One request's ASGI callables. ``take`` pieces are accepted, then the client is gone or stuck."""

    def __init__(self, take: int | None = None) -> None:
        self.start: dict | None = None
        self.bodies: list[bytes] = []
        self.complete = False
        self._take = take
        self._gone = asyncio.Event()
        self.stuck = asyncio.Event()

    async def receive(self):
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        if message["type"] == "http.response.start":
            self.start = message
            return
        if self._take is not None and len(self.bodies) >= self._take:
            self._gone.set()
            await self.stuck.wait()
            return
        self.bodies.append(message["body"])
        self.complete = not message["more_body"]

    def exchange(self) -> Exchange:
        scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
        return Exchange(scope, self.receive, self.send)


def _send(client: _Client, open_rows, compression=None) -> None:
    async def run():
        workers = Workers()
        try:
            await send_rows(client.exchange(), workers, open_rows, compression)
        finally:
            workers.close()

    async def main():
        client.__init__(client._take)  # events belong to this loop
        await run()

    asyncio.run(main())


def test_a_short_answer_has_its_exact_length():
    client = _Client()
    _send(client, lambda: RowStream(BATCH.schema, iter([BATCH])))
    headers = dict(client.start["headers"])
    assert headers[b"content-length"] == str(len(b"".join(client.bodies))).encode()
    assert client.complete
    assert b"content-encoding" not in headers


@pytest.mark.parametrize("codec", Codec)
def test_only_whole_body_compression_is_named_in_content_encoding(codec):
    for layer in Layer:
        client = _Client()
        _send(client, lambda: RowStream(BATCH.schema, iter([BATCH])), Compression(codec, layer))
        named = dict(client.start["headers"]).get(b"content-encoding")
        assert named == (codec.value.encode() if layer is Layer.WHOLE_BODY else None)


def test_an_error_before_the_first_piece_is_an_ordinary_error():
    def rows():
        raise invalid_argument("no such split")
        yield BATCH

    client = _Client()
    with pytest.raises(type(invalid_argument("")), match="no such split"):
        _send(client, lambda: RowStream(BATCH.schema, rows()))
    assert client.start is None


def test_an_error_after_the_first_piece_cuts_the_answer_without_an_end_marker():
    def rows():
        for _ in range(50):
            yield BATCH
        raise RuntimeError("disk gone")

    client = _Client()
    with pytest.raises(RuntimeError, match="disk gone"):
        _send(client, lambda: RowStream(BATCH.schema, rows()))
    assert client.start is not None
    assert not client.complete
    body = b"".join(client.bodies)
    assert len(body) >= limits.ROW_PIECE
    assert not body.endswith(END_MARKER)


def test_a_client_that_goes_away_ends_the_producer_soon():
    made, closed = [], threading.Event()

    def rows():
        try:
            for number in range(10_000):
                made.append(number)
                yield BATCH
        finally:
            closed.set()

    client = _Client(take=2)

    async def unstick():
        client.__init__(2)
        workers = Workers()

        async def release():
            while not client._gone.is_set():
                await asyncio.sleep(0.01)
            client.stuck.set()

        await asyncio.gather(
            send_rows(client.exchange(), workers, lambda: RowStream(BATCH.schema, rows()), None), release()
        )
        workers.close()

    asyncio.run(unstick())
    assert closed.is_set()
    assert not client.complete
    batches_per_piece = limits.ROW_PIECE // BATCH.nbytes + 2
    assert len(made) <= 5 * batches_per_piece


def test_a_client_that_takes_nothing_holds_up_the_producer():
    made = []

    def rows():
        for number in range(10_000):
            made.append(number)
            yield BATCH

    async def main():
        client = _Client(take=1)
        workers = Workers()
        task = asyncio.create_task(
            send_rows(client.exchange(), workers, lambda: RowStream(BATCH.schema, rows()), None)
        )
        await client._gone.wait()
        await asyncio.sleep(0.2)
        before = len(made)
        await asyncio.sleep(0.2)
        assert len(made) == before
        assert before < 10_000
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        workers.close()

    asyncio.run(main())
