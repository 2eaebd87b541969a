"""A sink for what Arrow writes."""

from __future__ import annotations

import io
from typing import Any


class Gather(io.RawIOBase):
    """A sink that keeps what Arrow writes without copying it, until it is taken."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[Any] = []
        self.size = 0

    def writable(self) -> bool:
        """Tell Arrow that this is a sink."""
        return True

    def write(self, data: Any, /) -> int:
        """Keep a piece."""
        self._parts.append(data)
        self.size += len(data)
        return len(data)

    def take(self) -> bytes:
        """Return everything gathered since the last call, and forget it."""
        piece = b"".join(self._parts)
        self._parts.clear()
        self.size = 0
        return piece
