"""References in uploaded rows: verified, and their blobs kept, before any row is stored (drift.md B.18)."""

from __future__ import annotations

import pyarrow as pa

from maxlake.lake.blob_cells import holds_blobs, leaves
from maxlake.lake.tables import Table
from maxlake.protocol import blob_references
from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.service.blob_reading import aborted
from maxlake.service.project import Project

_LONGEST_QUOTE = 100


class UploadedReferences:
    """The references of one upload to a table."""

    def __init__(self, project: Project, table: Table) -> None:
        self._project = project
        self._table = table
        #: The columns that hold some.
        self.columns = [each for each in table.stored.values() if holds_blobs(each.column.type)]
        self._kept: set[str] = set()

    def check(self, batch: pa.RecordBatch) -> None:
        """Verify the references in rows of the table's storage schema, and keep their blobs.

        Raises ``DATA_ERROR`` for one that does not lead to a blob of this table, or no longer.
        """
        for column in self.columns:
            where = f"{self._table.full_name}, column {column.name}"
            found = {
                _object(self._project, self._table, value, where)
                for leaf in leaves(batch.column(column.name), column.column.type)
                for value in leaf.drop_null().to_pylist()
            }
            _keep(self._project, found - self._kept, where)
            self._kept |= found


def _object(project: Project, table: Table, value: bytes, where: str) -> str:
    reference = blob_references.unseal(value.decode(errors="replace"), project.lake.blob_key)
    if reference is None or reference.project != project.name:
        shown = value[:_LONGEST_QUOTE].decode(errors="replace")
        raise _refused(f"{shown!r} is no reference to a blob of this project", where)
    if reference.table_id != table.table_id:
        raise _refused("a reference leads to a blob of another table; upload the blob for this one", where)
    return reference.location.object_name


def _keep(project: Project, objects: set[str], where: str) -> None:
    """See to it that blobs about to be referred to are not collected meanwhile."""
    if not objects:
        return
    with project.lake.database.read() as connection:
        gone = aborted(connection, objects)
    gone |= {name for name in objects - gone if not project.lake.blobs.touch(name)}
    if gone:
        raise _refused("a reference leads to a blob of an aborted session, or one collected since", where)


def _refused(problem: str, where: str) -> BadRequestError:
    return BadRequestError(ErrorCode.DATA_ERROR, problem, where=where)
