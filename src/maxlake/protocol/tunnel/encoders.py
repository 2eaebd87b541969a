"""Downloads: batches of rows to the bytes that clients read, as records or as Arrow in chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa

from maxlake.protocol.tunnel.arrow_form import ArrowForm
from maxlake.protocol.tunnel.chunks import ChunkWriter
from maxlake.protocol.types.model import OdpsType


class RowEncoder(Protocol):
    """Encodes batches of the read direction (types.md §2), in their order."""

    def feed(self, batch: pa.RecordBatch) -> bytes:
        """Return the bytes of a batch. Raises BadRequestError DATA_ERROR for values that have none."""
        ...

    def finish(self) -> bytes:
        """Return what ends the rows."""
        ...


class ArrowEncoder:
    """Record batches in chunks, without a schema."""

    def __init__(self, types: Sequence[OdpsType], form: ArrowForm) -> None:
        self._types = types
        self._form = form
        self._chunks = ChunkWriter()

    def feed(self, batch: pa.RecordBatch) -> bytes:
        """Return the chunks of a batch that are full; see ``RowEncoder``."""
        columns = zip(batch.columns, self._types, strict=True)
        arrays = [self._form.to_wire(column, t) for column, t in columns]
        sent = pa.RecordBatch.from_arrays(arrays, batch.schema.names)
        return self._chunks.feed(sent.serialize().to_pybytes())

    def finish(self) -> bytes:
        """Return the last chunk's checksum."""
        return self._chunks.finish()
