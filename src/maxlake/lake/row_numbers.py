"""Numbers of rows that every file has beside its columns: their ids, and their positions in the file."""

from __future__ import annotations

import pyarrow as pa

from maxlake.lake.tables import StoredColumn
from maxlake.protocol.types.model import Kind
from maxlake.protocol.types.storage import field_id


def _column(name: str, kind: Kind, number: int) -> StoredColumn:
    return StoredColumn(
        name=name,
        type=kind.value,
        nullable=True,
        comment="",
        column_id=0,
        default=None,
        field_id=number,
        partition=False,
    )


#: A row's id, which it keeps when it is updated or moved to another file. Files say the ids of their rows
#: themselves, as DuckLake's do, where these do not simply follow one another.
ROW_ID = _column("_ducklake_internal_row_id", Kind.BIGINT, 2_147_483_540)
#: A row's place in its file, from 0; in no file.
POSITION = _column("_maxlake_position", Kind.BIGINT, -4)
#: What an upload says of a row of a table with a primary key; only in files that no snapshot names.
OPERATION = _column("__operation", Kind.TINYINT, 2_147_483_000)
#: Field ids from here on are no columns of tables.
FIRST_INTERNAL_ID = OPERATION.field_id


def is_internal(field: pa.Field) -> bool:
    """Tell whether a field of a file is no column of its table."""
    number = field_id(field)
    return number is not None and number >= FIRST_INTERNAL_ID


def with_row_ids(schema: pa.Schema) -> pa.Schema:
    """Return the schema of a file that says the ids of its rows."""
    numbered = {"PARQUET:field_id": str(ROW_ID.field_id)}
    return schema.append(pa.field(ROW_ID.name, pa.int64(), metadata=numbered))
