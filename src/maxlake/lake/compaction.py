"""Compaction: small files of one partition and bucket become one, and no row changes (design.md §4).

Files that have lost many of their rows are written again without these. Rows keep their order and their ids.
Older snapshots go on listing the files there were.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, exists, func, select

from maxlake.failpoints import MaintenancePoint, reach
from maxlake.lake import commits, ducklake, durable, file_lists, tables
from maxlake.lake.blob_uses import BlobUses
from maxlake.lake.file_details import delete_detail
from maxlake.lake.files import ListedFile
from maxlake.lake.lake import Lake
from maxlake.lake.parts import Part, PartWriter, storage_schema
from maxlake.lake.plans import Slice
from maxlake.lake.routing import Target
from maxlake.lake.row_numbers import ROW_ID, with_row_ids
from maxlake.lake.scans import decode
from maxlake.lake.statistics import bounded_leaves
from maxlake.lake.tables import StoredColumn, Table
from maxlake.protocol.errors import DamageError, ErrorCode
from maxlake.protocol.types.storage import field_id

#: Bytes of a merged file, at most: one default split of compressed rows, and few enough to be rewritten in
#: seconds.
TARGET_BYTES = 128 * 1024 * 1024
#: Files from this size on are left alone.
SMALL_BYTES = TARGET_BYTES // 2
#: A merged file is at least so many times as large as the largest it is made of: no row is rewritten more
#: often than a file can double.
GROWTH = 2
#: Fewer files are not worth a snapshot.
MIN_FILES = 4
#: A file of which no more than this share of rows is left is rewritten, even alone.
THIN = 0.7
#: Files of one merge: what one short transaction can end.
MAX_FILES = 1000
#: Begins the name of every merged file; no session's id looks like it.
PREFIX = "merged-"


@dataclass(frozen=True)
class Merge:
    """Files that can become one: neighbours in the canonical order, or a single one that lost many rows.

    ``stored_bytes`` on disk.
    """

    table: Table
    sources: tuple[ListedFile, ...]
    stored_bytes: int


@dataclass(frozen=True)
class Merged:
    """What a merge made; ``stored_bytes`` on disk. The path is None where no row was left."""

    path: str | None
    stored_bytes: int


def fragmented_tables(connection: Connection) -> list[Table]:
    """Return the tables that have enough small files for a merge, or files that lost rows."""
    file, removed = ducklake.data_file, ducklake.delete_file
    small = (
        select(file.c.table_id)
        .where(file.c.end_snapshot.is_(None), file.c.file_size_bytes < SMALL_BYTES)
        .group_by(file.c.table_id)
        .having(func.count() >= MIN_FILES)
    )
    thinned = select(removed.c.table_id).where(removed.c.end_snapshot.is_(None))
    ids = connection.execute(small.union(thinned)).scalars()
    found = [tables.get_by_id(connection, table_id) for table_id in sorted(ids.all())]
    return [table for table in found if table is not None]


def find_merges(connection: Connection, table: Table) -> list[Merge]:
    """Return the merges worth doing in a table now."""
    living = [kind.c.end_snapshot.is_(None) for kind in (ducklake.data_file, ducklake.delete_file)]
    listed = sorted(file_lists.load(connection, table, *living))
    listed.sort(key=lambda entry: (entry.key, -1 if entry.file.bucket is None else entry.file.bucket))
    sizes = _mergeable(connection, table)
    if table.options.clustered_by:  # those without a bucket are another program's
        ours = {entry.file_id for entry in listed if entry.file.bucket is not None}
        sizes = {file_id: size for file_id, size in sizes.items() if file_id in ours}
    return [
        Merge(table, sources, sum(sizes[entry.file_id] for entry in sources))
        for group in _neighbours(listed, sizes)
        for sources in _runs(group, sizes)
    ]


def _neighbours(listed: Sequence[ListedFile], sizes: dict[int, int]) -> Iterator[list[ListedFile]]:
    """Yield the files of a partition and bucket that may be merged, large ones left out."""

    def place(entry: ListedFile) -> tuple[object, ...]:
        small = entry.file_id in sizes and _left_bytes(entry, sizes) < SMALL_BYTES
        return entry.key, entry.file.bucket, small

    for (_, _, small), group in groupby(listed, key=place):
        if small:
            yield list(group)
        else:
            yield from ([entry] for entry in group if entry.file_id in sizes)


def _runs(files: Sequence[ListedFile], sizes: dict[int, int]) -> Iterator[tuple[ListedFile, ...]]:
    """Yield the runs of neighbours that are worth merging, and those files that are to be rewritten alone."""
    runs = [tuple(files[run.start : run.stop]) for run in choose([_left_bytes(e, sizes) for e in files])]
    yield from runs
    merged = {entry.file_id for run in runs for entry in run}
    yield from ((entry,) for entry in files if entry.file_id not in merged and _is_thin(entry))


def _left_bytes(entry: ListedFile, sizes: dict[int, int]) -> int:
    """Return how much of a file's stored bytes are those of rows it still has."""
    size, left = sizes[entry.file_id], entry.file.record_count
    return size if entry.file.deletes is None else size * left // (left + entry.file.deletes.count)


