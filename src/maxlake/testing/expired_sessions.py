"""Sessions whose time is over before their time."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import update

from maxlake.service import store
from maxlake.service.service import Service


def expire(root: Path, project: str, database_url: str | None, session_id: str) -> None:
    """Let a session have expired a moment ago, beside the server of ``root``. Raises KeyError for none."""
    over = datetime.now(UTC) - timedelta(seconds=1)
    with (
        closing(Service.open(root, project=project, database_url=database_url)) as service,
        service.project(project).lake.database.write() as connection,
    ):
        ended = [
            connection.execute(update(kept).where(kept.c.session_id == session_id).values(expires_at=over))
            for kept in (store.read_session, store.write_session)
        ]
        if not any(each.rowcount for each in ended):
            raise KeyError(f"project {project} has no session {session_id!r}")
