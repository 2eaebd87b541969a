"""Uploads: what clients send, as records or as Arrow in chunks, to one complete Arrow IPC stream."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import pyarrow as pa

from maxlake.protocol.columns import Column
from maxlake.protocol.tunnel.arrow_form import ArrowForm
from maxlake.protocol.tunnel.chunks import ChunkReader
from maxlake.protocol.tunnel.record_reader import RecordReader

#: How an IPC stream ends.
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


class BodyDecoder(Protocol):
    """Decodes a body that comes in pieces. Raises BadRequestError for what is damaged or cut."""

    @property
    def held_bytes(self) -> int:
        """Bytes of what is not whole yet."""
        ...

    def feed(self, data: bytes) -> bytes:
        """Return what the bytes so far give."""
        ...

    def finish(self) -> bytes:
        """Return what is left, once all is there and all checksums are right."""
        ...


class RecordDecoder:
    """Records of the columns given, in their order."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._reader = RecordReader([c.name for c in columns], [c.type for c in columns])
        self._schema = self._reader.schema.serialize().to_pybytes()

    @property
    def held_bytes(self) -> int:
        """Bytes of a record that goes on."""
        return self._reader.held_bytes

    def feed(self, data: bytes) -> bytes:
        """Return the batches that are whole; see ``BodyDecoder``."""
        return self._stream(self._reader.feed(data))

    def finish(self) -> bytes:
        """Return the last batches, and the end of the stream."""
        return self._stream(self._reader.finish()) + _END_OF_STREAM

    def _stream(self, batches: Iterable[pa.RecordBatch]) -> bytes:
        schema, self._schema = self._schema, b""
        return schema + b"".join(self._uploaded(batch).serialize().to_pybytes() for batch in batches)

    def _uploaded(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return of a batch what is stored."""
        return batch


class ArrowDecoder:
    """Record batches of the columns given, in their order, without a schema."""

    def __init__(self, columns: Sequence[Column], form: ArrowForm) -> None:
        fields = [pa.field(column.name, form.column_type(column.type)) for column in columns]
        self._schema = pa.schema(fields).serialize().to_pybytes()
        self._chunks = ChunkReader()

    #: But for a checksum.
    held_bytes = 0

    def feed(self, data: bytes) -> bytes:
        """Return the data of the chunks; see ``BodyDecoder``."""
        schema, self._schema = self._schema, b""
        return schema + self._chunks.feed(data)

    def finish(self) -> bytes:
        """Return the end of the stream."""
        schema, self._schema = self._schema, b""
        return schema + self._chunks.finish() + _END_OF_STREAM