def _is_thin(entry: ListedFile) -> bool:
    left, gone = entry.file.record_count, entry.file.deletes.count if entry.file.deletes else 0
    return gone > 0 and left <= THIN * (left + gone)


def _mergeable(connection: Connection, table: Table) -> dict[int, int]:
    """Return the stored bytes of the living files that one of ours can stand for.

    Left out are files from which other programs deleted rows, those with rows of several versions, and what
    other programs added by names or encrypted.
    """
    file, removed = ducklake.data_file, ducklake.delete_file
    deleted = exists().where(
        removed.c.data_file_id == file.c.data_file_id,
        removed.c.end_snapshot.is_(None),
        removed.c.delete_file_id.not_in(select(delete_detail.c.delete_file_id)),
    )
    rows = connection.execute(
        select(file.c.data_file_id, file.c.file_size_bytes).where(
            file.c.table_id == table.table_id,
            file.c.end_snapshot.is_(None),
            file.c.path_is_relative == True,  # noqa: E712 - SQL
            file.c.row_id_start.is_not(None),
            file.c.mapping_id.is_(None),
            file.c.encryption_key.is_(None),
            file.c.partial_max.is_(None),
            ~deleted,
        )
    )
    return dict(rows.all())


def choose(sizes: Sequence[int]) -> Iterator[range]:
    """Yield the runs of neighbours that are worth merging, by their sizes."""
    waiting = [range(len(sizes))]
    while waiting:
        run = waiting.pop()
        if len(run) < MIN_FILES:
            continue
        total = sum(sizes[index] for index in run)
        if total > TARGET_BYTES or len(run) > MAX_FILES:
            waiting.extend(_cut(sizes, run))
            continue
        largest = max(run, key=sizes.__getitem__)
        if total >= GROWTH * sizes[largest]:
            yield run
        else:  # the largest waits until there is more beside it
            waiting += [range(run.start, largest), range(largest + 1, run.stop)]


def _cut(sizes: Sequence[int], run: range) -> Iterator[range]:
    """Cut a run into pieces of one merge each."""
    start, held = run.start, 0
    for index in run:
        if held + sizes[index] > TARGET_BYTES or index - start == MAX_FILES:
            yield range(start, index)
            start, held = index, 0
        held += sizes[index]
    yield range(start, run.stop)


def perform(lake: Lake, merge: Merge, stopped: Callable[[], bool]) -> Merged | None:
    """Write the merged file, and put it in the place of its sources in one transaction.

    None, and nothing changed, when ``stopped`` says so meanwhile, or when another change of the table came
    first. Raises DamageError for sources that cannot be read.
    """
    if merge.table.options.primary_key:
        with lake.upserting(merge.table):
            return _perform(lake, merge, stopped)
    return _perform(lake, merge, stopped)


