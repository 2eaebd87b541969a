"""Every type as other libraries hold it, found out by handing them a column of it."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from from_code.markdown import code, table
from from_code.types import all_types
from maxlake.client.oneline import targets
from maxlake.client.oneline.targets import PandasTypes
from maxlake.protocol.types.arrow import arrow_type
from maxlake.protocol.types.model import OdpsType


def libraries_table() -> str:
    """Return the table of all types in Arrow, pandas, polars and DuckDB."""
    header = ("ODPS type", "Arrow", "pandas", 'pandas, `types="numpy"`', "polars", "DuckDB")
    with duckdb.connect() as connection:
        return table(header, [_row(t, connection) for t in all_types()])


def _row(t: OdpsType, connection: duckdb.DuckDBPyConnection) -> list[str]:
    empty = pa.schema([("c", arrow_type(t))]).empty_table()
    types = (
        empty.schema.field("c").type,
        targets.to_pandas(empty, PandasTypes.ARROW)["c"].dtype,
        targets.to_pandas(empty, PandasTypes.NUMPY)["c"].dtype,
        targets.to_polars(empty)["c"].dtype,
        targets.to_duckdb(empty, connection).types[0],
    )
    return [code(str(t)), *(code(str(each)) for each in types)]
