"""The columns of a table as PyODPS describes it, by our types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from maxlake.protocol.types.arrow import arrow_type
from maxlake.protocol.types.model import OdpsType
from maxlake.protocol.types.text import parse_type


@dataclass(frozen=True)
class TableSchema:
    """Names, in lower case, and types; ``primary_key`` is empty where there is none."""

    table: str
    data_columns: dict[str, OdpsType]
    partition_columns: dict[str, OdpsType]
    primary_key: tuple[str, ...] = ()

    @classmethod
    def of(cls, table: Any) -> TableSchema:
        """Return the schema of a PyODPS table, which is asked for if it is not known yet."""
        schema = table.table_schema
        return cls(
            table.full_table_name.replace("`", ""),
            {column.name.lower(): parse_type(str(column.type)) for column in schema.simple_columns},
            {column.name.lower(): parse_type(str(column.type)) for column in schema.partitions},
            tuple(table.primary_key or ()),
        )

    @property
    def columns(self) -> dict[str, OdpsType]:
        """All columns, those of the data first."""
        return self.data_columns | self.partition_columns

    @property
    def arrow(self) -> pa.Schema:
        """The columns as they are read, in Arrow's types."""
        return pa.schema([pa.field(name, arrow_type(t)) for name, t in self.columns.items()])
