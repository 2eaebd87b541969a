"""Snappy's framing format: pieces of at most 64 KiB, compressed or plain, each with its masked CRC32C.

A chunk is its kind (one byte), the length of what follows (three), and that; all numbers are little-endian.
Arrow has the codec, and no stream of it. (The format: framing_format.txt of the Snappy project.)
"""

from __future__ import annotations

import struct

import google_crc32c
import pyarrow as pa

from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.tunnel.record_builders import read_varint

_CODEC = pa.Codec("snappy")
_BEGIN = b"\xff\x06\0\0sNaPpY"
_COMPRESSED, _PLAIN, _IDENTIFIER = 0, 1, 0xFF
#: Kinds from here on may be passed over, those below may not.
_SKIPPABLE = 0x80
_MOST = 64 * 1024
#: Bytes of a chunk: incompressible data grows by a sixth at most, and nobody needs more padding.
_LONGEST_CHUNK = 2 * _MOST
_HEAD = 4
_CRC = struct.Struct("<I")


def _masked_crc(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _chunk(kind: int, body: bytes) -> bytes:
    return bytes((kind,)) + len(body).to_bytes(3, "little") + body


class SnappyCompressor:
    """Compresses data that comes in pieces."""

    def __init__(self) -> None:
        self._head = _BEGIN

    def feed(self, data: bytes) -> bytes:
        """Return the data, compressed."""
        made, self._head = [self._head], b""
        for start in range(0, len(data), _MOST):
            piece = data[start : start + _MOST]
            crc = _CRC.pack(_masked_crc(piece))
            made.append(_chunk(_COMPRESSED, crc + _CODEC.compress(piece, asbytes=True)))
        return b"".join(made)

    def finish(self) -> bytes:
        """Return nothing more, but for the beginning if nothing was fed."""
        return self.feed(b"")


class SnappyDecompressor:
    """Decompresses data that comes in pieces. Raises BadRequestError DATA_ERROR if it is damaged or cut."""

    def __init__(self) -> None:
        self._rest = b""
        self._begun = False

    @property
    def held_bytes(self) -> int:
        """Bytes of a chunk that goes on."""
        return len(self._rest)

    def feed(self, data: bytes) -> bytes:
        """Return what the chunks that are whole hold."""
        data = self._rest + data
        made: list[bytes] = []
        at = 0
        while at + _HEAD <= len(data):
            size = int.from_bytes(data[at + 1 : at + _HEAD], "little")
            if size > _LONGEST_CHUNK:
                raise _damaged(f"has a chunk of {size} bytes")
            end = at + _HEAD + size
            if end > len(data):
                break
            made.append(self._content(data[at], data[at + _HEAD : end]))
            at = end
        self._rest = data[at:]
        return b"".join(made)

    def finish(self) -> bytes:
        """Check that the last chunk was whole."""
        if self._rest or not self._begun:
            raise _damaged("is cut")
        return b""

    def _content(self, kind: int, body: bytes) -> bytes:
        if kind == _IDENTIFIER and body == _BEGIN[_HEAD:]:
            self._begun = True
            return b""
        if not self._begun:
            raise _damaged("does not begin as one")
        if kind in (_COMPRESSED, _PLAIN) and len(body) >= _CRC.size:
            content = body[_CRC.size :] if kind == _PLAIN else _decompressed(body[_CRC.size :])
            if len(content) > _MOST or _masked_crc(content) != _CRC.unpack_from(body)[0]:
                raise _damaged("has a chunk that is not what its checksum says")
            return content
        if kind < _SKIPPABLE or kind == _IDENTIFIER:
            raise _damaged(f"has a chunk of kind {kind}")
        return b""


def _decompressed(block: bytes) -> bytes:
    try:
        size, _ = read_varint(block, 0)
        if size > _MOST:
            raise _damaged(f"has a chunk of {size} bytes")
        return _CODEC.decompress(block, size, asbytes=True)
    except (IndexError, pa.ArrowException, OSError) as error:
        raise _damaged("has a chunk that cannot be decompressed") from error


def _damaged(how: str) -> BadRequestError:
    return BadRequestError(ErrorCode.DATA_ERROR, f"the body is not one whole Snappy stream: it {how}")
