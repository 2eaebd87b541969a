"""Messages of blobs (wire.md §11)."""

from __future__ import annotations

import msgspec

from maxlake.protocol.enums import ChecksumType
from maxlake.protocol.messages.base import Message


class BlobHeader(Message, frozen=True, kw_only=True, omit_defaults=True):
    """What a frame says before its data; absent members are None (wire.md §11.2, §11.4).

    Downloads have the last two alone. ``distribution_key`` is an opaque hint (drift.md B.19).
    """

    partition_values: tuple[str, ...] | None = None
    column_index: int | None = None
    distribution_key: str | None = None
    content_type: str | None = None
    custom_file_name: str | None = None


class Checksum(Message, frozen=True, kw_only=True, omit_defaults=True):
    """The checksum of a blob: CRC-32 as zlib has it, MD5 in hexadecimal."""

    type: ChecksumType
    crc32: int | None = None
    md5: str | None = msgspec.field(default=None, name="MD5")


class BlobFooter(Message, frozen=True, kw_only=True):
    """What a frame says after its data."""

    checksum: Checksum = Checksum(type=ChecksumType.NONE)


class WriteBlobResponse(Message, frozen=True, kw_only=True):
    """Answer to a single blob: reference in base64, size before compression, MD5 in hexadecimal."""

    blob_reference: str
    size: int
    md5_value: str = msgspec.field(name="MD5Value")
    warning_message: str = ""


class WriteBlobsResponse(Message, frozen=True, kw_only=True):
    """Answer to a batch: references in base64, in the order of the blobs, and the bytes of all."""

    blob_references: tuple[str, ...]
    size: int
    warning_message: str = ""


class ReadBlobsRequest(Message, frozen=True, kw_only=True):
    """BlobRead: references, in base64 or decoded (wire.md §11.3)."""

    blob_references: tuple[str, ...] = ()
