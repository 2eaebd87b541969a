"""References in what a statement writes: each leads to a blob of the very table, as uploaded ones do.

What the types of a query's columns tell is refused before the statement runs; the references themselves are
looked at when its rows are there, before they are anybody's.
"""

from __future__ import annotations

from collections.abc import Sequence

from maxlake.lake.blob_cells import holds_blobs
from maxlake.lake.parts import Part
from maxlake.lake.tables import Table
from maxlake.lake.upserts import uploaded_rows
from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.types.model import OdpsType
from maxlake.service.project import Project
from maxlake.service.uploaded_references import UploadedReferences

_WHY = "a reference is valid only in the table its blob was uploaded to"


def check_created(declared: Sequence[OdpsType | None]) -> None:
    """Raise unless a table may be made of these columns: it has no blobs that references could lead to."""
    for place, kind in enumerate(declared, 1):
        if kind is not None and holds_blobs(kind):
            raise _refused(
                f"column {place} of the query holds BLOBs, and {_WHY}: leave it out, or create the table and "
                "upload them to it"
            )


def check_inserted(
    target: Table, read: Sequence[Table], given: Sequence[str], declared: Sequence[OdpsType | None]
) -> None:
    """Raise if a column for BLOBs is one of another table as it is; what is computed is looked at later."""
    if any(table.table_id == target.table_id for table in read):
        return
    for name, kind in zip(given, declared, strict=False):
        if kind is not None and holds_blobs(kind):
            raise _refused(
                f"column {name} would get BLOBs of another table, and {_WHY}: leave it out, or upload them",
                where=target.full_name,
            )


def check_written(project: Project, target: Table, parts: Sequence[Part]) -> None:
    """Verify the references in parts that no row names yet, and keep their blobs (see UploadedReferences)."""
    references = UploadedReferences(project, target)
    if references.columns:
        for _, batch in uploaded_rows(project.lake, target, parts, references.columns):
            references.check(batch)


def _refused(problem: str, where: str = "") -> BadRequestError:
    return BadRequestError(ErrorCode.SEMANTIC_ERROR, problem, where=where)
