"""The files an upsert leaves behind: rows that come, and delete files for those that go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from maxlake.lake import deletes, durable
from maxlake.lake.commits import NewDeleteFile
from maxlake.lake.deletes import Deletions, LeftRows
from maxlake.lake.files import ListedFile
from maxlake.lake.parts import Part, Upload, footer_size, storage_schema
from maxlake.lake.row_numbers import with_row_ids
from maxlake.lake.tables import Table
from maxlake.protocol.limits import MAX_PARTITIONS_PER_WRITE

if TYPE_CHECKING:
    from maxlake.lake.key_index import KeyIndex

#: An uploaded part has fewer rows than this. The sequence of a row is its part's place, times this, and its
#: position: where it comes among all.
PART_ROWS = 2**40
#: Uploaded parts whose rows are written together: each may be of another partition, and so become files of
#: its own, as many at a time as one upload may have.
PARTS_AT_ONCE = MAX_PARTITIONS_PER_WRITE


def write_deletes(
    data: Path, table: Table, base: Sequence[ListedFile], index: KeyIndex, name: str, undo: ExitStack
) -> list[NewDeleteFile]:
    """Write a delete file, durably, for every file of the base that loses rows."""
    written: list[NewDeleteFile] = []
    entries = {entry.file_id: entry for entry in base}
    for file_id, gone in _by_file(index.replaced()):
        entry = entries[file_id]
        directory = PurePosixPath(entry.file.path).parent.relative_to(table.path)
        path = directory / f"{name}-{entry.file_id}-delete.parquet"
        undo.callback(_remove, data / table.path / path)
        written.append(_write_delete_file(data, table, entry, gone, path))
    durable.publish([data / table.path / each.path for each in written], within=data)
    return written


def _by_file(rows: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, Deletions]]:
    """Yield the rows that go from each file, with its id."""

    def runs() -> Iterator[tuple[int, pa.RecordBatch]]:
        for batch in rows:
            files = pc.run_end_encode(batch.column("file"))
            start = 0
            for file_id, end in zip(files.values.to_pylist(), files.run_ends.to_pylist(), strict=True):
                yield file_id, batch.slice(start, end - start)
                start = end

    for file_id, some in groupby(runs(), key=itemgetter(0)):
        gone = pa.concat_batches([batch for _, batch in some])
        yield file_id, Deletions(gone.column("position"), gone.column("updated"))


def _write_delete_file(
    data: Path, table: Table, entry: ListedFile, gone: Deletions, path: PurePosixPath
) -> NewDeleteFile:
    """Write, under its temporary name, what is gone of a file: what goes now, and what went before."""
    before = entry.file.deletes
    every = gone if before is None else gone.joined(deletes.read(data, before))
    final = data / table.path / path
    every.write(final, entry.file.path)
    temporary = durable.temporary_path(final)
    return NewDeleteFile(
        data_file_id=entry.file_id,
        key=entry.key,
        path=str(path),
        count=len(every.positions),
        added=len(gone.positions),
        updated=gone.updates.true_count,
        file_size=temporary.stat().st_size,
        footer_size=footer_size(temporary),
        groups=_by_group(data / entry.file.path, every),
    )


def _by_group(path: Path, gone: Deletions) -> tuple[int, ...]:
    """Return how many rows are gone of each row group of a file with several."""
    footer = pq.read_metadata(path)
    left = LeftRows(gone.positions)
    counts: list[int] = []
    first = 0
    for group in range(footer.num_row_groups):
        rows = footer.row_group(group).num_rows
        counts.append(rows - left.count(first, first + rows))
        first += rows
    return tuple(counts) if len(counts) > 1 else ()


def _remove(final: Path) -> None:
    durable.temporary_path(final).unlink(missing_ok=True)
    final.unlink(missing_ok=True)


def write_rows(
    data: Path,
    table: Table,
    uploaded: Iterable[tuple[int, pa.RecordBatch]],
    index: KeyIndex,
    name: str,
    undo: ExitStack,
) -> tuple[list[Part], list[Part]]:
    """Write the uploaded rows that come, durably: new ones, and new values of older ones, with their ids."""
    inserts: list[Part] = []
    updates: list[Part] = []
    kept = _Kept(index.kept())
    for number, rows in groupby(uploaded, key=lambda each: each[0] // PARTS_AT_ONCE):
        new = Upload(data, table, f"{name}-{number}")
        undo.callback(new.discard)
        newer = Upload(data, table, f"{name}-{number}-updates", with_row_ids(storage_schema(table)))
        undo.callback(newer.discard)
        _write_some(table, rows, kept, new, newer)
        inserts += new.finish()
        updates += newer.finish()
    return inserts, updates


def _write_some(
    table: Table, uploaded: Iterable[tuple[int, pa.RecordBatch]], kept: _Kept, new: Upload, newer: Upload
) -> None:
    """Write those of some uploaded rows that are ``kept``."""
    schema = storage_schema(table)
    for place, batches in groupby(uploaded, key=itemgetter(0)):
        first = place * PART_ROWS
        for _, batch in batches:
            sequence, row_ids = kept.before(first + batch.num_rows)
            rows = batch.take(pc.subtract(sequence, first))
            first += batch.num_rows
            columns = [_as(rows.column(field.name), field.type) for field in schema]
            are_new = row_ids.is_null()
            if are_new.true_count:
                new.write(pa.record_batch(columns, schema=schema).filter(are_new))
            if are_new.false_count:
                numbered = pa.record_batch([*columns, row_ids], schema=with_row_ids(schema))
                newer.write(numbered.filter(pc.invert(are_new)))


def _as(array: pa.Array, kind: pa.DataType) -> pa.Array:
    return array if array.type == kind else array.cast(kind)


class _Kept:
    """The rows that come, by their sequence, taken a few at a time."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self._rest: pa.RecordBatch | None = None

    def before(self, stop: int) -> tuple[pa.Int64Array, pa.Int64Array]:
        """Return sequence and replaced row id of the next rows that come before ``stop``."""
        taken: list[pa.RecordBatch] = []
        while True:
            if self._rest is None:
                self._rest = next(self._batches, None)
            if self._rest is None:
                break
            count = pc.sum(pc.less(self._rest.column("sequence"), stop)).as_py() or 0
            taken.append(self._rest.slice(0, count))
            if count < self._rest.num_rows:
                self._rest = self._rest.slice(count)
                break
            self._rest = None
        if not taken:
            return pa.array([], pa.int64()), pa.array([], pa.int64())
        found = pa.concat_batches(taken)
        return found.column("sequence"), found.column("row_id")
