"""The actions on blobs: HTTP's parameters and body to the service's messages, and back (wire.md §11)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maxlake.protocol.enums import Codec
from maxlake.protocol.messages.base import decode
from maxlake.protocol.messages.blobs import ReadBlobsRequest
from maxlake.server import dialects
from maxlake.server.compressed_body import body_reader
from maxlake.server.storage_handlers import Answer, StorageCall, stream_address
from maxlake.service import blob_reading, blobs
from maxlake.service.blobs import BlobColumn

if TYPE_CHECKING:
    from maxlake.server.upload import UploadBody
    from maxlake.service.blob_reading import FoundBlob
    from maxlake.service.service import Service

#: Arrow's names of the codecs of whole bodies.
ARROW_CODEC = {Codec.ZSTD: "zstd", Codec.LZ4_FRAME: "lz4"}


def write_blob(call: StorageCall, body: UploadBody) -> Answer:
    """TableWriteBlob: one blob (wire.md §11.1), or many in frames (wire.md §11.2)."""
    codec = dialects.content_codec(call.content_encoding)
    read = body_reader(body, codec and ARROW_CODEC[codec])
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


def find_blobs(service: Service, body: bytes) -> list[FoundBlob]:
    """BlobRead: all of the blobs, or none of them (wire.md §11.5)."""
    return blob_reading.find(service, decode(body, ReadBlobsRequest).blob_references)
