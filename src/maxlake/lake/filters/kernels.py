"""What computes a node from its inputs, and the few steps all kernels share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

#: From the inputs' values, each an array or a scalar that all rows share, to such a value.
Compute = Callable[[Sequence[Any]], Any]


@dataclass(frozen=True)
class Kernel:
    """How a node is computed, and whether DuckDB does (any of) it."""

    compute: Compute
    duckdb: bool = False


def arrow(function: Callable[..., Any]) -> Kernel:
    """Return the kernel of a function of Arrow values."""
    return Kernel(lambda inputs: function(*inputs))


def in_duckdb(function: Callable[..., Any]) -> Kernel:
    """Return the kernel of a function of Arrow values that calls DuckDB."""
    return Kernel(lambda inputs: function(*inputs), duckdb=True)


def where(condition: Any, value: Any) -> Any:
    """Return ``value`` where the condition is TRUE, else NULL."""
    return pc.if_else(pc.fill_null(condition, False), value, pa.scalar(None, value.type))


def as_array(value: Any, rows: int = 1) -> pa.Array:
    """Return a scalar as an array of ``rows`` equal values; arrays as they are."""
    return pa.repeat(value, rows) if isinstance(value, pa.Scalar) else value


def like_input(result: pa.Array, value: Any) -> Any:
    """Undo :func:`as_array` on what was computed from it."""
    return result[0] if isinstance(value, pa.Scalar) else result


def duckdb_functions():
    """Load what DuckDB computes when it is first needed: importing DuckDB costs a server its quick start."""
    from maxlake.lake.filters import duckdb_functions as loaded  # noqa: PLC0415 - as said

    return loaded
