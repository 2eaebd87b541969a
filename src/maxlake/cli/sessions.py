"""``maxlake sessions``: who reads and writes what is served here."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from maxlake.cli.connection import tell
from maxlake.cli.served import served_projects
from maxlake.service.service import ServiceSettings
from maxlake.service.session_list import SessionEntry, list_sessions


def sessions(
    *, root: Path, project: str | None = None, database: str | None = None, json: bool = False
) -> None:
    """List the sessions that are neither committed nor aborted, also beside a running server.

    Parameters
    ----------
    root
        Directory that is served.
    project
        Project to look at; all of them if not given.
    database
        URL of the catalog's database; SQLite under ROOT if not given.
    json
        Write a JSON object a line for each session.
    """
    with served_projects("sessions", root, project, database, ServiceSettings()) as projects:
        for each in projects:
            found = list_sessions(each)
            if json:
                for entry in found:
                    tell({"project": each.name, **msgspec.to_builtins(entry)})
            else:
                _show(each.name, found)


def _show(project: str, found: list[SessionEntry]) -> None:
    title = f"project {project}: {len(found)} sessions"
    shown = Table("session", "for", "table", "of", "expires", title=title, title_justify="left")
    for column in ("streams", "rows"):
        shown.add_column(column, justify="right")
    for entry in found:
        counts = ("" if count is None else str(count) for count in (entry.streams, entry.rows))
        left = "expired" if entry.expired else _in(entry.expires_at)
        shown.add_row(entry.session_id, entry.kind, entry.table, entry.principal, left, *counts)
    Console().print(shown)


def _in(moment: datetime) -> str:
    minutes = int((moment - datetime.now(UTC)).total_seconds() // 60)
    return f"in {minutes // 60} h {minutes % 60} min"
