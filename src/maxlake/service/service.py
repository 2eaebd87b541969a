"""The service: a root directory (or a PostgreSQL database) full of projects."""

from __future__ import annotations

import hashlib
import threading
from datetime import UTC, datetime
from pathlib import Path

from maxlake.lake import durable
from maxlake.lake.database import MAX_IDENTIFIER, Database
from maxlake.lake.lake import Lake
from maxlake.lake.upload_memory import UploadMemory
from maxlake.protocol.errors import ErrorCode, NotFoundError
from maxlake.protocol.names import check_name
from maxlake.service import store
from maxlake.service.project import Project, ServiceSettings

#: Who owns what the service creates by itself.
OWNER = "maxlake"
#: The catalog of a project, where there is no other database.
CATALOG_FILE = "lake.sqlite"
#: The files of a project's tables.
DATA_DIRECTORY = "data"

__all__ = ["OWNER", "Service", "ServiceSettings", "store"]


def namespace(project: str) -> str:
    """Return the PostgreSQL schema of a project; ``~`` is in no name, so that a hash is nobody's name."""
    whole = f"maxlake_{project}"
    if len(whole.encode()) <= MAX_IDENTIFIER:
        return whole
    tail = f"~{hashlib.sha256(whole.encode()).hexdigest()[:16]}"
    return whole.encode()[: MAX_IDENTIFIER - len(tail)].decode(errors="ignore") + tail


class Service:
    """All projects of one server process."""

    def __init__(self, root: Path, database_url: str | None, settings: ServiceSettings) -> None:
        self._root = root
        self._database_url = database_url
        self.settings = settings
        self._upload_memory = UploadMemory(settings.upload_memory)
        self._projects: dict[str, Project] = {}
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        project: str,
        database_url: str | None = None,
        settings: ServiceSettings | None = None,
    ) -> Service:
        """Open ``root`` and create the project ``project`` unless it exists.

        ``database_url`` is a ``postgresql://`` URL; without one every project keeps a SQLite file.
        """
        service = cls(root.resolve(), database_url, settings or ServiceSettings())
        durable.make_directory(service._directory(check_name(project, "project")), within=service._root)
        service.project(project)
        return service

    def _directory(self, name: str) -> Path:
        return self._root / "projects" / name.lower()

    def project(self, name: str) -> Project:
        """Return an existing project (names are case-insensitive); raises ``NoSuchProject``."""
        key = check_name(name, "project").lower()
        with self._lock:
            if key not in self._projects:
                directory = self._directory(key)
                if not directory.is_dir():
                    raise NotFoundError(ErrorCode.NO_SUCH_PROJECT, f"project {name!r} does not exist")
                self._projects[key] = self._open(key, directory)
            return self._projects[key]

    def open_projects(self) -> list[Project]:
        """Return the projects somebody has asked for."""
        with self._lock:
            return list(self._projects.values())

    def project_names(self) -> list[str]:
        """Return the names of all projects, sorted."""
        return sorted(data.parent.name for data in (self._root / "projects").glob(f"*/{DATA_DIRECTORY}/"))

    def existing_project(self, name: str) -> Project:
        """Return a project that has a catalog in the database this service uses; makes none.

        Raises ``NoSuchProject``.
        """
        key = check_name(name, "project").lower()
        file = self._directory(key) / CATALOG_FILE
        if not file.parent.is_dir():
            raise NotFoundError(ErrorCode.NO_SUCH_PROJECT, f"project {name!r} does not exist")
        if self._database_url is None:
            problem = None if file.is_file() else f"is not in {file}; name the database it is in"
        elif file.exists():
            problem = f"is in {file}, not in a database of another name"
        else:
            there = Database.has_namespace(self._database_url, namespace(key))
            problem = None if there else "is not in this database"
        if problem:
            raise NotFoundError(ErrorCode.NO_SUCH_PROJECT, f"the catalog of project {name!r} {problem}")
        return self.project(key)

    def _open(self, name: str, directory: Path) -> Project:
        if self._database_url:
            database = Database.postgresql(self._database_url, namespace(name))
        else:
            database = Database.sqlite(directory / CATALOG_FILE)
        return Project(
            name=name,
            owner=OWNER,
            created_at=datetime.fromtimestamp(directory.stat().st_ctime, UTC),
            lake=Lake.open(database, directory / DATA_DIRECTORY),
            settings=self.settings,
            upload_memory=self._upload_memory,
        )

    def close(self) -> None:
        """Release every database."""
        with self._lock:
            for project in self._projects.values():
                project.queries.close()
                project.lake.close()
            self._projects.clear()
