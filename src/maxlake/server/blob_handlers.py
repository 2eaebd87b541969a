"""The actions on blobs: HTTP's parameters and body to the service's messages, and back (wire.md §11)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pyarrow as pa

from maxlake.protocol.enums import Codec
from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.messages.base import decode
from maxlake.protocol.messages.blobs import ReadBlobsRequest
from maxlake.server import dialects
from maxlake.server.storage_handlers import Answer, StorageCall, stream_address
from maxlake.service import blob_reading, blobs
from maxlake.service.blobs import BlobColumn

if TYPE_CHECKING:
    from maxlake.server.upload import UploadBody
    from maxlake.service.blob_reading import FoundBlob
    from maxlake.service.service import Service

#: Bytes of a body read at a time, at least.
_READ_AHEAD = 256 * 1024
#: Arrow's names of the codecs of whole bodies.
ARROW_CODEC = {Codec.ZSTD: "zstd", Codec.LZ4_FRAME: "lz4"}


def write_blob(call: StorageCall, body: UploadBody) -> Answer:
    """TableWriteBlob: one blob (wire.md §11.1), or many in frames (wire.md §11.2)."""
    read = _reader(body, dialects.content_codec(call.content_encoding))
    addressing = call.dialect.blob_addressing
    address = stream_address(call)
    if (call.parameters.text("Mode") or "").lower() == "batch":
        answer = blobs.write_batch(call.project, call.target, address, addressing, read, call.principal)
        return dialects.blob_batch(answer, call.dialect)
    column = BlobColumn(
        index=call.parameters.unsigned("ColumnIndex") or 0,
        addressing=addressing,
        partition=call.parameters.text("PartitionValues") or "",
    )
    return blobs.write(call.project, call.target, address, column, read, call.principal)


def _reader(body: UploadBody, codec: Codec | None) -> Callable[[int], bytes]:
    """Return what reads a body, decompressed; bytes that cannot be are ``DATA_ERROR``."""
    file = _BodyFile(body)
    if codec is None:
        return file.read
    stream = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), ARROW_CODEC[codec])

    def read(size: int) -> bytes:
        try:
            return stream.read(size)
        except ConnectionError:  # the sender is gone, which says nothing about the bytes
            raise
        except (pa.ArrowException, OSError) as error:
            raise BadRequestError(
                ErrorCode.DATA_ERROR, f"the body is not one whole {codec.value} stream: {error}"
            ) from error

    return read


class _BodyFile:
    """A body as a file: what is small is read from a buffer, because each look at the body costs a lock."""

    closed = False

    def __init__(self, body: UploadBody) -> None:
        self._body = body
        self._buffer = memoryview(bytearray(_READ_AHEAD))
        self._ahead = memoryview(b"")

    def read(self, size: int) -> bytes:
        """Return the next ``size`` bytes, fewer only at the end."""
        if size <= len(self._ahead):
            taken, self._ahead = bytes(self._ahead[:size]), self._ahead[size:]
            return taken
        made = memoryview(bytearray(size))
        filled = len(self._ahead)
        made[:filled], self._ahead = self._ahead, memoryview(b"")
        while filled < size:
            if size - filled >= _READ_AHEAD:
                count = self._body.readinto(made[filled:])
            else:
                count = self._body.readinto(self._buffer)
                taken = self._buffer[: min(count or 0, size - filled)]
                made[filled : filled + len(taken)] = taken
                self._ahead = self._buffer[len(taken) : count or 0]
                count = len(taken) if count else count
            if count == 0:
                break
            filled += count or 0
        return bytes(made[:filled])


def find_blobs(service: Service, body: bytes) -> list[FoundBlob]:
    """BlobRead: all of the blobs, or none of them (wire.md §11.5)."""
    return blob_reading.find(service, decode(body, ReadBlobsRequest).blob_references)
