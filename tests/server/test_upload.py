"""The source of bytes that the event loop fills."""

from __future__ import annotations

import asyncio
import io
import time
from random import Random

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxlake.protocol import limits
from maxlake.protocol.errors import BadRequestError, BusyError
from maxlake.server.exchange import BodyCut, Exchange
from maxlake.server.upload import UploadBody, UploadQueues


class _Source:
    def __init__(self, pieces: list[bytes], *, cut: bool = False, pause: float = 0) -> None:
        self._pieces = list(pieces)
        self._cut = cut
        self._pause = pause
        self.sent = 0

    async def receive(self):
        await asyncio.sleep(self._pause)
        if self._pieces:
            piece = self._pieces.pop(0)
            self.sent += len(piece)
            return {"type": "http.request", "body": piece, "more_body": bool(self._pieces) or self._cut}
        return {"type": "http.disconnect"}

    def exchange(self) -> Exchange:
        headers = [(b"transfer-encoding", b"chunked")]
        return Exchange({"type": "http", "headers": headers}, self.receive, None)


def _run(source: _Source, reader, **options):
    async def main():
        body = UploadBody(options.pop("limit", 1 << 30), options.pop("queues", UploadQueues()), **options)
        pump = asyncio.create_task(body.pump(source.exchange()))
        try:
            return await asyncio.to_thread(reader, body)
        finally:
            pump.cancel()
            await asyncio.wait([pump])

    return asyncio.run(main())


class _File(io.RawIOBase):
    """A body as a file."""

    def __init__(self, body: UploadBody) -> None:
        super().__init__()
        self._body = body

    def readable(self) -> bool:
        return True

    def readinto(self, into) -> int:
        while (count := self._body.readinto(into)) is None:
            pass
        return count


def _read(body: UploadBody, size: int = -1) -> bytes:
    return io.BufferedReader(_File(body), 1).read(size)


@settings(max_examples=40)
@given(
    st.lists(st.binary(min_size=1, max_size=50), min_size=1),
    st.lists(st.integers(0, 80)),
    st.integers(1, 100),
)
def test_what_was_sent_is_read_in_any_sizes(pieces, sizes, queue):
    def reader(body: UploadBody) -> bytes:
        parts = []
        for size in sizes:
            part = _read(body, size)
            assert len(part) == size or b"".join(parts) + part == b"".join(pieces)
            parts.append(part)
        return b"".join(parts) + _read(body)

    assert _run(_Source(pieces), reader, queue=queue) == b"".join(pieces)


def test_the_end_is_empty_for_good():
    assert _run(_Source([b"abc"]), lambda body: (_read(body, 5), _read(body, 5), _read(body))) == (
        b"abc",
        b"",
        b"",
    )


def test_a_slow_reader_holds_up_the_sender():
    source = _Source([bytes(1000)] * 1000)

    def reader(body: UploadBody) -> int:
        _read(body, 1)
        time.sleep(0.1)
        return source.sent

    assert _run(source, reader, queue=10_000) <= 12_000


def test_a_client_that_goes_away_is_an_error_not_an_end():
    with pytest.raises(BodyCut):
        _run(_Source([b"abc"], cut=True), _read)
    assert issubclass(BodyCut, ConnectionError)


def test_a_client_that_stalls_is_an_error():
    with pytest.raises(BusyError, match="nothing"):
        _run(_Source([b"abc", b"d"], pause=5), _read, stall=0.05)


def test_more_than_the_limit_is_refused_while_reading():
    with pytest.raises(BadRequestError, match="larger than 2500"):
        _run(_Source([bytes(1000)] * 10), _read, limit=2500)


def test_arrow_reads_from_it():
    table = pa.table({"n": pa.array(range(100_000))})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=5000)
    data, random, pieces = sink.getvalue().to_pybytes(), Random(7), []
    while data:
        size = random.randint(1, 70_000)
        pieces.append(data[:size])
        data = data[size:]

    def reader(body: UploadBody) -> pa.Table:
        with pa.ipc.open_stream(io.BufferedReader(_File(body))) as stream:
            return stream.read_all()

    assert _run(_Source(pieces), reader, queue=100_000) == table


def test_nothing_yet_is_not_the_end():
    def reader(body: UploadBody) -> list[int | None]:
        into = memoryview(bytearray(10))
        return [body.readinto(into) for _ in range(2)]

    assert _run(_Source([b"abc"], pause=0.2), reader, pause=0.01)[0] is None


def test_uploads_share_their_queues_and_none_is_starved():
    """What others hold leaves an upload its share, and it gives back what it held."""
    mebibyte = 1024 * 1024
    queues = UploadQueues(16 * mebibyte)
    share = mebibyte // limits.MAX_CONCURRENT_UPLOADS
    queues.add(4 * mebibyte)
    source = _Source([bytes(share // 4)] * 100)

    def reader(body: UploadBody) -> int:
        time.sleep(0.1)
        assert share <= source.sent <= 2 * share
        return len(_read(body))

    assert _run(source, reader, queues=queues) == 25 * share
    queues.add(-mebibyte)
    assert queues.allow(share + 1)
    queues.add(1)
    assert not queues.allow(share + 1)
