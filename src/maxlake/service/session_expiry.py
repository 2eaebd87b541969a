"""The end of what nobody comes back for: sessions past their time, and the memory of finished ones.

The files that are removed here, and by abort, are those of uploads that were never committed; all others
go by :mod:`.maintenance`.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

from sqlalchemy import Connection, delete, select

from maxlake.lake.parts import Part
from maxlake.protocol.enums import WriteSessionState
from maxlake.protocol.limits import (
    FINISHED_SESSION_MEMORY,
    FLUSH_MEMORY,
    MAX_REMEMBERED_FLUSHES,
    QUERY_TIME,
    RESULT_LIFETIME,
)
from maxlake.service import pins, session_parts, store
from maxlake.service.project import Project


def sweep(project: Project) -> None:
    """Forget what is past its time, unless that was done a moment ago (drift.md B.7)."""
    if project.sweeping.due():
        forget(project, datetime.now(UTC))


def forget(project: Project, now: datetime) -> None:
    """Forget read sessions past their grace, abandoned write sessions, and finished ones after 30 days."""
    gone = now - timedelta(seconds=project.settings.refresh_grace)
    finished = now - timedelta(seconds=FINISHED_SESSION_MEMORY)
    removed: list[tuple[PurePosixPath, list[Part]]] = []
    session = store.write_session
    pins.forget(project.lake.database, gone)
    with project.lake.database.write() as connection:
        instance = store.instance.c
        # Those whose server is gone have no end.
        over = (instance.ended_at < finished) | (
            instance.ended_at.is_(None) & (instance.lease_until < finished)
        )
        connection.execute(delete(store.instance).where(over))
        _forget_flushes(connection, now)
        ended = connection.execute(
            select(session.c.session_id, session.c.table_path).where(
                ((session.c.state == WriteSessionState.NORMAL) & (session.c.expires_at < gone))
                | (session.c.finished_at < finished)
            )
        ).all()
        for row in ended:
            parts = session_parts.of_session(connection, row.session_id)
            removed.append((PurePosixPath(row.table_path), parts))
            session_parts.drop_session(connection, row.session_id)
            for kind in (store.stream, session):
                connection.execute(delete(kind).where(kind.c.session_id == row.session_id))
    _forget_results(project, now)
    for table_path, parts in removed:
        session_parts.remove_files(project.lake.data, table_path, parts)


def _forget_results(project: Project, now: datetime) -> None:
    """Remove the rows of queries that nobody may read any more, and what killed ones left on the disk.

    A directory changes last when its query ends, or while it runs.
    """
    before = (now - timedelta(seconds=RESULT_LIFETIME + QUERY_TIME)).timestamp()
    for place in (project.results, project.spill):
        for directory in place.iterdir() if place.is_dir() else ():
            with suppress(FileNotFoundError):  # another process does the same
                if directory.stat().st_mtime < before:
                    shutil.rmtree(directory)


def _forget_flushes(connection: Connection, now: datetime) -> None:
    """Forget streamed uploads nobody will repeat: those of yesterday, and all but the latest."""
    time = store.flush.c.committed_at
    newest_surplus = connection.execute(
        select(time).order_by(time.desc()).offset(MAX_REMEMBERED_FLUSHES).limit(1)
    ).scalar_one_or_none()
    last = now - timedelta(seconds=FLUSH_MEMORY)
    if newest_surplus is not None:
        last = max(last, newest_surplus)
    connection.execute(delete(store.flush).where(time <= last))
