"""Expiry: versions that nobody may ask for any more, and the definitions only they had.

The oldest snapshots go, never the newest; what is left is always a run of the newest ones.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Table, delete, exists, func, select

from maxlake.failpoints import MaintenancePoint, reach
from maxlake.lake import ducklake, snapshots
from maxlake.lake.database import Database, chunks
from maxlake.lake.tables import table_change

#: Snapshots one transaction forgets: milliseconds.
SNAPSHOTS_AT_ONCE = 1000

#: Rows of a table's definition beside those of ``ducklake_table`` itself, gone with the table.
_OF_TABLES = (
    ducklake.column,
    ducklake.column_tag,
    ducklake.column_mapping,
    ducklake.partition_column,
    ducklake.partition_info,
    ducklake.schema_versions,
    ducklake.sort_expression,
    ducklake.sort_info,
    ducklake.table_column_stats,
    ducklake.table_stats,
)
#: Definitions that end by themselves, other than tables and schemas.
_ENDING = (
    ducklake.column,
    ducklake.column_tag,
    ducklake.macro,
    ducklake.sort_info,
    ducklake.tag,
    ducklake.view,
)
#: What belongs to a definition and has its id.
_PARTS = (
    (ducklake.macro_impl.c.macro_id, ducklake.macro.c.macro_id),
    (ducklake.macro_parameters.c.macro_id, ducklake.macro.c.macro_id),
    (ducklake.sort_expression.c.sort_id, ducklake.sort_info.c.sort_id),
    (ducklake.name_mapping.c.mapping_id, ducklake.column_mapping.c.mapping_id),
)


def oldest_to_keep(connection: Connection, before: datetime) -> int:
    """Return the oldest snapshot that was still the newest at ``before`` or after."""
    current = snapshots.at_time(connection, before)
    return snapshots.oldest_kept(connection) if current is None else current


def count_before(connection: Connection, oldest: int) -> int:
    """Return how many kept snapshots are older than ``oldest``."""
    kept = ducklake.snapshot.c.snapshot_id
    return connection.execute(
        select(func.count()).select_from(ducklake.snapshot).where(kept < oldest)
    ).scalar_one()


def expire(database: Database, oldest: int) -> int:
    """Forget the snapshots before ``oldest``, a transaction for every few; return how many."""
    kept = ducklake.snapshot.c.snapshot_id
    forgotten = 0
    while True:
        with database.write() as connection:
            ids = connection.execute(
                select(kept).where(kept < oldest).order_by(kept).limit(SNAPSHOTS_AT_ONCE)
            ).scalars()
            some = ids.all()
            if some:
                for kind in (ducklake.snapshot, ducklake.snapshot_changes):
                    connection.execute(delete(kind).where(kind.c.snapshot_id <= some[-1]))
        if not some:
            return forgotten
        forgotten += len(some)
        reach(MaintenancePoint.AFTER_EXPIRY_TRANSACTION)


def forget_definitions(database: Database) -> None:
    """Forget definitions no kept snapshot has. Tables are known for as long as one of their files is."""
    with database.write() as connection:
        oldest = snapshots.oldest_kept(connection)
        gone = _gone_tables(connection, oldest)
        for some in chunks(gone):
            for kind in (*_OF_TABLES, ducklake.table):
                connection.execute(delete(kind).where(kind.c.table_id.in_(some)))
            connection.execute(delete(ducklake.tag).where(ducklake.tag.c.object_id.in_(some)))
        for kind in _ENDING:
            connection.execute(delete(kind).where(kind.c.end_snapshot <= oldest))
        _forget_names(connection, oldest)
        _forget_partitionings(connection, oldest)
        _forget_changes(connection, oldest)
        for part, whole in _PARTS:
            connection.execute(delete(part.table).where(part.not_in(select(whole))))


def _gone_tables(connection: Connection, oldest: int) -> list[int]:
    named = ducklake.table
    seen = select(named.c.table_id).where(_seen(named, oldest))
    held = [
        select(kind.c.table_id)
        for kind in (ducklake.data_file, ducklake.delete_file, ducklake.inlined_data_tables)
    ]
    conditions = [named.c.table_id.not_in(ids) for ids in (seen, *held)]
    return list(connection.execute(select(named.c.table_id).distinct().where(*conditions)).scalars())


def _seen(kind: Table, oldest: int) -> ColumnElement[bool]:
    return kind.c.end_snapshot.is_(None) | (kind.c.end_snapshot > oldest)


def _forget_names(connection: Connection, oldest: int) -> None:
    """Forget earlier names of tables that live on, and schemas without tables."""
    named, schema = ducklake.table, ducklake.schema
    connection.execute(
        delete(named).where(
            named.c.end_snapshot <= oldest,
            named.c.table_id.in_(select(named.c.table_id).where(_seen(named, oldest))),
        )
    )
    connection.execute(
        delete(schema).where(
            schema.c.end_snapshot <= oldest, schema.c.schema_id.not_in(select(named.c.schema_id))
        )
    )


def _forget_partitionings(connection: Connection, oldest: int) -> None:
    info, column = ducklake.partition_info, ducklake.partition_column
    used = select(ducklake.data_file.c.partition_id).where(ducklake.data_file.c.partition_id.is_not(None))
    connection.execute(delete(info).where(info.c.end_snapshot <= oldest, info.c.partition_id.not_in(used)))
    connection.execute(delete(column).where(column.c.partition_id.not_in(select(info.c.partition_id))))


def _forget_changes(connection: Connection, oldest: int) -> None:
    """Forget of each table when it changed before the oldest kept snapshot, but for the last time."""
    earlier, later = table_change, table_change.alias()
    superseded = exists().where(
        later.c.table_id == earlier.c.table_id,
        later.c.snapshot_id > earlier.c.snapshot_id,
        later.c.snapshot_id <= oldest,
    )
    connection.execute(delete(earlier).where(superseded))
