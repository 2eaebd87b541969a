"""Scans: rows of planned files as Arrow batches of the read direction (types.md §2)."""

from __future__ import annotations

import errno
import logging
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from maxlake.lake.deletes import VisibleRows, visible_rows
from maxlake.lake.filters import Filter, row_group_bounds
from maxlake.lake.mappings import Mapping
from maxlake.lake.plans import Slice
from maxlake.lake.tables import StoredColumn
from maxlake.protocol.errors import BusyError, DamageError, ErrorCode
from maxlake.protocol.types.arrow import ReadUnits, arrow_type
from maxlake.protocol.types.storage import to_read
from maxlake.protocol.types.text import parse_type

#: What says nothing of the file: too many open files, here or in all, and no memory.
_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)

_log = logging.getLogger(__name__)

#: Rows decoded at a time; batches sent are slices of these. More only delay the first (16.8 ms for 65,536
#: rows of lineitem, 5.2 ms for these), and whole scans are no faster.
DECODED_ROWS = 16_384
#: Bytes of these rows, all columns of the table counted: fewer rows are decoded where they are wide.
DECODED_BYTES = 16 * 1024 * 1024
#: Bytes of a column read at a time: the first rows of a row group must not cost all of it. (Ten of 131,072
#: rows, 21 columns: 5.5 MB and 5 ms against 20.6 MB and 13 ms for whole columns; full scans no slower.)
READ_AHEAD = 256 * 1024


@dataclass(frozen=True)
class Projection:
    """The columns of a scan, in the order they are sent, and the units of their timestamps."""

    columns: Sequence[StoredColumn]
    units: ReadUnits

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema sent."""
        return pa.schema(
            [
                pa.field(column.name, arrow_type(parse_type(column.type), self.units), column.nullable)
                for column in self.columns
            ]
        )


@dataclass(frozen=True)
class BatchLimits:
    """Most rows, and most raw bytes (0 = any number), of one batch (drift.md B.20)."""

    rows: int
    bytes: int = 0


@dataclass(frozen=True)
class Selection:
    """The rows a filter picks. ``columns`` are those it reads."""

    filter: Filter
    columns: Sequence[StoredColumn]


@dataclass(frozen=True)
class Window:
    """Which of the rows found are wanted: all after the first ``skip``, at most ``count``."""

    skip: int = 0
    count: int | None = None

    def cut(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield what of the batches is inside; take no more of them than needed."""
        skip, left = self.skip, self.count
        if left == 0:
            return
        for batch in batches:
            rows = batch.slice(skip, left)
            skip -= min(skip, batch.num_rows)
            if rows.num_rows:
                yield rows
            if left is not None:
                left -= rows.num_rows
                if not left:
                    return


