"""Which column a blob is uploaded for (drift.md A.11)."""

from __future__ import annotations

from enum import Enum, auto

from maxlake.lake.blob_cells import holds_blobs
from maxlake.lake.tables import Table
from maxlake.protocol.columns import blob_column_ids
from maxlake.protocol.errors import invalid_argument
from maxlake.service.write_streams import schema_of


class Addressing(Enum):
    """What a client's ``ColumnIndex`` counts: data columns from 0, or the ids that the schema names."""

    POSITION = auto()
    COLUMN_ID = auto()


def check(table: Table, index: int, addressing: Addressing) -> str:
    """Return a warning for an index that names no BLOB column of a table with just one, "" if all is well.

    The one is meant then: by default clients send an index they never thought of. Raises
    ``InvalidArgument`` where the table has none, or several.
    """
    ids = blob_column_ids(schema_of(table))
    columns = table.columns.columns
    if addressing is Addressing.COLUMN_ID:
        found = index in ids
    else:
        found = 0 <= index < len(columns) and holds_blobs(columns[index].type)
    if found:
        return ""
    names = [column.name for column in columns if holds_blobs(column.type)]
    if len(ids) == 1:
        return f"ColumnIndex {index} is not of a BLOB column; the blob was taken for {names[0]}"
    problem = f"name one of {', '.join(names)}" if ids else "the table has none"
    raise invalid_argument(f"ColumnIndex {index} is not of a BLOB column: {problem}", where=table.full_name)
