"""Changes: the rows that came and went between two snapshots of a table (design.md §6).

Rewrites by compaction are no change: the rows of a rewritten file are told of where they were inserted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from operator import attrgetter
from typing import NamedTuple

import msgspec
import pyarrow as pa
from sqlalchemy import ColumnElement, Connection, and_, false, or_, select

from maxlake.lake import ducklake, file_lists
from maxlake.lake.file_details import delete_detail, file_detail
from maxlake.lake.files import Change, ChangeKind, DeleteFile, ListedFile
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
        return pa.scalar(int(change.is_update), pa.int8())
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
    return sorted(file_lists.load(connection, table, and_(begun, rewritten), false()))


def _refuse_partial(connection: Connection, table: Table, *conditions: ColumnElement[bool]) -> None:
    """Raise ``ChangedElsewhere`` for a file with rows of several versions that fulfils the conditions."""
    file = ducklake.data_file
    partial = select(file.c.data_file_id).where(file.c.table_id == table.table_id, *conditions).limit(1)
    if connection.execute(partial).first():
        raise file_lists.later_rows(table)


class _Event(NamedTuple):
    """What happened to rows of ``listed`` in a snapshot, all but when that was."""

    snapshot_id: int
    kind: ChangeKind
    listed: ListedFile
    is_update: bool = False
    rows: DeleteFile | None = None

    @property
    def place(self) -> tuple[object, ...]:
        """Where it comes among the others: within a snapshot what went comes before what came."""
        listed = self.listed
        return (
            self.snapshot_id,
            self.kind,
            listed.key,
            listed.row_id_start,
            listed.file_id,
            self.is_update,
        )


def _ended(connection: Connection, table: Table, first: int, last: int) -> Iterator[_Event]:
    """Yield the files that lost all the rows they still had after ``first`` and up to ``last``."""
    file, removed = ducklake.data_file, ducklake.delete_file
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
    for listed in file_lists.load(connection, table, gone, removed.c.end_snapshot == file.c.end_snapshot):
        if ends[listed.file_id] not in rewrites:
            yield _Event(ends[listed.file_id], ChangeKind.DELETE, listed)


def _thinned(connection: Connection, table: Table, first: int, last: int) -> Iterator[_Event]:
    """Yield the files that lost some of their rows after ``first`` and up to ``last``, once for each time."""
    file, removed = ducklake.data_file, ducklake.delete_file
    during = and_(
        removed.c.table_id == table.table_id,
        removed.c.begin_snapshot <= last,
        or_(removed.c.end_snapshot.is_(None), removed.c.end_snapshot > first),
    )
    rows = connection.execute(
        select(
            removed.c.data_file_id,
            removed.c.begin_snapshot,
            removed.c.path,
            removed.c.delete_count,
            delete_detail.c.added,
            delete_detail.c.updated,
        )
        .join_from(removed, delete_detail, delete_detail.c.delete_file_id == removed.c.delete_file_id)
        .where(during)
        .order_by(removed.c.data_file_id, removed.c.begin_snapshot)
    ).all()
    if not rows:
        return
    thinned = file.c.data_file_id.in_(select(removed.c.data_file_id).where(during))
    listed = {entry.file_id: entry for entry in file_lists.load(connection, table, thinned, false())}
    before: dict[int, DeleteFile] = {}
    for file_id, snapshot_id, path, count, added, updated in rows:
        now = DeleteFile(f"{table.path}/{path}", count)
        if snapshot_id > first:
            for number, is_update in ((updated, True), (added - updated, False)):
                if number:
                    entry = _thinner(listed[file_id], before.get(file_id), number)
                    yield _Event(snapshot_id, ChangeKind.DELETE, entry, is_update, now)
        before[file_id] = now


def _thinner(listed: ListedFile, before: DeleteFile | None, count: int) -> ListedFile:
    """Return a file as the ``count`` of its rows that went next, after those in ``before``."""
    whole = listed.file
    size = whole.raw_size * count // max(whole.record_count, 1)
    file = msgspec.structs.replace(whole, record_count=count, raw_size=size, groups=(), deletes=before)
    return msgspec.structs.replace(listed, file=file)


def between(connection: Connection, table: Table, first: int, last: int) -> list[ListedFile]:
    """Return every insertion and deletion after snapshot ``first`` and up to ``last``, oldest first.

    An update is both, a deletion first: within a snapshot what went comes before what came.
    """
    file = ducklake.data_file
    _refuse_partial(connection, table, file.c.begin_snapshot <= last, file.c.partial_max > first)
    events = [
        *_ended(connection, table, first, last),
        *_thinned(connection, table, first, last),
        *(
            _Event(listed.begin_snapshot, ChangeKind.INSERT, listed, listed.updates)
            for listed in inserted(connection, table, first, last)
        ),
    ]
    events.sort(key=attrgetter("place"))
    times = _times(connection, {event.snapshot_id for event in events})
    return [
        msgspec.structs.replace(
            event.listed,
            file=msgspec.structs.replace(
                event.listed.file,
                change=Change(
                    event.kind, event.snapshot_id, times[event.snapshot_id], event.is_update, event.rows
                ),
            ),
        )
        for event in events
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
