"""A long body to the wire: made in worker threads, piece by piece, one piece ahead of the socket.

A piece is made while the one before it is sent, and no third exists: a slow client slows the producer, and
memory stays bounded. What fails before the first piece is an ordinary error answer; what fails later cuts the
connection, so that no client takes what it has for the whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from threading import Lock

from maxlake.protocol import limits
from maxlake.server.exchange import Exchange, Reply, stalled
from maxlake.server.workers import Workers

#: Every piece but the last holds at least ``ROW_PIECE`` bytes, the last one fewer.
Pieces = Generator[bytes | bytearray, None, None]


class _Producer:
    """The pieces of one answer, stepped and closed by whichever thread comes first, never by two."""

    def __init__(self, produced: Pieces) -> None:
        self._produced = produced
        self._lock = Lock()

    def step(self) -> bytes | bytearray | None:
        with self._lock:
            return next(self._produced, None)

    def close(self) -> None:
        with self._lock:
            self._produced.close()


async def send_pieces(
    exchange: Exchange,
    workers: Workers,
    open_pieces: Callable[[], Pieces],
    content_type: str,
    headers: tuple[tuple[str, str], ...] = (),
) -> None:
    """Answer with a body. Raises what ``open_pieces`` and the first piece raise; later failures cut it."""
    async with workers.read_place():
        producer = _Producer(await workers.call(open_pieces))
        try:
            await _send(exchange, workers, producer, content_type, headers)
        finally:
            await workers.call(producer.close)


async def _send(
    exchange: Exchange,
    workers: Workers,
    producer: _Producer,
    content_type: str,
    headers: tuple[tuple[str, str], ...],
) -> None:
    piece = await workers.call(producer.step)
    if piece is not None and len(piece) < limits.ROW_PIECE:
        await exchange.answer(Reply(bytes(piece), content_type, headers=headers))
        return
    await exchange.start(200, content_type, headers)
    with exchange.watch_disconnect() as gone:
        while piece is not None and not gone.done():
            ahead = asyncio.create_task(workers.call(producer.step))
            try:
                async with asyncio.timeout(limits.READ_STALL):
                    await exchange.send_piece(piece)
            except TimeoutError as error:
                raise stalled(f"the client took nothing for {limits.READ_STALL} s") from error
            finally:
                await asyncio.gather(ahead, return_exceptions=True)
            piece = ahead.result()
    if not exchange.disconnected:
        await exchange.finish()
