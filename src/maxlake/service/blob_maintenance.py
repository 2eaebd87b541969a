"""What maintenance does about blobs: those that no row refers to go after a grace (drift.md B.17)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select

from maxlake.lake import blob_collection
from maxlake.lake.blob_collection import SeenFile
from maxlake.lake.orphans import StrayFile
from maxlake.protocol.enums import WriteSessionState
from maxlake.service import session_parts, store
from maxlake.service.project import Project


def survey(project: Project, now: datetime) -> list[StrayFile]:
    """Return what :func:`collect` would remove now. Raises DamageError for rows that cannot be read."""
    return _unreferenced(project, _before(project, now), blob_collection.look(project.lake))


def collect(project: Project, now: datetime) -> list[StrayFile]:
    """Remove files of blobs that nothing refers to, unless that was done a while ago; return them.

    Raises DamageError for rows that cannot be read: then nothing is removed.
    """
    if not project.collecting.due():
        return []
    blob_collection.restore(project.lake)
    seen = blob_collection.look(project.lake)
    blob_collection.remember(project.lake.database, seen)
    before = _before(project, now)
    return blob_collection.remove(project.lake, _unreferenced(project, before, seen), before)


def _before(project: Project, now: datetime) -> datetime:
    return now - timedelta(seconds=project.settings.blob_grace)


def _unreferenced(project: Project, before: datetime, seen: Sequence[SeenFile]) -> list[StrayFile]:
    session = store.write_session
    with project.lake.database.read() as connection:
        open_sessions = select(session.c.session_id).where(session.c.state == WriteSessionState.NORMAL)
        writing = set(connection.execute(open_sessions).scalars())
        staged = session_parts.blob_objects(connection)
    return list(blob_collection.unreferenced(project.lake, before, writing=writing, staged=staged, seen=seen))
