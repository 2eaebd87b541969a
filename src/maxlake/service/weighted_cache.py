"""A cache bounded by what its values weigh together, not by how many they are."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class WeightedCache(Generic[K, V]):
    """A thread-safe map of keys to values that never go stale; what was used last is kept.

    Values weigh ``capacity`` at most together, or there is but one.
    """

    def __init__(self, capacity: int, weight: Callable[[K, V], int]) -> None:
        self._capacity = capacity
        self._weight = weight
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return the value of a key, making it when it is not at hand; two threads may both make it."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]
        value = make()
        weight = self._weight(key, value)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = value, weight
                self._held += weight
            while self._held > self._capacity and len(self._kept) > 1:
                _, (_, freed) = self._kept.popitem(last=False)
                self._held -= freed
        return value

    @property
    def held(self) -> int:
        """What the values kept weigh together."""
        return self._held
