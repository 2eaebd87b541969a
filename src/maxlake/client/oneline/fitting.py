"""Batches fitted to a table before they are sent: what would be lost is an error that names its row."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from maxlake.client.oneline.table_schema import TableSchema
from maxlake.protocol.columns import OPERATION_COLUMN
from maxlake.protocol.errors import MaxlakeError
from maxlake.protocol.types.arrow import arrow_type
from maxlake.protocol.types.ingest import months_as_int32, to_storage
from maxlake.protocol.types.model import Kind, OdpsType, Simple
from maxlake.protocol.types.storage import to_read

_OPERATION = Simple(Kind.TINYINT)


class Fitting:
    """Casts batches of ``schema`` to the columns of ``table`` of the same names, in any case and order.

    ``fixed`` are the values of partition columns that the session names. Columns that the rows lack are left
    to the service. Raises ``ValueError`` for unknown or repeated columns, and for missing partition columns.
    """

    def __init__(self, table: TableSchema, schema: pa.Schema, fixed: Mapping[str, str]) -> None:
        known = dict(table.columns)
        if table.primary_key:
            known[OPERATION_COLUMN] = _OPERATION
        names = [name.lower() for name in schema.names]
        unknown = [name for name in schema.names if name.lower() not in known]
        if unknown:
            raise ValueError(f"{table.table} has no column {', '.join(unknown)}; it has: {', '.join(known)}")
        if len(set(names)) < len(names):
            raise ValueError(f"column names that occur twice: {', '.join(schema.names)}")
        missing = [name for name in table.partition_columns if name not in names and name not in fixed]
        if missing and names:
            raise ValueError(
                f"no value for the partition column {', '.join(missing)} of {table.table}: name a partition, "
                "or add the column to the rows"
            )
        self._table = table.table
        self._types: list[tuple[str, OdpsType]] = [(name, known[name]) for name in names]
        self.schema = pa.schema([pa.field(name, arrow_type(t)) for name, t in self._types])

    def fit(self, batch: pa.RecordBatch, first_row: int) -> pa.RecordBatch:
        """Return ``batch``, whose rows begin at ``first_row`` of the whole, in the table's types.

        Raises ``BadRequestError`` for what does not fit without loss.
        """
        batch = months_as_int32(batch)
        try:
            arrays = [
                to_read(to_storage(column, t, where=f"{self._table}, column {name}"), t)
                for column, (name, t) in zip(batch.columns, self._types, strict=True)
            ]
        except MaxlakeError as error:
            error.add_note(f"Rows are counted from row {first_row} of what is written.")
            raise
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)
