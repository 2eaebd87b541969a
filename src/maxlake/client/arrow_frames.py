"""Following an Arrow IPC stream byte by byte: the only way to know that it ended at its end marker.

Arrow's own readers take the end of the bytes for the end of the stream; a service that cannot
finish reports it by leaving the marker out (wire.md §5).
"""

from __future__ import annotations

import struct

from maxlake.protocol.limits import MAX_ARROW_METADATA

_PREFIX_SIZE = 8
_CONTINUATION = 0xFFFFFFFF
#: Position of ``bodyLength`` in the vtable of a flatbuffer ``Message``: its fourth field.
_BODY_LENGTH_SLOT = 4 + 2 * 3


class ArrowFrameError(ValueError):
    """The bytes are not an Arrow IPC stream."""


class ArrowFrames:
    """Where in an Arrow IPC stream the bytes fed so far have come to."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._wanted = _PREFIX_SIZE
        self._in_metadata = False
        self._body_left = 0
        self.ended = False

    def feed(self, data: memoryview) -> None:
        """Take the next bytes. Raises ``ArrowFrameError`` if they cannot belong to an Arrow stream."""
        position, size = 0, data.nbytes
        while position < size:
            if self.ended:
                raise ArrowFrameError(f"{size - position} bytes follow the end of the Arrow stream")
            if self._body_left:
                step = min(self._body_left, size - position)
                self._body_left -= step
            else:
                step = min(self._wanted - len(self._held), size - position)
                self._held += data[position : position + step]
                if len(self._held) == self._wanted:
                    self._complete()
            position += step

    def _complete(self) -> None:
        held = bytes(self._held)
        self._held.clear()
        if self._in_metadata:
            self._in_metadata = False
            self._wanted = _PREFIX_SIZE
            self._body_left = _body_length(held)
            return
        continuation, length = struct.unpack("<Ii", held)
        if continuation != _CONTINUATION or not 0 <= length <= MAX_ARROW_METADATA:
            raise ArrowFrameError("the bytes are no Arrow message")
        if length == 0:
            self.ended = True
        else:
            self._in_metadata = True
            self._wanted = length


def _body_length(metadata: bytes) -> int:
    """Return how many bytes of body follow a message's metadata (a flatbuffer)."""
    try:
        (table,) = struct.unpack_from("<I", metadata, 0)
        (to_vtable,) = struct.unpack_from("<i", metadata, table)
        vtable = table - to_vtable
        (vtable_size,) = struct.unpack_from("<H", metadata, vtable)
        if vtable_size <= _BODY_LENGTH_SLOT:
            return 0
        (slot,) = struct.unpack_from("<H", metadata, vtable + _BODY_LENGTH_SLOT)
        length = struct.unpack_from("<q", metadata, table + slot)[0] if slot else 0
    except struct.error as error:
        raise ArrowFrameError("the metadata of an Arrow message is damaged") from error
    if length < 0:
        raise ArrowFrameError("an Arrow message has a negative length")
    return length
