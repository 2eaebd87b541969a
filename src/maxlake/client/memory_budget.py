"""Bounded memory: what a client holds for everything in flight, in bytes."""

from __future__ import annotations

from collections import deque
from queue import SimpleQueue
from threading import Lock

from maxlake.protocol.limits import CLIENT_MAX_MEMORY


class MemoryBudget:
    """Bytes that all operations of a client hold together, which is at most ``limit``.

    Each operation (a reader, an upload, a request for blobs) reserves what it holds: buffers, what waits
    to be sent or to be taken, copies kept to be sent again. What was handed out is the caller's, and not
    counted.

    The rule: who would go beyond the limit waits for room, but only while it holds something itself. Who
    holds nothing goes on at once, with one message, chunk or blob, however large. So operations never wait
    for one another in a ring, provided that what one holds is freed without waiting for another; and
    together they hold at most the limit and one piece each.

    May be shared by clients, and used by any thread. Raises ``ValueError`` for a limit below 1.
    """

    def __init__(self, limit: int = CLIENT_MAX_MEMORY) -> None:
        self._ledger = _Ledger()
        self.limit = limit

    def __reduce__(self) -> tuple[type[MemoryBudget], tuple[int]]:
        return MemoryBudget, (self.limit,)

    @property
    def limit(self) -> int:
        """Bytes. What is held already is not given up when the limit is lowered."""
        return self._ledger.limit

    @limit.setter
    def limit(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"a memory budget is a positive number of bytes, not {limit}")
        self._ledger.limit = limit
        self._ledger.wake()

    @property
    def held(self) -> int:
        """Bytes held now."""
        return self._ledger.held()

    def reservation(self) -> MemoryReservation:
        """Return an empty reservation for one operation."""
        return MemoryReservation(self._ledger)


class MemoryReservation:
    """What one operation holds; nothing at first, and nothing once it is dropped.

    One thread at a time grows it; any may shrink or free it. Made by ``MemoryBudget.reservation``.
    """

    def __init__(self, ledger: _Ledger) -> None:
        self._ledger = ledger
        self._account = _Account()

    def grow(self, size: int) -> None:
        """Reserve ``size`` bytes more; waits as the budget's rule says."""
        self._ledger.wait_and_take(self._account, size)

    def try_grow(self, size: int) -> bool:
        """Reserve ``size`` bytes more if there is room, and return whether there was."""
        return self._ledger.take(self._account, size, alone=False)

    def shrink(self, size: int) -> None:
        """Give back ``size`` bytes. Never waits."""
        self._ledger.free(self._account, size)

    def free(self) -> None:
        """Give back everything. Never waits."""
        self._ledger.free(self._account, None)

    def __del__(self) -> None:
        self.free()


class _Account:
    """Bytes of one reservation, known under the ledger's lock; it outlives the reservation for a moment."""

    def __init__(self) -> None:
        self.held = 0


class _Ledger:
    """Who holds how much.

    The garbage collector may drop an operation, and so free what it held, in the middle of anything, also
    of what is done here under the lock. So freeing needs no lock: it is noted, and settled by the next who
    looks.
    """

    def __init__(self) -> None:
        self.limit = 0
        self._held = 0
        self._lock = Lock()
        self._freed: deque[tuple[_Account, int | None]] = deque()
        self._waiting: list[SimpleQueue[None]] = []

    def held(self) -> int:
        with self._lock:
            self._settle()
            return self._held

    def take(self, account: _Account, size: int, *, alone: bool) -> bool:
        """Take ``size`` bytes if there is room, or if the account is empty and that is reason enough."""
        with self._lock:
            self._settle()
            if size and self._held + size > self.limit and not (alone and not account.held):
                return False
            self._held += size
            account.held += size
            return True

    def wait_and_take(self, account: _Account, size: int) -> None:
        woken = SimpleQueue[None]()
        # Before the first look: what is freed after it wakes us.
        self._waiting.append(woken)
        try:
            while not self.take(account, size, alone=True):
                woken.get()
        finally:
            self._waiting.remove(woken)

    def free(self, account: _Account, size: int | None) -> None:
        """Free so many bytes, or all."""
        self._freed.append((account, size))
        self.wake()

    def wake(self) -> None:
        for woken in tuple(self._waiting):
            woken.put(None)

    def _settle(self) -> None:
        while self._freed:
            account, size = self._freed.popleft()
            freed = account.held if size is None else min(size, account.held)
            account.held -= freed
            self._held -= freed
