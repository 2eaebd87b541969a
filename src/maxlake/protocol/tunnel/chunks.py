"""Chunks: what lies around the tunnel's Arrow in both directions, its length and checksums.

First comes the size of a chunk, then chunks of that size, each with its CRC32C; the last one is shorter,
perhaps empty, and has the CRC32C of all data instead. All numbers are big-endian, of 32 bits.
"""

from __future__ import annotations

import struct

import google_crc32c

from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.tunnel.record_reader import checksum_mismatch

_NUMBER = struct.Struct(">I")
#: Bytes of a chunk that is sent: that of PyODPS.
CHUNK = 64 * 1024


class ChunkWriter:
    """Puts data that comes in pieces into chunks."""

    def __init__(self) -> None:
        self._begun = False
        self._left = CHUNK
        self._checksum = self._total = 0

    def feed(self, data: bytes) -> bytes:
        """Return the data with the checksums of the chunks that are full."""
        made = [self._size()]
        at = 0
        while at < len(data):
            piece = data[at : at + self._left]
            made.append(piece)
            at += len(piece)
            self._left -= len(piece)
            self._checksum = google_crc32c.extend(self._checksum, piece)
            if not self._left:
                made.append(_NUMBER.pack(self._checksum))
                self._left, self._checksum = CHUNK, 0
        self._total = google_crc32c.extend(self._total, data)
        return b"".join(made)

    def finish(self) -> bytes:
        """Return the last checksum."""
        return self._size() + _NUMBER.pack(self._total)

    def _size(self) -> bytes:
        begun, self._begun = self._begun, True
        return b"" if begun else _NUMBER.pack(CHUNK)


class ChunkReader:
    """Takes data that comes in pieces out of chunks, and verifies them.

    Raises BadRequestError: ChecksumMismatch, DATA_ERROR for a stream that is cut.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._size: int | None = None
        self._left = 0
        self._checksum = self._total = 0

    def feed(self, data: bytes) -> bytes:
        """Return the data that is there; what a later checksum covers is not known to be right yet."""
        data = self._rest + data
        at = 0
        if self._size is None:
            if len(data) < 2 * _NUMBER.size:  # an upload of nothing has no size, only a checksum
                self._rest = data
                return b""
            self._size = self._left = _NUMBER.unpack_from(data)[0]
            at = _NUMBER.size
            if not self._size:
                raise _damaged("the size of a chunk is 0")
        made: list[bytes] = []
        # The last four bytes that are there may be the last checksum.
        while at + _NUMBER.size <= len(data) and (end := self._end(data, at)) > at:
            if self._left:
                made.append(self._take(data[at:end]))
            else:
                self._check(data, at)
            at = end
        self._rest = data[at:]
        return b"".join(made)

    def _end(self, data: bytes, at: int) -> int:
        """Return where what comes next ends: a chunk's data, as far as it is certain, or its checksum."""
        return min(at + self._left, len(data) - _NUMBER.size) if self._left else at + _NUMBER.size

    def _take(self, piece: bytes) -> bytes:
        self._left -= len(piece)
        self._checksum = google_crc32c.extend(self._checksum, piece)
        self._total = google_crc32c.extend(self._total, piece)
        return piece

    def _check(self, data: bytes, at: int) -> None:
        if _NUMBER.unpack_from(data, at)[0] != self._checksum:
            raise checksum_mismatch("a chunk")
        assert self._size is not None
        self._left, self._checksum = self._size, 0

    def finish(self) -> bytes:
        """Check that the stream was whole; there is no more data."""
        if len(self._rest) != _NUMBER.size or (self._size is not None and not self._left):
            raise _damaged("the stream is cut")
        if _NUMBER.unpack(self._rest)[0] != self._total:
            raise checksum_mismatch("the whole of the chunks")
        return b""


def _damaged(message: str) -> BadRequestError:
    return BadRequestError(ErrorCode.DATA_ERROR, f"{message}; send one whole stream of Arrow in chunks")
