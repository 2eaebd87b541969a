"""TableWriteBlob: blobs that are verified and durable before their references are given out (wire.md §11)."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from maxlake.failpoints import BlobPoint, reach
from maxlake.lake import tables
from maxlake.lake.blob_store import BlobUpload
from maxlake.lake.tables import Table
from maxlake.protocol import blob_references
from maxlake.protocol.blob_references import BlobLocation, BlobReference
from maxlake.protocol.enums import ChecksumType
from maxlake.protocol.errors import BadRequestError, ErrorCode, invalid_argument
from maxlake.protocol.frames import FrameError, FrameReader
from maxlake.protocol.limits import (
    BLOB_PIECE,
    MAX_BLOB,
    MAX_BLOB_NAME,
    MAX_BLOBS_PER_BATCH,
    MAX_MIME_TYPE,
    MAX_UPLOAD_BODY,
)
from maxlake.protocol.messages.blobs import BlobHeader, Checksum, WriteBlobResponse, WriteBlobsResponse
from maxlake.protocol.messages.streaming import STREAMING_SESSION
from maxlake.protocol.messages.write import StreamAddress
from maxlake.protocol.partitions import PartitionSpec, parse_partition_spec, resolve
from maxlake.protocol.targets import TableTarget
from maxlake.service import blob_columns
from maxlake.service.blob_columns import Addressing
from maxlake.service.project import Project
from maxlake.service.write_sessions import load_writable
from maxlake.service.write_streams import check_address

#: Reads exactly so many bytes of an upload, fewer only at its end.
Read = Callable[[int], bytes]


@dataclass(frozen=True, kw_only=True)
class BlobColumn:
    """What a blob is uploaded for: a column, by an index that is addressed so, and a partition spec."""

    index: int
    addressing: Addressing
    partition: str = ""


def write(
    project: Project,
    target: TableTarget,
    address: StreamAddress,
    column: BlobColumn,
    read: Read,
    principal: str,
) -> WriteBlobResponse:
    """Store one blob. The stream's name is used to name files; the blob belongs to the session."""
    table = _table(project, target, address, principal)
    _check_partition(table, parse_partition_spec(column.partition))
    warning = blob_columns.check(table, column.index, column.addressing)
    md5 = hashlib.md5(usedforsecurity=False)
    with project.lake.blobs.upload(address.session_id, address.stream_id) as upload:
        stored = upload.store(_observed(_bounded(read), md5.update))
        upload.finish()
    reach(BlobPoint.BEFORE_BLOB_ANSWER)
    return WriteBlobResponse(
        blob_reference=_reference(project, table, stored, None, None),
        size=stored.length,
        md5_value=md5.hexdigest(),
        warning_message=warning,
    )


def _bounded(read: Read) -> Iterator[bytes]:
    size = 0
    while piece := read(BLOB_PIECE):
        size += len(piece)
        if size > MAX_BLOB:
            raise invalid_argument(_too_large())
        yield piece


def _too_large() -> str:
    return f"the blob is larger than {MAX_BLOB} bytes; cut it into several"


def _observed(pieces: Iterator[bytes], observe: Callable[[bytes], object]) -> Iterator[bytes]:
    for piece in pieces:
        observe(piece)
        yield piece


def write_batch(
    project: Project,
    target: TableTarget,
    address: StreamAddress,
    addressing: Addressing,
    read: Read,
    principal: str,
) -> WriteBlobsResponse:
    """Store the blobs of a body of frames, all of them or none; errors say which blob is wrong, from 0."""
    table = _table(project, target, address, principal)
    references: list[str] = []
    warnings: list[str] = []
    total = 0
    frames = FrameReader(read)
    with project.lake.blobs.upload(address.session_id, address.stream_id) as upload:
        batch = _Batch(table, addressing, frames, upload)
        while (found := batch.next_blob(len(references), MAX_UPLOAD_BODY - total)) is not None:
            header, stored, warning = found
            total += stored.length
            warnings.extend({warning} - {"", *warnings})
            references.append(
                _reference(project, table, stored, header.content_type, header.custom_file_name)
            )
        upload.finish()
    reach(BlobPoint.BEFORE_BLOB_ANSWER)
    return WriteBlobsResponse(
        blob_references=tuple(references), size=total, warning_message="; ".join(warnings)
    )


