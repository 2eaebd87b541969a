"""Rows to the wire: Arrow IPC in pieces, produced in worker threads, one piece ahead of the socket.

A piece is produced while the one before it is sent, and no third exists: a slow client slows the
producer, and memory stays bounded. What fails before the first piece is an ordinary error answer; what
fails later cuts the connection before the end-of-stream marker (wire.md §5).
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Generator
from threading import Lock
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from maxlake.protocol import limits
from maxlake.protocol.enums import Codec
from maxlake.server.dialects import Compression, Layer
from maxlake.server.exchange import Exchange, Reply, stalled
from maxlake.server.workers import Workers

if TYPE_CHECKING:
    from maxlake.service.rows import RowStream

#: Arrow's names of the codecs clients ask for (wire.md §6).
_ARROW_CODEC = {Codec.ZSTD: "zstd", Codec.LZ4_FRAME: "lz4"}
_CONTENT_TYPE = "application/vnd.apache.arrow.stream"


class _Gather(io.RawIOBase):
    """A sink that keeps what Arrow writes without copying it, until it is taken."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[Any] = []
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._parts.append(data)
        self.size += len(data)
        return len(data)

    def take(self) -> bytes:
        """Return everything gathered since the last call, and forget it."""
        piece = b"".join(self._parts)
        self._parts.clear()
        self.size = 0
        return piece


def pieces(rows: RowStream, compression: Compression | None) -> Generator[bytes, None, None]:
    """Yield an IPC stream of the rows (schema, batches, end marker) in pieces.

    Every piece but the last holds at least ``ROW_PIECE`` bytes, the last one fewer.
    """
    gather = _Gather()
    sink = pa.PythonFile(gather, mode="w")
    options = pa.ipc.IpcWriteOptions()
    target = sink
    if compression is not None:
        codec = _ARROW_CODEC[compression.codec]
        if compression.layer is Layer.WHOLE_BODY:
            target = pa.CompressedOutputStream(sink, codec)
        else:
            options = pa.ipc.IpcWriteOptions(compression=codec)
    try:
        writer = pa.ipc.new_stream(target, rows.schema, options=options)
        for batch in rows.batches:
            writer.write_batch(batch)
            if gather.size >= limits.ROW_PIECE:
                yield gather.take()
        writer.close()
        target.close()
        if gather.size >= limits.ROW_PIECE:
            yield gather.take()
        yield gather.take()
    finally:
        if isinstance(rows.batches, Generator):
            rows.batches.close()


class _Producer:
    """The pieces of one answer, stepped and closed by whichever thread comes first, never by two."""

    def __init__(self, produced: Generator[bytes, None, None]) -> None:
        self._produced = produced
        self._lock = Lock()

    def step(self) -> bytes | None:
        with self._lock:
            return next(self._produced, None)

    def close(self) -> None:
        with self._lock:
            self._produced.close()


async def send_rows(
    exchange: Exchange, workers: Workers, open_rows: Callable[[], RowStream], compression: Compression | None
) -> None:
    """Answer with rows. Raises what ``open_rows`` and the first piece raise; later failures cut it."""
    async with workers.read_place():
        producer = _Producer(pieces(await workers.call(open_rows), compression))
        try:
            await _send(exchange, workers, producer, compression)
        finally:
            await workers.call(producer.close)


async def _send(
    exchange: Exchange, workers: Workers, producer: _Producer, compression: Compression | None
) -> None:
    whole_body = compression is not None and compression.layer is Layer.WHOLE_BODY
    headers = (("content-encoding", compression.codec.value),) if compression and whole_body else ()
    piece = await workers.call(producer.step)
    if piece is not None and len(piece) < limits.ROW_PIECE:
        await exchange.answer(Reply(piece, _CONTENT_TYPE, headers=headers))
        return
    await exchange.start(200, _CONTENT_TYPE, headers)
    with exchange.watch_disconnect() as gone:
        while piece is not None and not gone.done():
            ahead = asyncio.create_task(workers.call(producer.step))
            try:
                async with asyncio.timeout(limits.READ_STALL):
                    await exchange.send_piece(piece)
            except TimeoutError as error:
                raise stalled(f"the client took no rows for {limits.READ_STALL} s") from error
            finally:
                await asyncio.gather(ahead, return_exceptions=True)
            piece = ahead.result()
    if not exchange.disconnected:
        await exchange.finish()
