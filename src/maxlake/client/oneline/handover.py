"""Batches between threads: a queue bounded by bytes."""

from __future__ import annotations

from collections import defaultdict, deque
from threading import Condition
from typing import Generic, TypeVar

T = TypeVar("T")


class HandoverStoppedError(Exception):
    """Nothing is handed over any more."""


class Handover(Generic[T]):
    """Items on their way from some threads to others, about ``most`` bytes of them.

    Each item belongs to one of ``lanes``, in which it keeps its place. If ``ordered``, ``take`` empties the
    lanes one after the other; whatever waits in the others, the one whose turn it is has room for an item, so
    nobody waits for ever. An item larger than ``most`` goes alone.
    """

    def __init__(self, most: int, lanes: int = 1, *, ordered: bool = False) -> None:
        self._most = most
        self._lanes = lanes
        self._ordered = ordered
        self._queues: defaultdict[int, deque[tuple[int, T, int]]] = defaultdict(deque)
        self._ended: set[int] = set()
        self._turn = 0
        self._bytes = 0
        self._stopped = False
        self._changed = Condition()
        #: Why it was stopped.
        self.error: BaseException | None = None

    @property
    def waiting(self) -> int:
        """Bytes that nobody has taken yet."""
        return self._bytes

    def put(self, item: T, size: int, lane: int = 0) -> None:
        """Hand over ``item`` of ``size`` bytes as soon as there is room. Raises ``HandoverStoppedError``."""
        with self._changed:
            while not self._stopped and not self._has_room(size, lane):
                self._changed.wait()
            if self._stopped:
                raise HandoverStoppedError
            self._queues[lane if self._ordered else 0].append((lane, item, size))
            self._bytes += size
            self._changed.notify_all()

    def end(self, lane: int = 0) -> None:
        """Say that nothing more comes through ``lane``."""
        with self._changed:
            self._ended.add(lane)
            self._changed.notify_all()

    def take(self) -> tuple[int, T] | None:
        """Return the next item after its lane; ``None`` after the last. Raises ``HandoverStoppedError``."""
        with self._changed:
            while not self._stopped:
                self._pass_turn()
                queue = self._queues[self._turn]
                if queue:
                    lane, item, size = queue.popleft()
                    self._bytes -= size
                    self._changed.notify_all()
                    return lane, item
                if len(self._ended) == self._lanes:
                    return None
                self._changed.wait()
            raise HandoverStoppedError

    def stop(self, error: BaseException | None = None) -> None:
        """Drop what waits and turn everyone away; ``error`` says why, the first of them is kept."""
        with self._changed:
            self._stopped = True
            self.error = self.error or error
            self._queues.clear()
            self._bytes = 0
            self._changed.notify_all()

    def _has_room(self, size: int, lane: int) -> bool:
        if self._bytes + size <= self._most or not self._bytes:
            return True
        return self._ordered and lane == self._turn and not self._queues[lane]

    def _pass_turn(self) -> None:
        while self._ordered and self._turn in self._ended and not self._queues[self._turn]:
            if self._turn + 1 == self._lanes:
                return
            del self._queues[self._turn]
            self._turn += 1
            self._changed.notify_all()
