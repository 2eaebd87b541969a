"""Blobs of a scene's table, without HTTP."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pyarrow as pa

from maxlake.protocol.enums import ChecksumType
from maxlake.protocol.frames import frame_head, frame_tail
from maxlake.protocol.messages.blobs import (
    BlobFooter,
    BlobHeader,
    Checksum,
    WriteBlobResponse,
    WriteBlobsResponse,
)
from maxlake.protocol.messages.read import CreateReadSessionRequest, ReadAddress, ReadRowsRequest
from maxlake.protocol.messages.write import StreamAddress
from maxlake.service import blob_reading, blobs, read_sessions, rows
from maxlake.service.blob_columns import Addressing
from maxlake.service.blobs import BlobColumn
from maxlake.service.project import Project
from maxlake.service.service import Service
from tests.service.scene import ME, Scene

DATA_COLUMN = 2


class BlobScene(Scene):
    """A table ``t (id bigint, data blob)`` and shorthands for calls about its blobs."""

    def __init__(
        self, service: Service, project: Project, columns: str = "id bigint, data blob", **options: str
    ) -> None:
        super().__init__(project, columns, **options)
        self.service = service

    def blob(
        self, session: str, data: bytes, stream: str = "0", index: int = DATA_COLUMN, spec: str = ""
    ) -> str:
        return self.response(session, data, stream, index, spec).blob_reference

    def response(
        self, session: str, data: bytes, stream: str = "0", index: int = DATA_COLUMN, spec: str = ""
    ) -> WriteBlobResponse:
        address = StreamAddress(session_id=session, stream_id=stream)
        column = BlobColumn(index=index, addressing=Addressing.COLUMN_ID, partition=spec)
        return blobs.write(self.project, self.target, address, column, io.BytesIO(data).read, ME)

    def batch(self, session: str, frames: bytes) -> WriteBlobsResponse:
        address = StreamAddress(session_id=session, stream_id="0")
        read = io.BytesIO(frames).read
        return blobs.write_batch(self.project, self.target, address, Addressing.COLUMN_ID, read, ME)

    def read_blobs(self, references: Sequence[str | bytes]) -> list[bytes]:
        texts = [each.decode() if isinstance(each, bytes) else each for each in references]
        return [b"".join(found.pieces()) for found in blob_reading.find(self.service, texts)]

    def append_references(
        self, session: str, references: Sequence[str | None], stream: str = "0", *, commit: bool = True
    ) -> None:
        address = self.stream(session, stream)
        ids = pa.array(range(len(references)), pa.int64())
        self.write_table(address, pa.table({"id": ids, "data": pa.array(references, pa.string())}))
        self.close(address)
        if commit:
            self.commit(session)

    def cells(self) -> list[bytes | None]:
        session = read_sessions.create(self.project, self.target, CreateReadSessionRequest(), ME)
        stream = rows.read(
            self.project, self.target, ReadAddress(session_id=session.session_id), ReadRowsRequest(), ME
        )
        return pa.Table.from_batches(stream.batches, stream.schema).column("data").to_pylist()


def frame(data: bytes, checksum: Checksum | None = None, **header: object) -> bytes:
    """One blob of a batch, for the column ``data`` unless the header says another."""
    footer = BlobFooter(checksum=checksum or Checksum(type=ChecksumType.NONE))
    head = BlobHeader(**{"column_index": DATA_COLUMN, **header})
    return frame_head(head, len(data)) + data + frame_tail(footer)
