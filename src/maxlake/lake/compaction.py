"""Compaction: small files of one partition and bucket become one, and no row changes (design.md §4).

Rows keep their order and their ids. Older snapshots go on listing the small files.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path, PurePosixPath

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import Connection, and_, exists, func, select

from maxlake.failpoints import MaintenancePoint, reach
from maxlake.lake import commits, ducklake, durable, file_lists, tables
from maxlake.lake.files import ListedFile
from maxlake.lake.lake import Lake
from maxlake.lake.parts import Part, PartWriter, storage_schema
from maxlake.lake.plans import Slice
from maxlake.lake.routing import Target
from maxlake.lake.scans import decode
from maxlake.lake.statistics import bounded_leaves
from maxlake.lake.tables import StoredColumn, Table
from maxlake.protocol.errors import DamageError, ErrorCode
from maxlake.protocol.types.model import Kind
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
#: Files of one merge: what one short transaction can end.
MAX_FILES = 1000
#: Begins the name of every merged file; no session's id looks like it.
PREFIX = "merged-"

#: Where files say the ids of their rows themselves, as DuckLake's own compaction does: those of merged rows
#: have gaps.
ROW_ID = StoredColumn(
    name="_ducklake_internal_row_id",
    type=Kind.BIGINT.value,
    nullable=True,
    comment="",
    column_id=0,
    default=None,
    field_id=2_147_483_540,
    partition=False,
)
#: Bytes of one such id in memory.
ROW_ID_BYTES = 8


@dataclass(frozen=True)
class Merge:
    """Files that can become one: neighbours in the canonical order. ``stored_bytes`` on disk."""

    table: Table
    sources: tuple[ListedFile, ...]
    stored_bytes: int


@dataclass(frozen=True)
class Merged:
    """What a merge made; ``stored_bytes`` on disk."""

    path: str
    stored_bytes: int


def fragmented_tables(connection: Connection) -> list[Table]:
    """Return the tables that have enough small files for a merge."""
    file = ducklake.data_file
    ids = connection.execute(
        select(file.c.table_id)
        .where(file.c.end_snapshot.is_(None), file.c.file_size_bytes < SMALL_BYTES)
        .group_by(file.c.table_id)
        .having(func.count() >= MIN_FILES)
        .order_by(file.c.table_id)
    ).scalars()
    found = [tables.get_by_id(connection, table_id) for table_id in ids.all()]
    return [table for table in found if table is not None]


def find_merges(connection: Connection, table: Table) -> list[Merge]:
    """Return the merges worth doing in a table now."""
    living = ducklake.data_file.c.end_snapshot.is_(None)
    listed = sorted(file_lists.load(connection, table, living))
    listed.sort(key=lambda entry: (entry.key, -1 if entry.file.bucket is None else entry.file.bucket))
    sizes = _mergeable(connection, table)
    merges: list[Merge] = []
    for (_, _, small), group in groupby(
        listed, key=lambda entry: (entry.key, entry.file.bucket, _is_small(table, entry, sizes))
    ):
        if not small:
            continue
        files = tuple(group)
        for chosen in choose([sizes[entry.file_id] for entry in files]):
            sources = files[chosen.start : chosen.stop]
            merges.append(Merge(table, sources, sum(sizes[entry.file_id] for entry in sources)))
    return merges


def _is_small(table: Table, entry: ListedFile, sizes: dict[int, int]) -> bool:
    if table.options.clustered_by and entry.file.bucket is None:  # another program's
        return False
    return sizes.get(entry.file_id, SMALL_BYTES) < SMALL_BYTES


def _mergeable(connection: Connection, table: Table) -> dict[int, int]:
    """Return the stored bytes of the living files that one of ours can stand for.

    Left out are files with deleted rows, those with rows of several versions, and what other programs
    added by names or encrypted.
    """
    file, removed = ducklake.data_file, ducklake.delete_file
    deleted = exists().where(
        and_(removed.c.data_file_id == file.c.data_file_id, removed.c.end_snapshot.is_(None))
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
    try:
        written = _written(lake.data, merge, stopped)
    except (OSError, pa.ArrowException, DamageError):
        if _are_living(lake, merge):
            raise
        return None  # others have merged or replaced the sources, and removed them already
    if written is None:
        return None
    writer, part = written
    file_ids = [entry.file_id for entry in merge.sources]
    with lake.database.write() as connection:
        reach(MaintenancePoint.BEFORE_MERGE_TRANSACTION)
        done = commits.replace_files(connection, merge.table, file_ids, part, merge.sources[0].row_id_start)
    if not done:  # only this refusal proves that no row names the file
        writer.discard()
        return None
    reach(MaintenancePoint.AFTER_MERGE_TRANSACTION)
    return Merged(part.path, part.file_size)


def _written(data: Path, merge: Merge, stopped: Callable[[], bool]) -> tuple[PartWriter, Part] | None:
    """Write the merged file, durably; None if stopped. What fails leaves nothing behind."""
    path, schema, columns = _shape(data, merge)
    writer = PartWriter(data / merge.table.path / path, schema, bounded_leaves(schema))
    try:
        for batch in _rows(data, merge.sources, columns, schema):
            if stopped():
                writer.discard()
                return None
            writer.append(batch)
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
        numbered = {"PARQUET:field_id": str(ROW_ID.field_id)}
        schema = schema.append(pa.field(ROW_ID.name, pa.int64(), metadata=numbered))
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
    if any(a.row_id_start + a.file.record_count != b.row_id_start for a, b in pairwise(sources)):
        return False
    schemas = (pq.read_schema(data / entry.file.path) for entry in sources)
    return not any(field_id(field) == ROW_ID.field_id for schema in schemas for field in schema)


def _rows(
    data: Path, sources: Sequence[ListedFile], columns: Sequence[StoredColumn], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of files as a table's columns are now, with their ids if ``columns`` ask for them."""
    for entry in sources:
        row_id = entry.row_id_start
        for batch in decode(data, [Slice(entry.file, 0, entry.file.record_count)], columns):
            arrays = {column.name: batch.column(index) for index, column in enumerate(columns)}
            if ROW_ID.name in arrays:
                counted = pa.arange(row_id, row_id + batch.num_rows)
                arrays[ROW_ID.name] = pc.coalesce(arrays[ROW_ID.name], counted)
            row_id += batch.num_rows
            yield pa.RecordBatch.from_arrays(
                [_as(arrays[field.name], field.type) for field in schema], schema=schema
            )


def _as(array: pa.Array, kind: pa.DataType) -> pa.Array:
    return array if array.type == kind else array.cast(kind)


def _part(writer: PartWriter, path: str, merge: Merge) -> Part:
    """Return the merged file, the ids of its rows not counted. Raises DamageError if it lacks rows."""
    first = merge.sources[0].file
    part = writer.part(path, Target(first.key, first.bucket))
    expected = sum(entry.file.record_count for entry in merge.sources)
    if part.record_count != expected:
        raise DamageError(
            ErrorCode.INTERNAL_SERVER_ERROR,
            f"the files of a merge should have {expected} rows and have {part.record_count}",
            where=merge.table.full_name,
        )
    statistics = tuple(column for column in part.statistics if column.column_id != ROW_ID.field_id)
    if len(statistics) == len(part.statistics):
        return part
    return msgspec.structs.replace(
        part,
        raw_size=part.raw_size - ROW_ID_BYTES * part.record_count,
        groups=tuple((rows, size - ROW_ID_BYTES * rows) for rows, size in part.groups),
        statistics=statistics,
    )
