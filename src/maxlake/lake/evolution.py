"""ALTER TABLE: columns come, go and change, and tables are renamed, while no file is touched.

A column keeps its field id through every change of its name and type, and ids are never given out twice, so
that files of any age say which of their fields are which columns (design.md §5). Catalog rows are written
as DuckDB's ``ducklake`` extension writes them: a change ends a row and begins another of the same id.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from maxlake.lake import ducklake, foreign, tables
from maxlake.lake.database import chunks
from maxlake.lake.definitions import catalog_columns, insert_columns, number_columns
from maxlake.lake.snapshots import Snapshot, next_snapshot, quoted
from maxlake.lake.tables import StoredColumn, Table, TableOptions, table_detail
from maxlake.protocol.columns import Column, TableSchema
from maxlake.protocol.errors import BadRequestError, ConflictError, ErrorCode, invalid_argument
from maxlake.protocol.types.model import Decimal, OdpsType
from maxlake.protocol.types.storage import check_storable
from maxlake.protocol.types.text import parse_type
from maxlake.protocol.types.widening import WIDENINGS, widens


def add_columns(connection: Connection, table: Table, columns: Sequence[Column]) -> None:
    """Add columns after the others (partition columns aside), as one snapshot.

    Rows written before have a column's default, or NULL. Raises ``ObjectAlreadyExists`` for a name that is
    taken, and ``InvalidArgument`` for types and defaults that cannot be, too many columns, and a column
    that would be NULL where it is declared not to be.
    """
    for column in columns:
        if _find(table, column.name):
            raise ConflictError(
                ErrorCode.ALREADY_EXISTS, f"column {column.name!r} already exists", where=table.full_name
            )
        if not column.nullable and column.default is None and _has_files(connection, table):
            raise _refused(
                table, column.name, "is NOT NULL, and older rows would have no value: give it a DEFAULT"
            )
    added = [
        # An id of both kinds, since neither may be one that was in use before.
        msgspec.structs.replace(column, column_id=column.field_id, initial_default=column.default)
        for column in number_columns(columns, _next_field_id(connection, table))
    ]
    data = [column for column in table.stored.values() if not column.partition]
    keys = [column for column in table.stored.values() if column.partition]
    columns_after = _checked([*data, *added, *keys])
    snapshot = next_snapshot(connection)
    insert_columns(connection, snapshot, table.table_id, added)
    _save(connection, snapshot, table, columns_after)


def drop_columns(connection: Connection, table: Table, names: Collection[str]) -> None:
    """Drop columns, as one snapshot; files keep their values, and older snapshots go on showing them.

    Raises ``InvalidArgument`` for unknown names, partition columns, columns the table is keyed, clustered
    or sorted by, and for the last data column.
    """
    dropped = [_data_column(table, name) for name in names]
    keys = {key.lower() for key in _keys(table.options)}
    for column in dropped:
        if column.name.lower() in keys:
            raise _refused(
                table, column.name, "cannot be dropped: the table is keyed, clustered or sorted by it"
            )
    columns_after = _checked([column for column in table.stored.values() if column not in dropped])
    snapshot = next_snapshot(connection)
    field_ids = [part.column_id for column in dropped for part in catalog_columns(column)]
    _end_columns(connection, snapshot, table, field_ids)
    connection.execute(
        insert(ducklake.table_column_stats),
        [{"table_id": table.table_id, "column_id": number} for number in field_ids],
    )
    _save(connection, snapshot, table, columns_after)


def change_column(
    connection: Connection,
    table: Table,
    name: str,
    *,
    new_name: str | None = None,
    new_type: OdpsType | None = None,
    nullable: bool | None = None,
    comment: str | None = None,
) -> None:
    """Change what is given of a column, as one snapshot; a comment alone needs none, only we know of it.

    Types only widen, and NOT NULL can be taken back, not be added. Raises ``ObjectAlreadyExists`` for a name
    that is taken, otherwise ``InvalidArgument``.
    """
    old = _data_column(table, name)
    new = msgspec.structs.replace(
        old,
        name=old.name if new_name is None else new_name,
        type=old.type if new_type is None else str(new_type),
        nullable=old.nullable if nullable is None else nullable,
        comment=old.comment if comment is None else comment,
    )
    _check_change(table, old, new)
    columns_after = _checked([new if column is old else column for column in table.stored.values()])
    if new == old:
        return
    if new == msgspec.structs.replace(old, comment=new.comment):
        connection.execute(
            update(table_detail)
            .where(table_detail.c.table_id == table.table_id)
            .values(columns=tables.encode_columns(columns_after), ddl_at=datetime.now(UTC))
        )
        return
    snapshot = next_snapshot(connection)
    _replace_column(connection, snapshot, table, new)
    _save(connection, snapshot, table, columns_after, options=_renamed(table.options, old.name, new.name))


def rename_table(connection: Connection, table: Table, name: str) -> None:
    """Give a table another name in its schema, as one snapshot; its files stay where they are.

    Raises ``ObjectAlreadyExists``.
    """
    name = name.lower()
    if tables.find(connection, table.schema, name):
        raise ConflictError(ErrorCode.ALREADY_EXISTS, f"table {table.schema}.{name} already exists")
    foreign.check_name(connection, table.schema, name)
    snapshot = next_snapshot(connection)
    named = ducklake.table
    living = (named.c.table_id == table.table_id) & named.c.end_snapshot.is_(None)
    row = connection.execute(select(named).where(living)).mappings().one()
    connection.execute(update(named).where(living).values(end_snapshot=snapshot.snapshot_id))
    connection.execute(
        insert(named).values({**row, "table_name": name, "begin_snapshot": snapshot.snapshot_id})
    )
    connection.execute(
        update(table_detail)
        .where(table_detail.c.table_id == table.table_id)
        .values(table_name=name, ddl_at=snapshot.time, latest_snapshot=snapshot.snapshot_id)
    )
    snapshot.changes.append(f"created_table:{quoted(table.schema)}.{quoted(name)}")
    snapshot.change_schema(connection, table.table_id)
    snapshot.save(connection)


def _refused(table: Table, name: str, problem: str) -> BadRequestError:
    return invalid_argument(f"column {name!r} {problem}", where=table.full_name)


def _find(table: Table, name: str) -> StoredColumn | None:
    return next((column for column in table.stored.values() if column.name.lower() == name.lower()), None)


def _data_column(table: Table, name: str) -> StoredColumn:
    column = table.stored[table.columns.column(name).name]
    if column.partition:
        raise _refused(table, column.name, "is a partition column, which cannot be changed")
    return column


def _checked(columns: Sequence[StoredColumn]) -> Sequence[StoredColumn]:
    """Return the columns if a table may have them; raise ``InvalidArgument`` otherwise."""
    TableSchema(
        tuple(column.column for column in columns if not column.partition),
        tuple(column.column for column in columns if column.partition),
    )
    return columns


def _has_files(connection: Connection, table: Table) -> bool:
    """Tell whether there are rows in any version of the table that can still be read."""
    file = ducklake.data_file
    found = select(file.c.data_file_id).where(file.c.table_id == table.table_id).limit(1)
    return connection.execute(found).first() is not None


def _next_field_id(connection: Connection, table: Table) -> int:
    """Return a field id that no column of the table ever had.

    The rows of dropped columns may go with the snapshots that show them; those of their bounds stay.
    """
    used = [
        connection.execute(
            select(func.max(kind.c.column_id)).where(kind.c.table_id == table.table_id)
        ).scalar_one()
        for kind in (ducklake.column, ducklake.table_column_stats)
    ]
    return max(number for number in used if number is not None) + 1


def _check_change(table: Table, old: StoredColumn, new: StoredColumn) -> None:
    taken = _find(table, new.name)
    if taken is not None and taken is not old:
        raise ConflictError(
            ErrorCode.ALREADY_EXISTS, f"column {taken.name!r} already exists", where=table.full_name
        )
    if old.nullable and not new.nullable:
        raise _refused(table, old.name, "may hold NULL already: NOT NULL cannot be added")
    was, becomes = parse_type(old.type), parse_type(new.type)
    check_storable(becomes)
    if not widens(was, becomes):
        raise _refused(table, old.name, f"is {was} and cannot become {becomes}; allowed are {WIDENINGS}")
    clustered = old.name.lower() in (name.lower() for name in table.options.clustered_by)
    if clustered and isinstance(becomes, Decimal) and not isinstance(was, Decimal):
        raise _refused(
            table, old.name, f"clusters the table and cannot become {becomes}: buckets would differ"
        )


def _end_columns(connection: Connection, snapshot: Snapshot, table: Table, column_ids: Sequence[int]) -> None:
    column = ducklake.column
    for some in chunks(column_ids):
        connection.execute(
            update(column)
            .where(
                column.c.table_id == table.table_id,
                column.c.column_id.in_(some),
                column.c.end_snapshot.is_(None),
            )
            .values(end_snapshot=snapshot.snapshot_id)
        )


def _replace_column(connection: Connection, snapshot: Snapshot, table: Table, new: StoredColumn) -> None:
    """Begin another row for a column, unless all that changes is what DuckLake does not know.

    What is nested in it keeps its rows: neither renaming nor widening reaches that far.
    """
    top = catalog_columns(new)[0]
    changed = {
        "column_name": top.name,
        "column_type": top.column_type,
        "nulls_allowed": top.nulls_allowed,
    }
    column = ducklake.column
    living = select(column).where(
        column.c.table_id == table.table_id,
        column.c.column_id == new.field_id,
        column.c.end_snapshot.is_(None),
    )
    before = dict(connection.execute(living).mappings().one())
    if changed.items() <= before.items():
        return
    _end_columns(connection, snapshot, table, [new.field_id])
    connection.execute(insert(column).values({**before, **changed, "begin_snapshot": snapshot.snapshot_id}))


def _keys(options: TableOptions) -> tuple[str, ...]:
    return (*options.primary_key, *options.clustered_by, *options.sorted_by)


def _renamed(options: TableOptions, old: str, new: str) -> TableOptions:
    def renamed(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(new if name.lower() == old.lower() else name for name in names)

    return msgspec.structs.replace(
        options,
        primary_key=renamed(options.primary_key),
        clustered_by=renamed(options.clustered_by),
        sorted_by=renamed(options.sorted_by),
    )


def _save(
    connection: Connection,
    snapshot: Snapshot,
    table: Table,
    columns: Sequence[StoredColumn],
    *,
    options: TableOptions | None = None,
) -> None:
    """Write the new definition and the snapshot, the last statements of every change of columns."""
    connection.execute(
        update(table_detail)
        .where(table_detail.c.table_id == table.table_id)
        .values(
            columns=tables.encode_columns(columns),
            options=msgspec.json.encode(table.options if options is None else options).decode(),
            ddl_at=snapshot.time,
            schema_version=table.schema_version + 1,
            latest_snapshot=snapshot.snapshot_id,
        )
    )
    snapshot.changes.append(f"altered_table:{table.table_id}")
    snapshot.change_schema(connection, table.table_id)
    snapshot.save(connection)
