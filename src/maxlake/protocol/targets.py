"""What a Storage API request addresses: the ``Target`` parameter (wire.md §1)."""

from __future__ import annotations

from dataclasses import dataclass

from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.limits import MAX_NAME_LENGTH
from maxlake.protocol.names import check_name

#: The schema of a table that names none.
DEFAULT_SCHEMA = "default"
# Six names and their keywords; longer texts are not worth splitting.
_MAX_TARGET_LENGTH = 4 * MAX_NAME_LENGTH


@dataclass(frozen=True, slots=True, order=True)
class TableTarget:
    """A table. ``schema`` is ``default`` where the request named none."""

    project: str
    schema: str
    table: str

    def __post_init__(self) -> None:
        check_name(self.project, "project")
        check_name(self.schema, "schema")
        check_name(self.table, "table")

    def __str__(self) -> str:
        return f"projects.{self.project}.schemas.{self.schema}.tables.{self.table}"

    @property
    def full_name(self) -> str:
        """What sessions on the table are known by, within the project."""
        return f"{self.schema}.{self.table}".lower()


@dataclass(frozen=True, slots=True, order=True)
class InstanceTarget:
    """The result of a SQL instance."""

    project: str
    instance: str

    def __post_init__(self) -> None:
        check_name(self.project, "project")
        check_name(self.instance, "instance")

    def __str__(self) -> str:
        return f"projects.{self.project}.instances.{self.instance}"

    @property
    def full_name(self) -> str:
        """What sessions on the result are known by, within the project: no table is called so."""
        return f".{self.instance}"


@dataclass(frozen=True, slots=True)
class BlobTarget:
    """Any blob: the references in the request's body say which."""

    def __str__(self) -> str:
        return "generic.blob"


#: What has rows to read.
RowTarget = TableTarget | InstanceTarget
Target = TableTarget | InstanceTarget | BlobTarget


def parse_target(text: str) -> Target:
    """Read a target by the position of its keywords (wire.md §1).

    An absent or empty schema segment means ``default``. Raises InvalidArgument for any other form,
    volumes among them, and for segments that are not names.
    """
    if len(text) > _MAX_TARGET_LENGTH:
        raise invalid_argument(f"Target is longer than {_MAX_TARGET_LENGTH} characters: {text[:64]!r}...")
    match text.split("."):
        case ["generic", "blob"]:
            return BlobTarget()
        case ["projects", project, "schemas", schema, "tables", table]:
            return TableTarget(project, schema or DEFAULT_SCHEMA, table)
        case ["projects", project, "tables", table]:
            return TableTarget(project, DEFAULT_SCHEMA, table)
        case ["projects", project, "instances", instance]:
            return InstanceTarget(project, instance)
        case ["projects", _, "volumes", *_]:
            raise invalid_argument("Volumes are not served: address a table or an instance", where=text)
        case _:
            raise invalid_argument(
                f"Not a Target: {text!r}. Expected projects.P.schemas.S.tables.T, projects.P.tables.T, "
                "projects.P.instances.I or generic.blob"
            )
