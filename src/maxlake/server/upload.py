"""An upload as the service sees it: a blocking file, fed by the event loop through a bounded queue."""

from __future__ import annotations

import asyncio
import io
from collections import deque
from threading import Condition, Lock

from maxlake.protocol import limits
from maxlake.server.exchange import Exchange, stalled, too_large


class UploadMemory:
    """What all uploads of a server hold together. Thread-safe."""

    def __init__(self, most: int = limits.UPLOAD_QUEUES, share: int = limits.UPLOAD_QUEUE_SHARE) -> None:
        self._most = most
        self._share = share
        self._lock = Lock()
        self._held = 0

    def add(self, size: int) -> None:
        """Count bytes received, or given back if negative."""
        with self._lock:
            self._held += size

    def allows(self, held: int) -> bool:
        """Tell whether an upload that holds ``held`` bytes may receive more."""
        return held <= self._share or self._held <= self._most


class UploadBody(io.RawIOBase):
    """The body of one request. Read it in one thread; ``pump`` fills it from the event loop.

    ``read`` raises BodyCut when the client goes away, RequestTimeout when it sends nothing for ``stall``
    seconds, and RequestTooLarge when it sends more than ``limit`` bytes: the end of what came is never taken
    for the end of the body. ``memory`` is shared with other uploads.
    """

    def __init__(
        self,
        limit: int,
        memory: UploadMemory,
        *,
        queue: int = limits.UPLOAD_QUEUE,
        stall: float = limits.UPLOAD_STALL,
    ) -> None:
        super().__init__()
        self._limit = limit
        self._memory = memory
        self._queue = queue
        self._stall = stall
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
        """Let every further ``read`` raise ``error``; what was received but not read is dropped."""
        with self._changed:
            self._failure = self._failure or error
            self._pieces.clear()
            self._hold(-self._held)
            self._changed.notify()

    def _hold(self, size: int) -> None:
        self._held += size
        self._memory.add(size)
        self._full = self._held > self._queue or not self._memory.allows(self._held)

    # -- the reader's side --------------------------------------------------------------------------

    def readable(self) -> bool:
        """Tell that this file can be read."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return exactly ``size`` bytes, fewer only at the end of the body; all that is left if negative."""
        taken: list[memoryview] = []
        missing = size
        while missing and (piece := self._next(missing)):
            taken.append(piece)
            missing -= len(piece) if size >= 0 else 0
        return b"".join(taken)

    def _next(self, most: int) -> memoryview | None:
        """Wait for bytes, take up to ``most`` of them (all of a piece if negative); None at the end."""
        with self._changed:
            while not self._pieces and not self._ended and self._failure is None:
                self._changed.wait()
            if self._failure is not None:
                raise self._failure
            if not self._pieces:
                return None
            piece = self._pieces.popleft()
            if 0 <= most < len(piece):
                self._pieces.appendleft(piece[most:])
                piece = piece[:most]
            was_full = self._full
            self._hold(-len(piece))
            freed = was_full and not self._full
        if freed:
            self._loop.call_soon_threadsafe(self._room.set)
        return piece
