"""Which schema version rows may be of: the table's, or with ``enable_schema_evolution`` an earlier one.

A stream's rows are of the version the table had when the stream was created, unless the upload says
otherwise. Without the flag neither TableWrite nor the commit takes them once the table was altered; with it
they count as rows of the table before the change: columns added since have their defaults (wire.md §8.1).
"""

from __future__ import annotations

from collections.abc import Sequence

from maxlake.lake.parts import Part
from maxlake.lake.tables import Table
from maxlake.protocol.errors import BadRequestError, ErrorCode


def check(table: Table, version: int, *, evolution: bool, where: str) -> None:
    """Raise ``SCHEMA_MISMATCH`` naming both versions unless rows of ``version`` may go into the table."""
    latest = table.schema_version
    if version == latest or (evolution and version < latest):
        return
    raise BadRequestError(
        ErrorCode.SCHEMA_MISMATCH,
        f"the rows are of schema version {version}, the table has {latest} now; write them to a higher "
        "version of the stream, or in a session with the flag enable_schema_evolution",
        where=where,
    )


def check_values(table: Table, parts: Sequence[Part], where: str) -> None:
    """Raise ``SCHEMA_MISMATCH`` if parts are older than a column that would be NULL in them and cannot be."""
    strict = [
        column for column in table.stored.values() if not column.nullable and column.initial_default is None
    ]
    newest = max(strict, key=lambda column: column.field_id, default=None)
    if newest and any(part.last_field_id < newest.field_id for part in parts):
        raise BadRequestError(
            ErrorCode.SCHEMA_MISMATCH,
            f"column {newest.name!r} is NOT NULL and younger than some of the rows, which have no value for "
            "it; write them to higher versions of their streams",
            where=where,
        )
