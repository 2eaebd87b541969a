"""Memory for what is read, recycled: allocating afresh costs more than receiving (design, HTTP client)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maxlake.protocol.limits import CLIENT_READ_BUFFERS

if TYPE_CHECKING:
    from maxlake.client.memory_budget import MemoryReservation

#: Buffers are made in multiples of this, so that batches of similar size share them.
_GRAIN = 64 * 1024


class BufferRing:
    """A few buffers, each handed out again once nothing refers to it any more.

    A consumer that keeps what it was given keeps the buffer: the ring then makes another and
    forgets its oldest. The ring keeps at most CLIENT_READ_BUFFERS of the largest size, one if ``memory``
    has no room for more; it never waits for room.
    """

    def __init__(self, memory: MemoryReservation) -> None:
        self._memory = memory
        self._buffers: list[bytearray] = []

    def take(self, size: int) -> memoryview:
        """Return ``size`` writable bytes of arbitrary content."""
        for buffer in self._buffers:
            if len(buffer) >= size and not _in_use(buffer):
                return memoryview(buffer)[:size]
        if len(self._buffers) >= CLIENT_READ_BUFFERS:
            self._memory.shrink(len(self._buffers.pop(0)))
        whole = -(-size // _GRAIN) * _GRAIN
        if not self._memory.try_grow(whole):
            self.clear()
            self._memory.grow(whole)
        made = bytearray(whole)
        self._buffers.append(made)
        return memoryview(made)[:size]

    def clear(self) -> None:
        """Forget all buffers: who uses one still has it."""
        self._buffers.clear()
        self._memory.free()


def _in_use(buffer: bytearray) -> bool:
    """Whether a view of ``buffer`` is alive: Python then refuses to change its size."""
    try:
        last = buffer.pop()
    except BufferError:
        return True
    buffer.append(last)  # moves nothing: there is still room for it
    return False
