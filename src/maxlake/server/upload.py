"""An upload as the service sees it: a source of bytes, fed by the event loop through a bounded queue."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from threading import Condition, Lock
from typing import TypeVar

from maxlake.protocol import limits
from maxlake.server.errors import stopping
from maxlake.server.exchange import BodyCut, Exchange, stalled, too_large
from maxlake.server.workers import Workers

T = TypeVar("T")


class UploadQueues:
    """What all uploads of a server hold that is received and not yet read. Thread-safe.

    It is a quarter of ``memory``, what uploads may hold in all; of that in turn a quarter is theirs in equal
    shares, so that none is starved.
    """

    def __init__(self, memory: int = limits.UPLOAD_MEMORY) -> None:
        queues = memory // 4
        self._share = queues // 4 // limits.MAX_CONCURRENT_UPLOADS
        self._most = queues - queues // 4
        self._lock = Lock()
        self._held = 0

    def add(self, size: int) -> None:
        """Count bytes received, or given back if negative."""
        with self._lock:
            self._held += size

    def allow(self, held: int) -> bool:
        """Tell whether an upload that holds ``held`` bytes may receive more."""
        return held <= self._share or self._held <= self._most


class UploadBody:
    """The body of one request. Read it in one thread; ``pump`` fills it from the event loop.

    ``readinto`` raises BodyCut when the client goes away, RequestTimeout when it sends nothing for ``stall``
    seconds, and RequestTooLarge when it sends more than ``limit`` bytes: the end of what came is never taken
    for the end of the body. ``queues`` is shared with other uploads.
    """

    def __init__(
        self,
        limit: int,
        queues: UploadQueues,
        *,
        queue: int = limits.UPLOAD_QUEUE,
        stall: float = limits.UPLOAD_STALL,
        pause: float = limits.UPLOAD_PAUSE,
    ) -> None:
        self._limit = limit
        self._queues = queues
        self._queue = queue
        self._stall = stall
        self._pause = pause
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._changed = Condition()
        self._pieces: deque[memoryview] = deque()
        self._held = 0
        self._full = False
        self._ended = False
        self._failure: Exception | None = None

    # -- the event loop's side ----------------------------------------------------------------------

    async def pump(self, exchange: Exchange) -> None:
        """Receive the body to its end, never more than ``queue`` bytes (and a piece) ahead of the reader."""
        received = 0
        try:
            while True:
                async with asyncio.timeout(self._stall):
                    piece = await exchange.receive_piece()
                received += len(piece)
                if received > self._limit:
                    raise too_large(self._limit)  # noqa: TRY301 - the reader is to raise it
                if not piece:
                    break
                await self._put(piece)
        except TimeoutError:
            self.fail(stalled(f"the upload sent nothing for {self._stall} s and is dropped; repeat it whole"))
        except Exception as error:  # noqa: BLE001 - handed to the reader
            self.fail(error)
        else:
            with self._changed:
                self._ended = True
                self._changed.notify()

    async def _put(self, piece: bytes) -> None:
        with self._changed:
            if self._failure is not None:
                return
            self._pieces.append(memoryview(piece))
            self._hold(len(piece))
            if full := self._full:
                self._room.clear()
            self._changed.notify()
        if full:
            await self._room.wait()

    def fail(self, error: Exception) -> None:
        """Let every further ``readinto`` raise ``error``; what was received but not read is dropped."""
        with self._changed:
            self._failure = self._failure or error
            self._pieces.clear()
            self._hold(-self._held)
            self._changed.notify()

    def _hold(self, size: int) -> None:
        self._held += size
        self._queues.add(size)
        self._full = self._held > self._queue or not self._queues.allow(self._held)

    # -- the reader's side --------------------------------------------------------------------------

    def readinto(self, into: memoryview, /) -> int | None:
        """Fill ``into`` from its start with bytes that are there; return how many, 0 at the end of the body.

        None if nothing came for ``pause`` seconds: ask again.
        """
        with self._changed:
            if not self._pieces and not self._ended and self._failure is None:
                self._changed.wait(self._pause)
            if self._failure is not None:
                raise self._failure
            if not self._pieces:
                return 0 if self._ended else None
            was_full = self._full
            filled = self._move(into)
            self._hold(-filled)
            freed = was_full and not self._full
        if freed:
            self._loop.call_soon_threadsafe(self._room.set)
        return filled

    def _move(self, into: memoryview) -> int:
        filled = 0
        while self._pieces and filled < len(into):
            piece = self._pieces.popleft()
            if len(piece) > len(into) - filled:
                piece, rest = piece[: len(into) - filled], piece[len(into) - filled :]
                self._pieces.appendleft(rest)
            into[filled : filled + len(piece)] = piece
            filled += len(piece)
        return filled


class Uploads:
    """Receives the uploads of a server, of whatever kind: they share its threads and its memory."""

    def __init__(self, workers: Workers, memory: int = limits.UPLOAD_MEMORY) -> None:
        self._workers = workers
        self._queues = UploadQueues(memory)

    async def receive(self, exchange: Exchange, take: Callable[[UploadBody], T]) -> T:
        """Give a request's body to a function that reads it in a thread; return what that returns."""
        exchange.check_declared_length(limits.MAX_UPLOAD_BODY)
        async with self._workers.upload_place():
            body = UploadBody(limits.MAX_UPLOAD_BODY, self._queues)
            pump = asyncio.create_task(body.pump(exchange))
            try:
                return await self._workers.upload(lambda: take(body), interrupt=lambda: body.fail(stopping()))
            finally:
                await _ended(pump)
                body.fail(BodyCut("the upload has been answered"))


async def _ended(pump: asyncio.Task[None]) -> None:
    """End the task. A cancellation of this one has to wait: the handler is done, and its answer goes out."""
    while not pump.done():
        pump.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([pump])