def _perform(lake: Lake, merge: Merge, stopped: Callable[[], bool]) -> Merged | None:
    try:
        written = _written(lake.data, merge, stopped)
    except (OSError, pa.ArrowException, DamageError):
        if _are_living(lake, merge):
            raise
        return None  # others have merged or replaced the sources, and removed them already
    if written is None:
        return None
    writer, part = written
    with lake.database.write() as connection:
        reach(MaintenancePoint.BEFORE_MERGE_TRANSACTION)
        done = commits.replace_files(connection, merge.table, merge.sources, part)
    if not done:  # only this refusal proves that no row names the file
        writer.discard()
        return None
    reach(MaintenancePoint.AFTER_MERGE_TRANSACTION)
    return Merged(None, 0) if part is None else Merged(part.path, part.file_size)


def _written(data: Path, merge: Merge, stopped: Callable[[], bool]) -> tuple[PartWriter, Part | None] | None:
    """Write the merged file, durably; None if stopped. What fails leaves nothing behind.

    There is no part where no row is left.
    """
    path, schema, columns = _shape(data, merge)
    blobs = BlobUses(merge.table)
    writer = PartWriter(data / merge.table.path / path, schema, bounded_leaves(schema), blobs)
    try:
        for batch in _rows(data, merge.sources, columns, schema):
            if stopped():
                writer.discard()
                return None
            writer.append(batch)
        if not any(entry.file.record_count for entry in merge.sources):
            return writer, None
        writer.end()
        durable.publish([writer.path], within=data)
        return writer, _part(writer, path, merge)
    except BaseException:
        writer.discard()
        raise


def _shape(data: Path, merge: Merge) -> tuple[str, pa.Schema, list[StoredColumn]]:
    """Return the merged file's path below the table's, its schema, and the columns to read for it."""
    table, first = merge.table, merge.sources[0].file
    directory = PurePosixPath(first.path).parent.relative_to(table.path)
    suffix = "" if first.bucket is None else f"-b{first.bucket:05}"
    path = directory / f"{PREFIX}{uuid.uuid4().hex}{suffix}.parquet"
    columns, schema = list(table.stored.values()), storage_schema(table)
    if not _have_one_range(data, merge.sources):
        columns.append(ROW_ID)
        schema = with_row_ids(schema)
    return str(path), schema, columns


def _are_living(lake: Lake, merge: Merge) -> bool:
    file = ducklake.data_file
    living = select(file.c.data_file_id).where(
        file.c.table_id == merge.table.table_id, file.c.end_snapshot.is_(None)
    )
    with lake.database.read() as connection:
        return {entry.file_id for entry in merge.sources} <= set(connection.execute(living).scalars())


def _have_one_range(data: Path, sources: Sequence[ListedFile]) -> bool:
    """Tell whether the ids of all rows follow one another, so that the first is all one needs to know."""
    if any(entry.file.deletes for entry in sources):
        return False
    if any(a.row_id_start + a.file.record_count != b.row_id_start for a, b in pairwise(sources)):
        return False
    schemas = (pq.read_schema(data / entry.file.path) for entry in sources)
    return not any(field_id(field) == ROW_ID.field_id for schema in schemas for field in schema)


def _rows(
    data: Path, sources: Sequence[ListedFile], columns: Sequence[StoredColumn], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of files as a table's columns are now, with their ids if ``columns`` ask for them."""
    for entry in sources:
        whole = Slice(entry.file, 0, entry.file.record_count, entry.row_id_start)
        for batch in decode(data, [whole], columns):
            arrays = {column.name: batch.column(index) for index, column in enumerate(columns)}
            yield pa.RecordBatch.from_arrays(
                [_as(arrays[field.name], field.type) for field in schema], schema=schema
            )


def _as(array: pa.Array, kind: pa.DataType) -> pa.Array:
    return array if array.type == kind else array.cast(kind)


def _part(writer: PartWriter, path: str, merge: Merge) -> Part:
    """Return the merged file. Raises DamageError if it lacks rows."""
    first = merge.sources[0].file
    part = writer.part(path, Target(first.key, first.bucket))
    expected = sum(entry.file.record_count for entry in merge.sources)
    if part.record_count != expected:
        raise DamageError(
            ErrorCode.INTERNAL_SERVER_ERROR,
            f"the files of a merge should have {expected} rows and have {part.record_count}",
            where=merge.table.full_name,
        )
    return part
