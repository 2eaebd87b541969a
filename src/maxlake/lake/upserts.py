"""Upserts: uploads to tables with a primary key, collapsed by key, take the place of the rows there are.

Of the rows of one key in one upload the last counts, in the order of its parts (drift.md B.26). What it
replaces is looked up, and everything written, before the transaction that makes it visible; that one checks
that nobody changed the same partitions meanwhile (design.md §4). A row keeps its id when it is updated.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import pyarrow as pa
from sqlalchemy import Connection

from maxlake.lake import commits, foreign, snapshots, tables
from maxlake.lake.commits import NewDeleteFile
from maxlake.lake.files import ListedFile, PlannedFile
from maxlake.lake.filters import Filter
from maxlake.lake.key_lookup import KeyLookup
from maxlake.lake.lake import Lake
from maxlake.lake.partitions import PartitionKey
from maxlake.lake.parts import Part, storage_schema
from maxlake.lake.plans import Slice
from maxlake.lake.pruning import pruned
from maxlake.lake.row_numbers import OPERATION, POSITION, ROW_ID
from maxlake.lake.scans import Selection, decode
from maxlake.lake.tables import StoredColumn, Table
from maxlake.lake.upsert_files import write_deletes, write_rows
from maxlake.protocol.errors import ConflictError, DamageError, ErrorCode
from maxlake.protocol.limits import MAX_UPSERT_ATTEMPTS
from maxlake.protocol.predicates.tree import And, ColumnValue, Comparator, Comparison, Expression, Literal
from maxlake.protocol.types.storage import storage_type
from maxlake.protocol.types.text import parse_type


def staged_schema(table: Table) -> pa.Schema:
    """Return the schema of uploaded rows of a keyed table: what is to be deleted may lack all but its key."""
    operation = pa.field(OPERATION.name, pa.int8(), True, {"PARQUET:field_id": str(OPERATION.field_id)})
    return pa.schema([*(field.with_nullable(True) for field in storage_schema(table)), operation])


def key_columns(table: Table) -> list[StoredColumn]:
    """Return what tells rows apart: a primary key occurs once in a partition."""
    names = (*table.options.primary_key, *table.partition_keys)
    return [table.stored[table.columns.column(name).name] for name in names]


@dataclass(frozen=True)
class Upsert:
    """What an upload changes: durable, and named by no row yet. ``base`` is what it was computed from."""

    lake: Lake
    table: Table
    staged: list[Part]
    base: tuple[ListedFile, ...]
    partitions: Collection[PartitionKey]
    replaced: Collection[PartitionKey]
    inserts: Sequence[Part] = ()
    updates: Sequence[Part] = ()
    deletes: Sequence[NewDeleteFile] = ()
    undo: ExitStack = field(default_factory=ExitStack)

    def apply(self, connection: Connection) -> bool:
        """Make it visible, as one snapshot; False, and nothing done, if the table has changed meanwhile."""
        now = tables.get_by_id(connection, self.table.table_id)
        if now is None or now.schema_version != self.table.schema_version:
            return False
        if _identity(_living(self.lake, connection, now, self.partitions)) != _identity(self.base):
            return False
        commits.commit(
            connection,
            now,
            self.inserts,
            replaced=self.replaced,
            updates=self.updates,
            deletes=self.deletes,
        )
        return True

    def discard(self) -> None:
        """Remove every file; for callers who know that no transaction named them."""
        self.undo.close()


def _living(
    lake: Lake, connection: Connection, table: Table, partitions: Collection[PartitionKey]
) -> tuple[ListedFile, ...]:
    """Return the living files of some partitions."""
    if not partitions:
        return ()
    newest = snapshots.latest(connection)
    foreign.check_rows(connection, table, newest, newest)
    return tuple(entry for entry in lake.file_lists.at(connection, table, newest) if entry.key in partitions)


def _identity(listed: Sequence[ListedFile]) -> list[tuple[int, int | None]]:
    return [(entry.file_id, entry.delete_file_id) for entry in listed]


def outrun(where: str) -> ConflictError:
    """Return the error of an upsert that others came before, as often as it was tried."""
    return ConflictError(
        ErrorCode.COMMIT_CONFLICT,
        f"others changed the same partitions during each of {MAX_UPSERT_ATTEMPTS} attempts; nothing was "
        "changed, repeat the request",
        where=where,
    )


def prepare(
    lake: Lake, table: Table, staged: list[Part], name: str, replaced: Collection[PartitionKey] = ()
) -> Upsert | None:
    """Compute what uploaded parts change and write it; their rows are of :func:`staged_schema`.

    All older rows of the ``replaced`` partitions go. File names begin with ``name``, which must be unique.
    None if others changed the table while its files were read, so that some of them are gone. Raises
    DamageError for files that are gone all the same, the uploaded ones too. What fails leaves nothing behind.
    """
    partitions = {part.key for part in staged} - set(replaced)
    with lake.database.read() as connection:
        base = _living(lake, connection, table, partitions)
    try:
        return _computed(Upsert(lake, table, staged, base, partitions, replaced), name)
    except (OSError, pa.ArrowException, DamageError):
        with lake.database.read() as connection:
            if _identity(_living(lake, connection, table, partitions)) == _identity(base):
                raise
        return None


def _computed(empty: Upsert, name: str) -> Upsert:
    """Return an upsert with its files."""
    # Loading DuckDB costs a server its quick start.
    from maxlake.lake.key_index import KeyIndex  # noqa: PLC0415

    lake, table, staged, base = empty.lake, empty.table, empty.staged, empty.base
    columns = key_columns(table)
    with ExitStack() as undo, KeyIndex([storage_type(parse_type(each.type)) for each in columns]) as index:
        index.add(uploaded_rows(lake, table, staged, [*columns, POSITION, OPERATION]))
        within = _between(columns, index.bounds())
        if base and within is not None:
            with lake.database.read() as connection:
                candidates = pruned(connection, table, base, within.filter, lake.file_bounds)
            lookup = KeyLookup(lake.data, [*columns, POSITION, ROW_ID], within, index.few_values())
            index.find(lookup.rows(candidates))
        deletes = write_deletes(lake.data, table, base, index, name, undo)
        rows = uploaded_rows(lake, table, staged, list(table.stored.values()))
        inserts, updates = write_rows(lake.data, table, rows, index, name, undo)
        return replace(empty, inserts=inserts, updates=updates, deletes=deletes, undo=undo.pop_all())


def uploaded_rows(
    lake: Lake, table: Table, staged: Sequence[Part], columns: Sequence[StoredColumn]
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the rows of uploaded parts, with the place of their part."""
    for place, part in enumerate(staged):
        path = f"{table.path}/{part.path}"
        file = PlannedFile(path, part.record_count, part.raw_size, part.key, part.groups)
        for batch in decode(lake.data, [Slice(file, 0, file.record_count)], columns):
            yield place, batch


def _between(
    columns: Sequence[StoredColumn], bounds: Sequence[tuple[pa.Scalar, pa.Scalar]]
) -> Selection | None:
    """Return what selects rows whose keys lie between the bounds; None where there are no bounds."""
    conditions: list[Expression] = []
    for column, (smallest, largest) in zip(columns, bounds, strict=True):
        if not smallest.is_valid:
            return None
        kind = parse_type(column.type)
        value = ColumnValue(column.name, kind, column.partition)
        for operator, bound in ((Comparator.GREATER_EQUAL, smallest), (Comparator.LESS_EQUAL, largest)):
            conditions.append(Comparison(operator, value, Literal(bound.as_py(), kind)))
    return Selection(Filter(And(tuple(conditions))), columns)
