"""Rows to a tunnel record stream: records with their checksums, their number, and the checksum of those."""

from __future__ import annotations

from collections.abc import Sequence

import google_crc32c
import numpy as np
import pyarrow as pa

from maxlake.protocol.tunnel import cells
from maxlake.protocol.tunnel.forms import to_forms
from maxlake.protocol.tunnel.record_values import checked_rows, checksums, wire_rows
from maxlake.protocol.tunnel.wire import CHECKSUM, END_RECORD, ROW_COUNT, WireType, tag, varint
from maxlake.protocol.types.model import OdpsType

_END = tag(END_RECORD, WireType.VARINT)


class RecordWriter:
    """Encodes batches of the read direction whose columns are of ``types`` (rest.md §8.2)."""

    def __init__(self, types: Sequence[OdpsType]) -> None:
        self._types = types
        self._count = 0
        self._checksum = 0

    def feed(self, batch: pa.RecordBatch) -> bytes:
        """Return the records of a batch. Raises DATA_ERROR for a value that no record can have."""
        columns = [to_forms(column, t) for column, t in zip(batch.columns, self._types, strict=True)]
        found = checksums(checked_rows(columns, self._types))
        self._count += batch.num_rows
        self._checksum = google_crc32c.extend(self._checksum, found.tobytes())
        ends = cells.varints(found.astype(np.uint64))
        return cells.content(cells.joined(wire_rows(columns, self._types), cells.constant(_END), ends))

    def finish(self) -> bytes:
        """Return the end of the stream, without which no reader believes it."""
        count, checksum = tag(ROW_COUNT, WireType.VARINT), tag(CHECKSUM, WireType.VARINT)
        return count + varint(self._count << 1) + checksum + varint(self._checksum)
