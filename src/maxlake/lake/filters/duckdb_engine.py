"""DuckDB as a calculator over Arrow columns: what Arrow's own functions do not compute, or not exactly.

What to compute is an expression object over columns ``c0, c1, …`` and constant *values*: no text of a
predicate is ever part of a statement. The database is empty, in memory, and locked: no files, no network,
no extensions, no settings (design.md §9).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.types as pat
from duckdb import ColumnExpression, ConstantExpression, Expression

from maxlake.protocol.errors import BusyError, ErrorCode, InternalError
from maxlake.protocol.limits import FILTER_MEMORY

_CONFIGURATION: dict[str, Any] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "allow_unsigned_extensions": False,
    "python_enable_replacements": False,
    "temp_directory": "",
    "memory_limit": f"{FILTER_MEMORY}B",
    # Rows come out in the order they went in, and the caller's thread does all the work.
    "threads": 1,
    "preserve_insertion_order": True,
    "lock_configuration": True,
}


class _Engine:
    """One database, one connection to it per thread."""

    def __init__(self) -> None:
        self._database = duckdb.connect(":memory:", config=_CONFIGURATION)
        self._lock = threading.Lock()
        self._local = threading.local()

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        found: duckdb.DuckDBPyConnection | None = getattr(self._local, "connection", None)
        if found is None:
            with self._lock:
                found = self._local.connection = self._database.cursor()
        return found


_engine = _Engine()


def compute(build: Callable[..., Expression], inputs: Sequence[Any]) -> Any:
    """Compute ``build(*inputs)`` row by row: arrays go in as columns, scalars as constants.

    Returns an array, or a scalar of scalars. Raises :class:`BusyError` when DuckDB's memory is used up.
    """
    columns = {f"c{place}": value for place, value in enumerate(inputs) if not isinstance(value, pa.Scalar)}
    operands = [
        _constant(value) if isinstance(value, pa.Scalar) else ColumnExpression(f"c{place}")
        for place, value in enumerate(inputs)
    ]
    rows = pa.table(columns or {"": pa.nulls(1, pa.bool_())})
    try:
        relation = _engine.connection.from_arrow(rows).select(build(*operands).alias("found"))
        found = relation.to_arrow_table().column(0).combine_chunks()
    except duckdb.OutOfMemoryException as error:
        raise BusyError(ErrorCode.SERVICE_UNAVAILABLE, "no memory left for filters; try again") from error
    except duckdb.Error as error:
        raise InternalError(ErrorCode.INTERNAL_SERVER_ERROR, f"a predicate failed: {error}") from error
    return found if columns else found[0]


def _constant(scalar: Any) -> Expression:
    return ConstantExpression(scalar.as_py()).cast(type_name(scalar.type))


def type_name(kind: pa.DataType) -> str:
    """Return DuckDB's name for an Arrow type that goes in or comes out."""
    if pat.is_decimal(kind):
        return f"DECIMAL({kind.precision},{kind.scale})"
    return _TYPES[kind]


_TYPES = {
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.utf8(): "VARCHAR",
    pa.date32(): "DATE",
}
