"""Scans: rows of planned files as Arrow batches of the read direction (types.md §2)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from maxlake.lake.plans import Slice
from maxlake.protocol.columns import Column
from maxlake.protocol.errors import DamageError, ErrorCode
from maxlake.protocol.types.arrow import ReadUnits, arrow_type
from maxlake.protocol.types.storage import to_read

_log = logging.getLogger(__name__)

#: Rows decoded at a time; batches sent are slices of these.
DECODED_ROWS = 65_536


@dataclass(frozen=True)
class Projection:
    """The columns of a scan, in the order they are sent, and the units of their timestamps."""

    columns: Sequence[Column]
    units: ReadUnits

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema sent."""
        return pa.schema(
            [
                pa.field(column.name, arrow_type(column.type, self.units), column.nullable)
                for column in self.columns
            ]
        )


@dataclass(frozen=True)
class BatchLimits:
    """Most rows, and most raw bytes (0 = any number), of one batch (drift.md B.20)."""

    rows: int
    bytes: int = 0


def scan(
    data: Path, slices: Iterable[Slice], projection: Projection, limits: BatchLimits
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of ``slices`` in order.

    Raises :class:`DamageError` when a file is missing or damaged, however far the scan has come.
    """
    for piece in slices:
        try:
            for batch in _decode(data / piece.path, piece, projection):
                yield from _limited(batch, limits)
        except (OSError, pa.ArrowException) as error:
            _log.exception("data file %s", data / piece.path)
            raise _damage("a data file is missing or damaged", piece) from error


def _damage(message: str, piece: Slice) -> DamageError:
    return DamageError(ErrorCode.INTERNAL_SERVER_ERROR, message, where=piece.path)


def _decode(path: Path, piece: Slice, projection: Projection) -> Iterator[pa.RecordBatch]:
    schema = projection.schema
    names = [column.name for column in projection.columns]
    # Without pre_buffer=False the bytes of every row group of the slice would be held until its end.
    with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
        groups, skip = _row_groups(file.metadata, piece)
        left = piece.count
        for stored in file.iter_batches(
            batch_size=min(DECODED_ROWS, skip + piece.count),
            row_groups=groups,
            columns=names,
            use_threads=False,
        ):
            rows = stored.slice(skip, left)
            skip -= min(skip, stored.num_rows)
            left -= rows.num_rows
            if rows.num_rows:
                arrays = [
                    to_read(rows.column(column.name), column.type, projection.units)
                    for column in projection.columns
                ]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)
            if not left:  # going on would decode the rest of the row group
                return
        raise _damage(f"a data file lacks {left} rows", piece)


def _row_groups(footer: pq.FileMetaData, piece: Slice) -> tuple[list[int], int]:
    """Return the row groups that hold a slice, and the rows to skip in the first of them."""
    groups: list[int] = []
    skip = first = 0
    for group in range(footer.num_row_groups):
        rows = footer.row_group(group).num_rows
        if first + rows > piece.start and first < piece.start + piece.count:
            if not groups:
                skip = piece.start - first
            groups.append(group)
        first += rows
    return groups, skip


def _limited(batch: pa.RecordBatch, limits: BatchLimits) -> Iterator[pa.RecordBatch]:
    for start in range(0, batch.num_rows, limits.rows):
        yield from _at_most(batch.slice(start, limits.rows), limits.bytes)


def _at_most(batch: pa.RecordBatch, size: int) -> Iterator[pa.RecordBatch]:
    if not size or batch.nbytes <= size or batch.num_rows == 1:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _at_most(batch.slice(0, half), size)
    yield from _at_most(batch.slice(half), size)
