"""For whom a statement runs, and which tables its names mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from maxlake.lake import tables
from maxlake.lake.tables import Table
from maxlake.protocol.errors import NotFoundError, invalid_argument
from maxlake.protocol.sql.model import TableName
from maxlake.protocol.targets import DEFAULT_SCHEMA
from maxlake.service.project import Project


@dataclass(frozen=True)
class Session:
    """For whom a statement runs, and with which settings."""

    project: Project
    settings: Mapping[str, str]
    principal: str

    @property
    def default_schema(self) -> str:
        """The schema of names that have none."""
        return self.settings.get("odps.default.schema") or DEFAULT_SCHEMA

    def schema_of(self, name: TableName) -> str:
        """Return the schema a name means. Raises ``InvalidArgument`` for another project's."""
        if name.project and name.project.lower() != self.project.name:
            raise invalid_argument(
                f"the statement names project {name.project!r}, but runs in {self.project.name!r}"
            )
        return name.schema or self.default_schema

    def find(self, connection: Connection, name: TableName) -> Table | None:
        """Return the table of a name, None if there is none."""
        return tables.find(connection, self.schema_of(name), name.name)

    def get(self, connection: Connection, name: TableName) -> Table:
        """Return the table of a name. Raises ``NoSuchTable`` or ``NoSuchSchema``."""
        try:
            return tables.get(connection, self.schema_of(name), name.name)
        except NotFoundError as error:
            raise NotFoundError(error.code, error.message, where=error.where, place=name.place) from error
