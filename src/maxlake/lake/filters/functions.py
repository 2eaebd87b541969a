"""Calls: which kernel computes each function the checker lets through."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pyarrow.compute as pc
import pyarrow.types as pat

from maxlake.lake.filters import numbers, times
from maxlake.lake.filters.kernels import Kernel, arrow, duckdb_functions, in_duckdb
from maxlake.lake.filters.patterns import check_expression
from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.predicates.tree import Call, Literal
from maxlake.protocol.types.storage import storage_type


def call_kernel(call: Call) -> Kernel:
    """Return the kernel of a call. Raises InvalidArgument for an unknown function or a bad pattern."""
    find = KERNELS.get(call.function)
    if find is None:
        raise invalid_argument(f"a predicate cannot call {call.function}")
    return find(call)


def _always(kernel: Kernel) -> Callable[[Call], Kernel]:
    return lambda _: kernel


def _duckdb(call: Call) -> Kernel:
    return in_duckdb(lambda *inputs: duckdb_functions().call(call.function, *inputs))


def _arithmetic(call: Call) -> Kernel:
    """Integers go to DuckDB, which has 128 bits; decimals to Arrow, which has 76 digits."""
    wanted = storage_type(call.type)
    function = {"add": pc.add, "subtract": pc.subtract, "multiply": pc.multiply}[call.function]
    if pat.is_decimal(wanted):
        return arrow(partial(numbers.decimal_arithmetic, function, wanted=wanted))
    return arrow(function) if pat.is_floating(wanted) else _duckdb(call)


def _round(call: Call) -> Kernel:
    wanted = storage_type(call.type)
    if pat.is_decimal(wanted):
        return arrow(lambda value, _: numbers.to_decimal(value, wanted))
    return _duckdb(call)


def _whole(mode: str) -> Callable[[Call], Kernel]:
    return lambda call: arrow(partial(numbers.floor_or_ceil, mode=mode, wanted=storage_type(call.type)))


def _pattern(call: Call) -> Kernel:
    pattern = call.arguments[1]
    if isinstance(pattern, Literal) and isinstance(pattern.value, str):
        check_expression(pattern.value)
    return _duckdb(call)


def _date_add(call: Call) -> Kernel:
    unit = call.arguments[2]
    months = isinstance(unit, Literal) and unit.value in ("month", "year")
    return in_duckdb(times.add) if months else arrow(times.add)


#: By canonical name: what computes a call.
KERNELS: dict[str, Callable[[Call], Kernel]] = {
    **dict.fromkeys(("add", "subtract", "multiply"), _arithmetic),
    "divide": _always(arrow(numbers.divide)),
    "negate": _always(arrow(numbers.negate)),
    "abs": _always(arrow(numbers.absolute)),
    "floor": _whole("down"),
    "ceil": _whole("up"),
    "round": _round,
    "isnan": _always(arrow(pc.is_nan)),
    "reverse": _always(arrow(pc.utf8_reverse)),
    **{name: _always(arrow(part)) for name, part in times.PARTS.items()},
    "last_day": _always(arrow(times.last_day)),
    "datediff": _always(arrow(times.difference)),
    "dateadd": _date_add,
    "datetrunc": _always(arrow(times.truncate)),
    "format_time": _always(arrow(times.format_time)),
    "parse_time": _always(in_duckdb(times.parse_time)),
    "from_unixtime": _always(arrow(times.from_unixtime)),
    "unix_timestamp": _always(arrow(times.unix_timestamp)),
    "nearest_timestamp": _always(arrow(times.nearest_timestamp)),
    **dict.fromkeys(("regexp_replace", "regexp_extract"), _pattern),
    **dict.fromkeys(
        ("concat", "upper", "lower", "length", "lengthb", "trim", "ltrim", "rtrim", "substr", "instr"),
        _duckdb,
    ),
    **dict.fromkeys(("replace", "starts_with", "ends_with", "lpad", "rpad", "split_part"), _duckdb),
    **dict.fromkeys(("sqrt", "pow", "mod", "div"), _duckdb),
}
