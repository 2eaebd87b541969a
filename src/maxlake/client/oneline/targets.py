"""Rows as other libraries hold them: what one of them cannot hold is an error, never another value."""

from __future__ import annotations

from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat
from odps.errors import DependencyNotInstalledError

if TYPE_CHECKING:
    from types import ModuleType

    import duckdb
    import pandas as pd
    import polars as pl


class PandasTypes(StrEnum):
    """Which types the columns of a pandas frame have."""

    ARROW = "arrow"
    NUMPY = "numpy"


def to_pandas(table: pa.Table, types: PandasTypes) -> pd.DataFrame:
    """Return ``table`` as a pandas frame. Raises ``ValueError`` for what NumPy's types cannot hold."""
    pandas = _imported("pandas")
    if types is PandasTypes.ARROW:
        return table.to_pandas(types_mapper=pandas.ArrowDtype)
    for name, column in zip(table.column_names, table.columns, strict=True):
        problem = _problem_in_numpy(column)
        if problem is not None:
            raise ValueError(f'column {name}: {problem}; use types="arrow", or leave such rows out by where=')
    # In lists there are no NULLs among NumPy's integers either: such lists are objects.
    return table.to_pandas(integer_object_nulls=True)


def _problem_in_numpy(column: pa.ChunkedArray) -> str | None:
    if not column.null_count:
        return None
    if pat.is_integer(column.type) or pat.is_boolean(column.type):
        return f"{column.null_count} values are NULL, which NumPy's {column.type} cannot be"
    if pat.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py():
        return "it has both NULL and NaN, which would both become NaN"
    return None


def to_polars(table: pa.Table) -> pl.DataFrame:
    """Return ``table`` as a polars frame."""
    return _imported("polars").from_arrow(table)


def to_duckdb(table: pa.Table, connection: duckdb.DuckDBPyConnection | None) -> duckdb.DuckDBPyRelation:
    """Return a relation over ``table``, which it keeps, in ``connection`` or DuckDB's own."""
    source: Any = _imported("duckdb") if connection is None else connection
    return source.from_arrow(table)


def _imported(name: str) -> ModuleType:
    """Import a library that the client does not need itself."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise DependencyNotInstalledError(f"{name} is not installed: pip install {name}") from error
