"""Changes: the rows that came and went between two snapshots of a table (design.md §6).

Rewrites by compaction are no change: the rows of a rewritten file are told of where they were inserted.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec
import pyarrow as pa
from sqlalchemy import ColumnElement, Connection, and_, or_, select

from maxlake.lake import ducklake, file_lists
from maxlake.lake.commits import file_detail
from maxlake.lake.files import Change, ChangeKind, ListedFile
from maxlake.lake.tables import StoredColumn, Table
from maxlake.protocol.errors import ConflictError, ErrorCode
from maxlake.protocol.types.model import Kind


def _column(name: str, kind: Kind, number: int) -> StoredColumn:
    return StoredColumn(
        name=name,
        type=kind.value,
        nullable=False,
        comment="",
        column_id=0,
        default=None,
        field_id=number,
        partition=False,
    )


#: What a ``cdc`` session says of every row beside the table's columns. Their field ids are in no file.
CHANGE_COLUMNS = (
    _column("__meta_timestamp", Kind.TIMESTAMP, -1),
    _column("__meta_op_type", Kind.TINYINT, -2),
    _column("__meta_is_update", Kind.TINYINT, -3),
)
_TIME, _KIND, _IS_UPDATE = (column.field_id for column in CHANGE_COLUMNS)


def change_value(column: StoredColumn, change: Change) -> pa.Scalar | None:
    """Return what a change column says of the rows of a change, None for other columns."""
    if column.field_id == _TIME:
        return pa.scalar(change.time.replace(tzinfo=None), pa.timestamp("ns"))
    if column.field_id == _KIND:
        return pa.scalar(int(change.kind), pa.int8())
    if column.field_id == _IS_UPDATE:
        return pa.scalar(0, pa.int8())
    return None


def inserted(connection: Connection, table: Table, first: int, last: int) -> list[ListedFile]:
    """Return the files whose rows were inserted after snapshot ``first`` and up to ``last``.

    In canonical order. Rows that are gone by now were inserted all the same.
    """
    file = ducklake.data_file
    begun = and_(file.c.begin_snapshot > first, file.c.begin_snapshot <= last)
    rewritten = or_(file_detail.c.rewrite.is_(None), file_detail.c.rewrite.is_(False))
    _refuse_partial(connection, table, file.c.begin_snapshot <= first, file.c.partial_max > first)
    _refuse_partial(connection, table, file.c.begin_snapshot <= last, file.c.partial_max > last)
    return sorted(file_lists.load(connection, table, and_(begun, rewritten)))


def _refuse_partial(connection: Connection, table: Table, *conditions: ColumnElement[bool]) -> None:
    """Raise ``ChangedElsewhere`` for a file with rows of several versions that fulfils the conditions."""
    file = ducklake.data_file
    partial = select(file.c.data_file_id).where(file.c.table_id == table.table_id, *conditions).limit(1)
    if connection.execute(partial).first():
        raise file_lists.later_rows(table)


def deleted(connection: Connection, table: Table, first: int, last: int) -> list[tuple[int, ListedFile]]:
    """Return the files that lost all their rows after ``first`` and up to ``last``, and when they did."""
    file = ducklake.data_file
    gone = and_(file.c.end_snapshot > first, file.c.end_snapshot <= last)
    ends = dict(
        connection.execute(
            select(file.c.data_file_id, file.c.end_snapshot).where(file.c.table_id == table.table_id, gone)
        ).all()
    )
    rewrites = set(
        connection.execute(
            select(file.c.begin_snapshot)
            .distinct()
            .join_from(file, file_detail, file_detail.c.data_file_id == file.c.data_file_id)
            .where(file.c.table_id == table.table_id, file_detail.c.rewrite)
        ).scalars()
    )
    return sorted(
        (ends[listed.file_id], listed)
        for listed in file_lists.load(connection, table, gone)
        if ends[listed.file_id] not in rewrites
    )


def between(connection: Connection, table: Table, first: int, last: int) -> list[ListedFile]:
    """Return every insertion and deletion after snapshot ``first`` and up to ``last``, oldest first.

    Within a snapshot what went comes before what came.
    """
    file = ducklake.data_file
    _refuse_partial(connection, table, file.c.begin_snapshot <= last, file.c.partial_max > first)
    events: list[tuple[int, ChangeKind, ListedFile]] = [
        (snapshot_id, ChangeKind.DELETE, listed)
        for snapshot_id, listed in deleted(connection, table, first, last)
    ]
    events += [
        (listed.begin_snapshot, ChangeKind.INSERT, listed)
        for listed in inserted(connection, table, first, last)
    ]
    events.sort()
    times = _times(connection, {snapshot_id for snapshot_id, _, _ in events})
    return [
        msgspec.structs.replace(
            listed,
            file=msgspec.structs.replace(listed.file, change=Change(kind, snapshot_id, times[snapshot_id])),
        )
        for snapshot_id, kind, listed in events
    ]


def _times(connection: Connection, snapshot_ids: Iterable[int]) -> dict[int, datetime]:
    wanted = sorted(snapshot_ids)
    if not wanted:
        return {}
    snapshot = ducklake.snapshot
    rows = connection.execute(
        select(snapshot.c.snapshot_id, snapshot.c.snapshot_time).where(
            snapshot.c.snapshot_id >= wanted[0], snapshot.c.snapshot_id <= wanted[-1]
        )
    )
    times = {row.snapshot_id: row.snapshot_time for row in rows}
    for expired in set(wanted) - times.keys():
        raise ConflictError(ErrorCode.VERSION_EXPIRED, f"version {expired} has expired")
    return times
