"""Blobs for one upload of many."""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Iterator
from typing import Any

import msgspec

from maxlake.protocol.enums import ChecksumType
from maxlake.protocol.frames import frame_head, frame_tail
from maxlake.protocol.messages.blobs import BlobFooter, BlobHeader, Checksum


class BlobWriteItem(msgspec.Struct):
    """One blob of a batch: bytes, text (as UTF-8), or a binary file whose rest is read when it is sent.

    ``size`` is how many bytes of a file to send: needed if it cannot seek. What is not said of partition and
    column is taken from the batch. ``distribution_key`` is a hint of where to store the blob; ``mime_type``
    is given back with it; the service verifies the checksum asked for.
    """

    data: Any
    partition_values: list[str] | None = None
    column_index: int = 0
    distribution_key: str | None = None
    mime_type: str | None = None
    checksum_type: ChecksumType = ChecksumType.NONE
    size: int | None = None

    def __post_init__(self) -> None:
        self.partition_values = self.partition_values or []
        self.checksum_type = ChecksumType(self.checksum_type)

    def or_default(self, partition_values: list[str], column_index: int) -> BlobWriteItem:
        """Return this blob with what is not said of its partition and column taken from the batch."""
        return msgspec.structs.replace(
            self,
            partition_values=self.partition_values or partition_values,
            column_index=self.column_index or column_index,
        )

    def serialize(self) -> bytes:
        """Return the frame of this blob (wire.md §11.2)."""
        return self.write_blobs([self])

    @staticmethod
    def write_blobs(items: list[BlobWriteItem]) -> bytes:
        """Return the frames of several blobs, one after the other."""
        frames = io.BytesIO()
        for item in items:
            item.write_frame_to(frames)
        return frames.getvalue()

    def write_frame_to(self, stream: Any, chunk_size: int = 262144) -> None:
        """Write the frame to a file; a blob from a file goes through in chunks.

        Raises ``ValueError`` if the size of a file cannot be known, or the file ends before it.
        """
        header = BlobHeader(
            partition_values=tuple(self.partition_values or ()),
            column_index=self.column_index,
            distribution_key=self.distribution_key,
            content_type=self.mime_type,
        )
        size, chunks = self._content(chunk_size)
        stream.write(frame_head(header, size))
        crc32, md5 = 0, hashlib.md5(usedforsecurity=False)
        for chunk in chunks:
            if self.checksum_type is ChecksumType.CRC32:
                crc32 = zlib.crc32(chunk, crc32)
            elif self.checksum_type is ChecksumType.MD5:
                md5.update(chunk)
            stream.write(chunk)
        checksum = {
            ChecksumType.NONE: Checksum(type=ChecksumType.NONE),
            ChecksumType.CRC32: Checksum(type=ChecksumType.CRC32, crc32=crc32),
            ChecksumType.MD5: Checksum(type=ChecksumType.MD5, md5=md5.hexdigest()),
        }[self.checksum_type]
        stream.write(frame_tail(BlobFooter(checksum=checksum)))

    def _content(self, chunk_size: int) -> tuple[int, Iterator[Any]]:
        if hasattr(self.data, "read"):
            size = self._file_size()
            return size, self._chunks(size, chunk_size)
        data: Any = self.data.encode() if isinstance(self.data, str) else self.data
        view = memoryview(data).cast("B")
        return view.nbytes, iter([data if isinstance(data, bytes) else view])

    def _file_size(self) -> int:
        if self.size is not None:
            return self.size
        try:
            here = self.data.tell()
            end = self.data.seek(0, io.SEEK_END)
            self.data.seek(here)
        except (AttributeError, OSError) as error:
            raise ValueError("the file cannot seek: say the size of the blob") from error
        return end - here

    def _chunks(self, size: int, chunk_size: int) -> Iterator[bytes]:
        left = size
        while left:
            chunk = self.data.read(min(left, chunk_size))
            if not chunk:
                raise ValueError(f"the file ended {left} bytes before the {size} that were announced")
            left -= len(chunk)
            yield chunk
