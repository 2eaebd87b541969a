"""Blobs in one body, back to back: each with a header before and a footer after its data (wire.md §11.2).

A length of eight bytes, little-endian, goes before each of the three.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from maxlake.protocol.limits import MAX_FRAME_FOOTER, MAX_FRAME_HEADER
from maxlake.protocol.messages.blobs import BlobFooter, BlobHeader

_LENGTH = struct.Struct("<Q")
#: The whole payload for no blobs at all, which every client reads as that (wire.md §11.5).
NO_FRAMES = bytes(_LENGTH.size)

M = TypeVar("M", BlobHeader, BlobFooter)
# Made before threads are: msgspec crashes where two make the decoder of a type at once.
_DECODERS: dict[type, msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in (BlobHeader, BlobFooter)
}


class FrameError(ValueError):
    """The bytes are no frames, or end within one."""


def frame_head(header: BlobHeader, data_size: int) -> bytes:
    """Return all that goes before the data of a blob."""
    text = msgspec.json.encode(header)
    return b"".join((_LENGTH.pack(len(text)), text, _LENGTH.pack(data_size)))


def frame_tail(footer: BlobFooter) -> bytes:
    """Return all that goes after the data of a blob."""
    text = msgspec.json.encode(footer)
    return _LENGTH.pack(len(text)) + text


class FrameReader:
    """Reads frames one after another: :meth:`next_blob`, :meth:`read` its data, :meth:`end_blob`.

    ``read`` returns exactly as many bytes as it is asked for, fewer only at the end.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._started = False
        #: Bytes of the present blob not yet read.
        self.left = 0

    def next_blob(self) -> tuple[BlobHeader, int] | None:
        """Return the header of the next blob and the size of its data; None after the last."""
        length = self._read(_LENGTH.size)
        if not length or (length == NO_FRAMES and not self._started):
            if self._read(1):
                raise FrameError("bytes follow the mark for no blobs")
            return None
        self._started = True
        header = self._part(length, MAX_FRAME_HEADER, BlobHeader)
        self.left = self._length(self._read(_LENGTH.size))
        return header, self.left

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes of the present blob, nothing at its end."""
        wanted = min(size, self.left)
        data = self._read(wanted) if wanted else b""
        if len(data) < wanted:
            raise FrameError(f"the body ends {self.left - len(data)} bytes before the end of a blob")
        self.left -= len(data)
        return data

    def end_blob(self) -> BlobFooter:
        """Return the footer of the present blob, all of which has been read."""
        return self._part(self._read(_LENGTH.size), MAX_FRAME_FOOTER, BlobFooter)

    @staticmethod
    def _length(data: bytes) -> int:
        if len(data) < _LENGTH.size:
            raise FrameError("the body ends within a frame")
        (length,) = _LENGTH.unpack(data)
        return length

    def _part(self, length: bytes, most: int, kind: type[M]) -> M:
        size = self._length(length)
        if size > most:
            raise FrameError(f"a {kind.__name__} claims {size} bytes, at most {most} are taken")
        text = self._read(size)
        if len(text) < size:
            raise FrameError("the body ends within a frame")
        try:
            return _DECODERS[kind].decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise FrameError(f"not a {kind.__name__}: {error}") from error
