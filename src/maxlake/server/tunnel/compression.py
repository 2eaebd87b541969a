"""Compression of whole bodies of the tunnel, both ways."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from maxlake.protocol.enums import TunnelCodec
from maxlake.protocol.tunnel.snappy_frames import SnappyCompressor, SnappyDecompressor
from maxlake.server.compressed_body import body_reader
from maxlake.server.gather import Gather
from maxlake.service.decoded_body import DecodedBody

if TYPE_CHECKING:
    from maxlake.server.upload import UploadBody

#: Arrow's names of codecs; the one for gzip reads zlib's format as well.
_ARROW_CODECS = {
    TunnelCodec.DEFLATE: "gzip",
    TunnelCodec.ZSTD: "zstd",
    TunnelCodec.LZ4_FRAME: "lz4",
    TunnelCodec.ODPS_LZ4_FRAME: "lz4",
}
#: The fastest, as PyODPS sets it: a download waits for it.
_DEFLATE_LEVEL = 1


class Compressor(Protocol):
    """Compresses a body that is made in pieces."""

    def feed(self, data: bytes) -> bytes:
        """Return what there is so far."""
        ...

    def finish(self) -> bytes:
        """Return the rest."""
        ...


def compressor(codec: TunnelCodec | None) -> Compressor:
    """Return a new compressor."""
    match codec:
        case None:
            return _Plain()
        case TunnelCodec.DEFLATE:
            return _Deflate()
        case TunnelCodec.SNAPPY:
            return SnappyCompressor()
        case _:
            return _Arrow(_ARROW_CODECS[codec])


class _Plain:
    """Compresses nothing."""

    def feed(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""


class _Deflate:
    """In zlib's format, which HTTP calls deflate."""

    def __init__(self) -> None:
        self._stream = zlib.compressobj(_DEFLATE_LEVEL)

    def feed(self, data: bytes) -> bytes:
        return self._stream.compress(data)

    def finish(self) -> bytes:
        return self._stream.flush()


class _Arrow:
    """By one of Arrow's codecs."""

    def __init__(self, codec: str) -> None:
        self._gather = Gather()
        self._stream = pa.CompressedOutputStream(pa.PythonFile(self._gather, mode="w"), codec)

    def feed(self, data: bytes) -> bytes:
        self._stream.write(data)
        return self._gather.take()

    def finish(self) -> bytes:
        self._stream.close()
        return self._gather.take()


def decompressed(body: UploadBody, codec: TunnelCodec | None) -> UploadBody | DecodedBody | DecompressedBody:
    """Return a source of what a body holds; what cannot be decompressed is DATA_ERROR when it is read."""
    match codec:
        case None:
            return body
        case TunnelCodec.SNAPPY:
            return DecodedBody(body, SnappyDecompressor())
        case _:
            return DecompressedBody(body, _ARROW_CODECS[codec])


class DecompressedBody:
    """A body decompressed by one of Arrow's codecs, in pieces of bounded size."""

    def __init__(self, body: UploadBody, codec: str) -> None:
        self._read = body_reader(body, codec)

    def readinto(self, into: memoryview, /) -> int | None:
        """Fill ``into`` from its start, as ``Source`` says."""
        data = self._read(len(into))
        into[: len(data)] = data
        return len(data)
