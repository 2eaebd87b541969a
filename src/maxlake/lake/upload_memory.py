"""What uploads hold in memory: bounded over all of a process, and waited for instead of failing (P6).

Every upload has a share it never waits for, so small uploads go on beside any others. What it holds above
comes from a pool, message by message: before it receives one it asks for its bytes, and it gives back what it
does not hold once the rows are stored or held back for a row group.

When the pool is spent, uploads are served in the order they came. None waits for another in a ring: before an
upload waits it writes out the rows it holds back; what a message turns out to need beside its bytes goes
before new messages; and one upload at a time may finish its message beyond the pool.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Lock
from types import TracebackType
from typing import Self

from maxlake.protocol import limits
from maxlake.protocol.errors import BusyError, ErrorCode


@dataclass(eq=False, slots=True)
class _Wish:
    """Bytes of the pool an upload waits for."""

    allowance: Allowance
    size: int
    granted: Event = field(default_factory=Event)


class UploadMemory:
    """The bytes that all uploads of a process may hold. Thread-safe.

    Half of ``total`` is the pool and a quarter the shares; the last quarter is for what the server receives
    ahead. An upload waits ``patience`` seconds for its turn; while others wait it may take ``hold`` seconds
    to receive a message.
    """

    def __init__(
        self,
        total: int = limits.UPLOAD_MEMORY,
        *,
        patience: float = limits.UPLOAD_MEMORY_WAIT,
        hold: float = limits.UPLOAD_MEMORY_HOLD,
    ) -> None:
        self.share = total // 4 // limits.MAX_CONCURRENT_UPLOADS
        self.patience = patience
        self.hold = hold
        self._pool = total // 2
        self._used = 0
        self._mutex = Lock()
        self._growing: deque[_Wish] = deque()
        self._beginning: deque[_Wish] = deque()
        #: The one upload that may hold more than there is.
        self._beyond: Allowance | None = None

    @property
    def used(self) -> int:
        """Bytes of the pool that uploads hold; above its size by what one of them needs."""
        return self._used

    def is_short(self) -> bool:
        """Tell whether an upload waits."""
        return bool(self._growing or self._beginning)

    def take(self, allowance: Allowance, size: int) -> bool:
        """Take bytes of the pool if they are there and nobody goes before; tell whether they were taken."""
        with self._mutex:
            first = not self._growing and (allowance.pooled > 0 or not self._beginning)
            taken = self._beyond is allowance or (first and size <= self._pool - self._used)
            if taken:
                self._grant(allowance, size)
            return taken

    def wait(self, allowance: Allowance, size: int) -> None:
        """Take bytes of the pool when it is this upload's turn. Raises ServiceUnavailable if it never is."""
        wish = _Wish(allowance, size)
        # Who holds some of the pool goes before: until it has the rest it gives nothing back.
        waiting = self._growing if allowance.pooled else self._beginning
        with self._mutex:
            waiting.append(wish)
            self._serve()
        if wish.granted.wait(self.patience):
            return
        with self._mutex:
            if wish.granted.is_set():
                return
            waiting.remove(wish)
            self._serve()
        raise BusyError(
            ErrorCode.SERVICE_UNAVAILABLE,
            f"other uploads held all memory for {self.patience:g} s; nothing of this is stored, repeat it",
        )

    def settle(self, allowance: Allowance, pooled: int) -> None:
        """Note what an upload holds of the pool, now that it has given some back."""
        with self._mutex:
            self._used += pooled - allowance.pooled
            allowance.pooled = pooled
            if self._beyond is allowance and (not pooled or self._used <= self._pool):
                self._beyond = None
            self._serve()

    def _serve(self) -> None:
        while self._growing:
            wish = self._growing[0]
            if wish.size > self._pool - self._used and self._beyond is not None:
                return
            self._fulfil(self._growing)
        while self._beginning:
            # A message larger than the pool gets all of it.
            if self._used and self._beginning[0].size > self._pool - self._used:
                return
            self._fulfil(self._beginning)

    def _fulfil(self, waiting: deque[_Wish]) -> None:
        wish = waiting.popleft()
        self._grant(wish.allowance, wish.size)
        wish.granted.set()

    def _grant(self, allowance: Allowance, size: int) -> None:
        self._used += size
        allowance.pooled += size
        if self._used > self._pool:
            self._beyond = allowance


class Allowance:
    """What one upload holds; a context manager, used by the thread that stores the rows.

    ``spill`` lets go of what it can above the number of bytes given it, and returns how much that was.
    """

    def __init__(self, memory: UploadMemory, spill: Callable[[int], int]) -> None:
        self._memory = memory
        self._spill = spill
        self._held = 0
        self._since = time.monotonic()
        #: Bytes of the pool: what is held above the share.
        self.pooled = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.settle(0)

    def begin(self, size: int) -> None:
        """Hold the bytes of a message that is about to be received. Raises ServiceUnavailable."""
        if self._memory.is_short():
            self._let_go()
        self.grow(size)
        self._since = time.monotonic()

    def grow(self, size: int) -> None:
        """Hold more for the same message: what it unfolds to, copies. Raises ServiceUnavailable."""
        wanted = max(0, self._held + size - self._memory.share) - self.pooled
        if wanted > 0 and not self._memory.take(self, wanted):
            self._let_go()
            wanted = max(0, self._held + size - self._memory.share) - self.pooled
            if wanted > 0:
                self._memory.wait(self, wanted)
        self._held += size

    def settle(self, size: int) -> None:
        """Hold just ``size`` bytes from now on: a message is done."""
        self._hold(size)
        self._since = time.monotonic()

    def wait_for_sender(self) -> None:
        """While others wait: let go of what can be let go of, and do not receive one message for ever.

        To be called from time to time while nothing, or little, comes. Raises RequestTimeout.
        """
        if not (self.pooled and self._memory.is_short()):
            return
        self._let_go()
        if self.pooled and time.monotonic() > self._since + self._memory.hold:
            raise BusyError(
                ErrorCode.REQUEST_TIMEOUT,
                f"other uploads wait for the memory of a record batch that did not arrive in "
                f"{self._memory.hold:g} s; repeat the upload, with smaller batches",
            )

    def _let_go(self) -> None:
        if self.pooled:
            self._hold(self._held - self._spill(self._memory.share))

    def _hold(self, size: int) -> None:
        self._held = size
        self._memory.settle(self, max(0, size - self._memory.share))
