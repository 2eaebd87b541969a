"""The sessions of a project, for whoever looks after it: the protocol has no call that lists them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache

import msgspec
from sqlalchemy import Connection, func, select

from maxlake.lake import tables
from maxlake.protocol.enums import WriteSessionState
from maxlake.service import store
from maxlake.service.project import Project


class SessionKind(StrEnum):
    """What a session is for; ``QUERY`` is a statement that runs, and keeps the files it reads."""

    READ = "read"
    WRITE = "write"
    QUERY = "query"


class SessionEntry(msgspec.Struct, frozen=True):
    """One session that has not ended: of a write, ``streams`` and the ``rows`` that they have stored."""

    session_id: str
    kind: SessionKind
    table: str
    principal: str
    expires_at: datetime
    expired: bool
    streams: int | None = None
    rows: int | None = None


def list_sessions(project: Project) -> list[SessionEntry]:
    """Return all sessions that are not committed or aborted, by the time at which they expire."""
    now = datetime.now(UTC)
    with project.lake.database.read() as connection:
        name = cache(lambda table_id: _name(connection, table_id))
        found = [*_reading(connection, now, name), *_writing(connection, now, name)]
    return sorted(found, key=lambda entry: entry.expires_at)


def _reading(connection: Connection, now: datetime, name: Callable[[int], str]) -> list[SessionEntry]:
    row = store.read_session.c
    columns = (row.session_id, row.table_id, row.principal, row.expires_at, func.length(row.content) > 0)
    return [
        SessionEntry(
            session_id=session_id,
            kind=SessionKind.READ if has_plan else SessionKind.QUERY,
            table=name(table_id),
            principal=principal,
            expires_at=expires_at,
            expired=expires_at < now,
        )
        for session_id, table_id, principal, expires_at, has_plan in connection.execute(select(*columns))
    ]


def _writing(connection: Connection, now: datetime, name: Callable[[int], str]) -> list[SessionEntry]:
    session, stream = store.write_session.c, store.stream.c
    counts = select(
        stream.session_id, func.count().label("streams"), func.sum(stream.record_count).label("rows")
    )
    counted = counts.group_by(stream.session_id).subquery()
    columns = (session.session_id, session.table_id, session.principal, session.expires_at)
    open_ones = (
        select(*columns, counted.c.streams, counted.c.rows)
        .join_from(store.write_session, counted, session.session_id == counted.c.session_id, isouter=True)
        .where(session.state == WriteSessionState.NORMAL)
    )
    return [
        SessionEntry(
            session_id=session_id,
            kind=SessionKind.WRITE,
            table=name(table_id),
            principal=principal,
            expires_at=expires_at,
            expired=expires_at < now,
            streams=streams or 0,
            rows=int(rows or 0),
        )
        for session_id, table_id, principal, expires_at, streams, rows in connection.execute(open_ones)
    ]


def _name(connection: Connection, table_id: int) -> str:
    table = tables.get_by_id(connection, table_id)
    return "(dropped)" if table is None else table.full_name
