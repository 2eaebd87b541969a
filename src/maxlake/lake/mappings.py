"""Column mappings: from the fields of one file to the columns of a session, by field id (design.md §5).

A file keeps the columns its table had when it was written. Later ones have their initial default, renamed
ones their field id, widened ones a cast; dropped ones are not asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from maxlake.lake.changes import change_value
from maxlake.lake.plans import Slice
from maxlake.lake.row_numbers import POSITION, ROW_ID
from maxlake.lake.tables import StoredColumn
from maxlake.protocol.errors import DamageError, ErrorCode
from maxlake.protocol.types.defaults import default_scalar
from maxlake.protocol.types.storage import field_id, storage_type
from maxlake.protocol.types.text import parse_type


@dataclass(frozen=True)
class _Source:
    """Where the values of one column come from: a field of the file, or one value for every row."""

    field: str | None
    type: pa.DataType
    value: pa.Scalar | None = None

    def values(self, batch: pa.RecordBatch, position: int) -> pa.Array:  # noqa: ARG002
        """Return those of rows read from the file, the first of which is at ``position``."""
        if self.field is None:
            return pa.repeat(self.value, batch.num_rows)
        found = batch.column(self.field)
        return found if pat.is_nested(self.type) or found.type == self.type else found.cast(self.type)


@dataclass(frozen=True)
class _Counted(_Source):
    """Numbers that go on by one from row to row, where the file does not say others."""

    start: int = 0

    def values(self, batch: pa.RecordBatch, position: int) -> pa.Array:
        first = self.start + position
        counted = pa.arange(first, first + batch.num_rows)
        return counted if self.field is None else pc.coalesce(batch.column(self.field), counted)


class Mapping:
    """The rows of the file of a slice as columns of a session, in storage types.

    Raises DamageError for a file without field ids.
    """

    def __init__(self, file: pa.Schema, columns: Sequence[StoredColumn], piece: Slice) -> None:
        fields = {field_id(field): field.name for field in file}
        if set(fields) == {None}:
            raise DamageError(
                ErrorCode.INTERNAL_SERVER_ERROR,
                "a data file says no field ids of its columns",
                where=piece.file.path,
            )
        self._columns = columns
        self._sources = [_source(column, fields, piece) for column in columns]

    @property
    def fields(self) -> list[str]:
        """The fields to read from the file."""
        return list(self.origins)

    @property
    def origins(self) -> dict[str, StoredColumn]:
        """The columns that the file has, by the name they have in it."""
        return {
            source.field: column
            for column, source in zip(self._columns, self._sources, strict=True)
            if source.field is not None
        }

    def apply(self, batch: pa.RecordBatch, position: int) -> pa.RecordBatch:
        """Return rows read from the file, the first at ``position``, as the columns wanted, by name."""
        arrays = [source.values(batch, position) for source in self._sources]
        if not arrays:  # nothing but the number of rows is wanted
            return batch
        return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in self._columns])


def _source(column: StoredColumn, fields: dict[int | None, str], piece: Slice) -> _Source:
    kind = parse_type(column.type)
    at_rest = storage_type(kind)
    change = piece.file.change
    if column is ROW_ID:
        return _Counted(fields.get(ROW_ID.field_id), at_rest, start=piece.row_id_start)
    if column is POSITION:
        return _Counted(None, at_rest)
    if column.field_id in fields:
        return _Source(fields[column.field_id], at_rest)
    if change is not None and (value := change_value(column, change)) is not None:
        return _Source(None, at_rest, value)
    if column.initial_default is not None:
        return _Source(None, at_rest, default_scalar(column.initial_default, kind))
    return _Source(None, at_rest, pa.scalar(None, at_rest))