def scan(
    data: Path,
    slices: Iterable[Slice],
    projection: Projection,
    limits: BatchLimits,
    selection: Selection | None = None,
    window: Window = Window(),
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of ``slices``, or those of them that are selected and in the window, in order.

    Raises :class:`DamageError` when a file is missing or damaged, however far the scan has come, and
    ``DATA_ERROR`` for instants that do not fit the unit asked.
    """
    kinds = [parse_type(column.type) for column in projection.columns]
    schema = projection.schema
    for batch in window.cut(decode(data, slices, projection.columns, selection)):
        arrays = [
            to_read(array, kind, projection.units) for array, kind in zip(batch.columns, kinds, strict=True)
        ]
        yield from _limited(pa.RecordBatch.from_arrays(arrays, schema=schema), limits)


def decode(
    data: Path,
    slices: Iterable[Slice],
    columns: Sequence[StoredColumn],
    selection: Selection | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield rows in storage types, as :func:`scan` does."""
    for piece in slices:
        with _readable(data, piece) as file:
            reader = _Reader(file, piece, visible_rows(data, piece.file))
            if selection is None:
                yield from reader.read(columns)
            else:
                yield from reader.select(columns, selection)


def decode_promising(
    data: Path, slices: Iterable[Slice], columns: Sequence[StoredColumn], selection: Selection
) -> Iterator[pa.RecordBatch]:
    """Yield all rows of the row groups that may have selected ones, in storage types."""
    for piece in slices:
        with _readable(data, piece) as file:
            yield from _Reader(file, piece, visible_rows(data, piece.file)).read_promising(columns, selection)


def count(data: Path, slices: Iterable[Slice], selection: Selection) -> Iterator[tuple[int, int]]:
    """Yield rows and selected rows of each row group of ``slices``, in order."""
    for piece in slices:
        with _readable(data, piece) as file:
            yield from _Reader(file, piece, visible_rows(data, piece.file)).counts(selection)


@contextmanager
def _readable(data: Path, piece: Slice) -> Generator[pq.ParquetFile]:
    path = data / piece.file.path
    try:
        # Without pre_buffer=False the bytes of every row group read would be held until the end.
        with pq.ParquetFile(
            path, pre_buffer=False, buffer_size=READ_AHEAD, page_checksum_verification=True
        ) as file:
            yield file
    except (OSError, pa.ArrowException) as error:
        if isinstance(error, pa.ArrowMemoryError) or getattr(error, "errno", None) in _SHORTAGES:
            raise BusyError(
                ErrorCode.SERVICE_UNAVAILABLE, f"the server is short of memory or open files: {error}"
            ) from error
        _log.exception("data file %s", path)
        raise _damage("a data file is missing or damaged", piece) from error


def _damage(message: str, piece: Slice) -> DamageError:
    return DamageError(ErrorCode.INTERNAL_SERVER_ERROR, message, where=piece.file.path)


@dataclass(frozen=True)
class _Run:
    """Rows of one row group: ``rows`` of them after the first ``skip``, from position ``first`` on."""

    group: int
    first: int
    skip: int
    rows: int

    @property
    def stop(self) -> int:
        return self.first + self.rows


class _Reader:
    """The visible rows of one slice of an open file."""

    def __init__(self, file: pq.ParquetFile, piece: Slice, visible: VisibleRows) -> None:
        self._file = file
        self._piece = piece
        self._visible = visible
        self._schema = file.schema_arrow
        first, stop = visible.span(piece.start, piece.count)
        runs = list(_runs(file.metadata, first, stop))
        missing = stop - first - sum(run.rows for run in runs)
        if missing:
            raise _damage(f"a data file lacks {missing} rows", piece)
        self._runs = [run for run in runs if visible.count(run.first, run.stop)]

    def read(self, columns: Sequence[StoredColumn]) -> Iterator[pa.RecordBatch]:
        """Yield all rows of the slice."""
        for run in self._runs:
            yield from self._decode(columns, run)

    def read_promising(
        self, columns: Sequence[StoredColumn], selection: Selection
    ) -> Iterator[pa.RecordBatch]:
        """Yield all rows of those row groups that may have selected ones."""
        for run, promising in zip(self._runs, self._promising(selection), strict=True):
            if promising:
                yield from self._decode(columns, run)

    def select(self, columns: Sequence[StoredColumn], selection: Selection) -> Iterator[pa.RecordBatch]:
        """Yield the selected rows; a row group without any costs no more than the columns of the filter."""
        for run, mask in zip(self._runs, self._masks(selection), strict=True):
            if not mask.true_count:
                continue
            row = 0
            for batch in self._decode(columns, run):
                wanted = mask.slice(row, batch.num_rows)
                row += batch.num_rows
                if wanted.true_count:
                    yield batch.filter(wanted)

    def counts(self, selection: Selection) -> Iterator[tuple[int, int]]:
        """Yield rows and selected rows of each row group of the slice."""
        for run, mask in zip(self._runs, self._masks(selection), strict=True):
            yield self._visible.count(run.first, run.stop), mask.true_count

    def _masks(self, selection: Selection) -> Iterator[pa.BooleanArray]:
        """Yield which visible rows of each row group are selected; one that can have none is not read."""
        for run, promising in zip(self._runs, self._promising(selection), strict=True):
            if promising:
                batches = self._decode(selection.columns, run)
                yield pa.concat_arrays([selection.filter.mask(batch) for batch in batches])
            else:
                yield pa.array([], pa.bool_())

    def _promising(self, selection: Selection) -> Iterator[bool]:
        """Tell of each row group whether it may have selected rows, by what its footer says."""
        origins = self._mapping(selection.columns).origins
        bounds = row_group_bounds(
            self._file.metadata,
            [run.group for run in self._runs],
            {name: parse_type(column.type) for name, column in origins.items()},
        )
        for found in bounds:
            yield selection.filter.may_match({origins[name].name: known for name, known in found.items()})

    def _mapping(self, columns: Sequence[StoredColumn]) -> Mapping:
        return Mapping(self._schema, columns, self._piece)

    def _decode(self, columns: Sequence[StoredColumn], run: _Run) -> Iterator[pa.RecordBatch]:
        """Yield the visible rows of a run."""
        mapping = self._mapping(columns)
        skip, position = run.skip, run.first
        # One row group at a time: a batch would be filled from the next ones, whatever their rows weigh.
        for stored in self._file.iter_batches(
            batch_size=min(self._batch_rows(run.group), run.skip + run.rows),
            row_groups=[run.group],
            columns=mapping.fields,
            use_threads=False,
        ):
            rows = stored.slice(skip, run.stop - position)
            skip -= min(skip, stored.num_rows)
            end = position + rows.num_rows
            shown = self._visible.count(position, end)
            if shown:
                mapped = mapping.apply(rows, position)
                yield mapped if shown == len(mapped) else mapped.filter(self._visible.mask(position, end))
            position = end
            if position == run.stop:  # going on would decode the rest of the row group
                return
        raise _damage(f"a data file lacks {run.stop - position} rows", self._piece)

    def _batch_rows(self, number: int) -> int:
        """Return how many rows of a row group to decode at a time."""
        file = self._piece.file
        rows, size = file.groups[number] if file.groups else (file.record_count, file.raw_size)
        return max(1, min(DECODED_ROWS, rows * DECODED_BYTES // max(size, 1)))


def _runs(footer: pq.FileMetaData, first: int, stop: int) -> Iterator[_Run]:
    """Yield what of each row group lies at positions [first, stop)."""
    begin = 0
    for group in range(footer.num_row_groups):
        rows = footer.row_group(group).num_rows
        start, end = max(begin, first), min(begin + rows, stop)
        if start < end:
            yield _Run(group, start, start - begin, end - start)
        begin += rows


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
