"""What other programs did to a table of ours: noticed, and refused where it could be shown wrong.

DuckDB's ``ducklake`` extension may write into the same catalog (design.md §3). Its appends and its deletions
of whole files read right; what would not is a :class:`ConflictError` ``ChangedElsewhere``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    MetaData,
    and_,
    exists,
    func,
    inspect,
    literal,
    or_,
    select,
)
from sqlalchemy import Column as SqlColumn
from sqlalchemy import Table as SqlTable

from maxlake.lake import ducklake
from maxlake.lake.file_details import delete_detail
from maxlake.lake.snapshots import LAST_FOREIGN
from maxlake.protocol.errors import ConflictError, ErrorCode
from maxlake.protocol.types.storage import ducklake_columns
from maxlake.protocol.types.text import parse_type

if TYPE_CHECKING:
    from maxlake.lake.tables import Table


def refused(where: str, done: str, remedy: str) -> ConflictError:
    """Return the error for what another program has done, and what to do about it."""
    return ConflictError(
        ErrorCode.CHANGED_ELSEWHERE,
        f"another program {done}, which cannot be read here; {remedy}",
        where=where,
    )


def still_lives(connection: Connection, table: Table) -> bool:
    """Tell whether a table is what we made it, False when it was dropped.

    Raises ``ChangedElsewhere`` when it has another name, other columns or another partitioning.
    """
    named, schema = ducklake.table, ducklake.schema
    name = connection.execute(
        select(schema.c.schema_name, named.c.table_name)
        .join_from(named, schema, schema.c.schema_id == named.c.schema_id)
        .where(named.c.table_id == table.table_id, named.c.end_snapshot.is_(None))
    ).first()
    if name is None:
        return False
    change = None
    if (name.schema_name, name.table_name) != (table.schema, table.name):
        change = f"renamed the table to {name.schema_name}.{name.table_name}"
    change = change or _changed_columns(connection, table) or _changed_partitioning(connection, table)
    if change is not None:
        raise refused(table.full_name, change, "undo that, or drop the table, with that program")
    return True


def _changed_columns(connection: Connection, table: Table) -> str | None:
    column = ducklake.column
    living = {
        row.column_id: row
        for row in connection.execute(
            select(
                column.c.column_id,
                column.c.parent_column,
                column.c.column_name,
                column.c.column_type,
                column.c.nulls_allowed,
            ).where(column.c.table_id == table.table_id, column.c.end_snapshot.is_(None))
        )
    }
    for stored in table.stored.values():
        for part in ducklake_columns(stored.name, parse_type(stored.type), stored.nullable, stored.field_id):
            found = living.pop(part.column_id, None)
            if found is None:
                return f"dropped the column {stored.name!r}, or a part of it"
            if tuple(found) != (
                part.column_id,
                part.parent_column,
                part.name,
                part.column_type,
                part.nulls_allowed,
            ):
                return f"changed the column {stored.name!r}"
    return next((f"added the column {row.column_name!r}" for row in living.values()), None)


def _changed_partitioning(connection: Connection, table: Table) -> str | None:
    info, column = ducklake.partition_info, ducklake.partition_column
    rows = connection.execute(
        select(column.c.partition_key_index, column.c.column_id, column.c.transform)
        .join_from(info, column, column.c.partition_id == info.c.partition_id)
        .where(info.c.table_id == table.table_id, info.c.end_snapshot.is_(None))
        .order_by(column.c.partition_key_index)
    )
    keys = [(index, table.stored[key].field_id, "identity") for index, key in enumerate(table.partition_keys)]
    return None if [tuple(row) for row in rows] == keys else "changed the partitioning"


def check_name(connection: Connection, schema: str, name: str) -> None:
    """Refuse the name of a living table that another program made. Raises ``ObjectAlreadyExists``."""
    named, above = ducklake.table, ducklake.schema
    taken = connection.execute(
        select(named.c.table_id)
        .join_from(named, above, above.c.schema_id == named.c.schema_id)
        .where(
            above.c.schema_name == schema,
            func.lower(named.c.table_name) == name,
            named.c.end_snapshot.is_(None),
        )
    ).first()
    if taken:
        raise ConflictError(
            ErrorCode.ALREADY_EXISTS, f"another program made a table {schema}.{name}; drop it there first"
        )


def check_rows(connection: Connection, table: Table, first: int, last: int) -> None:
    """Refuse versions with rows we would not find, or show though they are deleted.

    The range is (``first``, ``last``], or one version if both are the same. Raises ``ChangedElsewhere``.
    """
    removed = ducklake.delete_file
    deleted, last_foreign = connection.execute(
        select(
            exists().where(
                removed.c.table_id == table.table_id,
                _overlaps(removed, first, last),
                removed.c.delete_file_id.not_in(select(delete_detail.c.delete_file_id)),
            ),
            LAST_FOREIGN,
        )
    ).one()
    if deleted or (last_foreign >= 0 and _has_inlined_deletes(connection, table, last)):
        raise refused(
            table.full_name,
            "deleted or updated single rows",
            "rewrite the files with it (CALL ducklake_flush_inlined_data, then CALL "
            "ducklake_rewrite_data_files, delete_threshold => 0), and read the versions after that",
        )
    if last_foreign >= 0 and _has_inlined_rows(connection, table, first, last):
        raise refused(
            table.full_name,
            "keeps rows in the catalog",
            "have it write them to files (CALL ducklake_flush_inlined_data), and read later versions",
        )


def _overlaps(kind: SqlTable, first: int, last: int) -> ColumnElement[bool]:
    begin, end = kind.c.begin_snapshot, kind.c.end_snapshot
    return and_(begin <= last, or_(end.is_(None), end > first))


def _has_inlined_rows(connection: Connection, table: Table, first: int, last: int) -> bool:
    known = ducklake.inlined_data_tables
    names = connection.execute(select(known.c.table_name).where(known.c.table_id == table.table_id)).scalars()
    return any(
        connection.execute(
            select(literal(1)).select_from(rows).where(_overlaps(rows, first, last)).limit(1)
        ).first()
        for rows in (_inlined(name, "begin_snapshot", "end_snapshot") for name in names.all())
    )


def _has_inlined_deletes(connection: Connection, table: Table, last: int) -> bool:
    name = f"ducklake_inlined_delete_{table.table_id}"
    if not inspect(connection).has_table(name):
        return False
    rows = _inlined(name, "begin_snapshot")
    found = select(literal(1)).select_from(rows).where(rows.c.begin_snapshot <= last).limit(1)
    return connection.execute(found).first() is not None


def _inlined(name: str, *columns: str) -> SqlTable:
    """Return a table that another program made in the catalog, as far as we know it."""
    return SqlTable(name, MetaData(), *(SqlColumn(column, BigInteger) for column in columns))