@dataclass(frozen=True)
class _Batch:
    """The blobs of a batch, verified and stored one after the other.

    ``warnings`` has what there is to say of each column and partition seen so far.
    """

    table: Table
    addressing: Addressing
    frames: FrameReader
    upload: BlobUpload
    warnings: dict[tuple[int, tuple[str, ...]], str] = field(default_factory=dict[Any, str])

    def next_blob(self, number: int, room: int) -> tuple[BlobHeader, BlobLocation, str] | None:
        """Store the next blob; return it with a warning, if any. None after the last."""
        try:
            found = self.frames.next_blob()
            if found is None:
                return None
            header, size = found
            if number == MAX_BLOBS_PER_BATCH:
                raise invalid_argument(f"a batch has at most {MAX_BLOBS_PER_BATCH} blobs; send several")
            if size > MAX_BLOB:
                raise invalid_argument(_too_large())
            if size > room:
                raise invalid_argument("the blobs are too large for one batch; send several")
            warning = self._checked(header)
            return header, self._stored(), warning
        except FrameError as error:
            raise invalid_argument(f"{error}; send whole frames", where=self._where(number)) from error
        except BadRequestError as error:
            raise type(error)(error.code, error.message, where=self._where(number)) from error

    def _where(self, number: int) -> str:
        return f"{self.table.full_name}, blob {number} of the batch (from 0)"

    def _checked(self, header: BlobHeader) -> str:
        _check_type_and_name(header.content_type, header.custom_file_name)
        index, values = header.column_index or 0, header.partition_values or ()
        if (index, values) not in self.warnings:
            parts = (value.partition("=") for value in values)
            _check_partition(self.table, PartitionSpec(tuple((key, value) for key, _, value in parts)))
            self.warnings[index, values] = blob_columns.check(self.table, index, self.addressing)
        return self.warnings[index, values]

    def _stored(self) -> BlobLocation:
        stored = self.upload.store(self._pieces())
        checksum = self.frames.end_blob().checksum
        if checksum.type is not ChecksumType.NONE:
            # Only now it is said which; and what counts is what was stored.
            _verify(checksum, self.upload.read(stored))
        return stored

    def _pieces(self) -> Iterator[bytes]:
        while piece := self.frames.read(BLOB_PIECE):
            yield piece


def _verify(checksum: Checksum, stored: Iterator[bytes]) -> None:
    said: object
    found: object
    if checksum.type is ChecksumType.CRC32:
        said, crc = checksum.crc32, 0
        for piece in stored:
            crc = zlib.crc32(piece, crc)
        found = crc
    else:
        said, md5 = (checksum.md5 or "").lower(), hashlib.md5(usedforsecurity=False)
        for piece in stored:
            md5.update(piece)
        found = md5.hexdigest()
    if said != found:
        raise BadRequestError(
            ErrorCode.CHECKSUM_MISMATCH,
            f"its {checksum.type.name} is {found}, and should be {said}; send the batch again",
        )


def _check_type_and_name(mime_type: str | None, name: str | None) -> None:
    if mime_type is not None and not (
        mime_type.isascii() and mime_type.isprintable() and len(mime_type) <= MAX_MIME_TYPE
    ):
        raise invalid_argument(f"ContentType has at most {MAX_MIME_TYPE} printable ASCII characters")
    if name is not None and not (name.isprintable() and len(name.encode()) <= MAX_BLOB_NAME):
        raise invalid_argument(f"CustomFileName has at most {MAX_BLOB_NAME} bytes, all of them printable")


def _check_partition(table: Table, spec: PartitionSpec) -> None:
    """Refuse values for what is no partition column. Where a blob lies does not depend on them."""
    resolve(spec, table.partition_keys, complete=False)


def _table(project: Project, target: TableTarget, address: StreamAddress, principal: str) -> Table:
    """Return the table of a session that takes writes; streamed rows have a session that is never created."""
    check_address(address)
    with project.lake.database.read() as connection:
        if address.session_id == STREAMING_SESSION:
            return tables.get(connection, target.schema, target.table)
        return load_writable(connection, target, address.session_id, principal).table


def _reference(
    project: Project, table: Table, stored: BlobLocation, mime_type: str | None, file_name: str | None
) -> str:
    reference = BlobReference(
        project=project.name,
        table_id=table.table_id,
        location=stored,
        mime_type=mime_type,
        file_name=file_name,
    )
    return blob_references.encoded(blob_references.seal(reference, project.lake.blob_key))
