"""Memory for what is read, recycled: allocating afresh costs more than receiving (design, HTTP client)."""

from __future__ import annotations

from maxlake.protocol.limits import CLIENT_READ_BUFFERS

#: Buffers are made in multiples of this, so that batches of similar size share them.
_GRAIN = 64 * 1024


class BufferRing:
    """A few buffers, each handed out again once nothing refers to it any more.

    A consumer that keeps what it was given keeps the buffer: the ring then makes another and
    forgets its oldest. Memory kept by the ring is at most CLIENT_READ_BUFFERS of the largest size.
    """

    def __init__(self) -> None:
        self._buffers: list[bytearray] = []

    def take(self, size: int) -> memoryview:
        """Return ``size`` writable bytes of arbitrary content."""
        for buffer in self._buffers:
            if len(buffer) >= size and not _in_use(buffer):
                return memoryview(buffer)[:size]
        made = bytearray(-(-size // _GRAIN) * _GRAIN)
        if len(self._buffers) >= CLIENT_READ_BUFFERS:
            del self._buffers[0]
        self._buffers.append(made)
        return memoryview(made)[:size]


def _in_use(buffer: bytearray) -> bool:
    """Whether a view of ``buffer`` is alive: Python then refuses to change its size."""
    try:
        buffer.append(0)
    except BufferError:
        return True
    buffer.pop()
    return False
