"""What the commands that work on a served directory share: its projects, and how they fail."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy.exc import ArgumentError

from maxlake.protocol.errors import MaxlakeError
from maxlake.service.project import Project
from maxlake.service.service import Service, ServiceSettings


@contextmanager
def served_projects(
    command: str, root: Path, project: str | None, database: str | None, settings: ServiceSettings
) -> Generator[Iterator[Project]]:
    """Open what is served at ``root``, one project or all; what goes wrong ends the program by a message."""
    if not (root / "projects").is_dir():
        sys.exit(f"maxlake {command}: {root} is no directory that maxlake serves")
    try:
        with closing(Service(root.resolve(), database, settings)) as service:
            names = [project] if project else service.project_names()
            yield (service.existing_project(name) for name in names)
    except (OSError, ValueError, MaxlakeError, ArgumentError) as error:
        sys.exit(f"maxlake {command}: {error}")
