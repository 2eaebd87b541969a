"""Batches between threads: a queue bounded by bytes."""

from __future__ import annotations

from collections import defaultdict, deque
from threading import Condition
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from maxlake.client.memory_budget import MemoryBudget, MemoryReservation

T = TypeVar("T")


class HandoverStoppedError(Exception):
    """Nothing is handed over any more."""


class Handover(Generic[T]):
    """Items on their way from some threads to others; what waits is counted by ``memory``.

    Each item belongs to one of ``lanes``, in which it keeps its place, and which one thread fills. If
    ``ordered``, ``take`` empties the lanes one after the other. Whatever waits in the others, an empty lane
    has room for an item, by the rule of ``MemoryBudget``; so nobody waits for ever.
    """

    def __init__(self, memory: MemoryBudget, lanes: int = 1, *, ordered: bool = False) -> None:
        self._lanes = lanes
        self._ordered = ordered
        self._queues: defaultdict[int, deque[tuple[int, T, int]]] = defaultdict(deque)
        self._memory: defaultdict[int, MemoryReservation] = defaultdict(memory.reservation)
        self._ended: set[int] = set()
        self._turn = 0
        self._stopped = False
        self._changed = Condition()
        #: Bytes that nobody has taken yet.
        self.waiting = 0
        #: Why it was stopped.
        self.error: BaseException | None = None

    def put(self, item: T, size: int, lane: int = 0) -> None:
        """Hand over ``item`` of ``size`` bytes as soon as there is room. Raises ``HandoverStoppedError``."""
        with self._changed:
            memory = self._memory[lane]
        memory.grow(size)
        with self._changed:
            if self._stopped:
                memory.free()
                raise HandoverStoppedError
            self._queues[lane if self._ordered else 0].append((lane, item, size))
            self.waiting += size
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
                    self.waiting -= size
                    self._memory[lane].shrink(size)
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
            self.waiting = 0
            for memory in self._memory.values():
                memory.free()
            self._changed.notify_all()

    def _pass_turn(self) -> None:
        while self._ordered and self._turn in self._ended and not self._queues[self._turn]:
            if self._turn + 1 == self._lanes:
                return
            del self._queues[self._turn], self._memory[self._turn]
            self._turn += 1
