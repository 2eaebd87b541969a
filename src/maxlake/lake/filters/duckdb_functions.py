"""What DuckDB computes: texts, numbers read from text, integers that may overflow, moving by months.

Only values reach DuckDB (see duckdb_engine); the few statements' pieces written as text are constants.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat
from duckdb import CaseExpression, ConstantExpression, Expression, FunctionExpression, SQLExpression

from maxlake.lake.filters.duckdb_engine import compute, type_name
from maxlake.lake.filters.growth import bounded
from maxlake.lake.filters.kernels import as_array, like_input, where

_NUMBER_TEXT = r"\A[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?\z"
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1
#: No text is longer: places beyond count as this one.
_FAR = 2**31


def _call(name: str) -> Callable[..., Expression]:
    return lambda *operands: FunctionExpression(name, *operands)


def _value(value: int | float | str) -> Expression:
    return ConstantExpression(value)


def _only_if(condition: Expression, value: Expression) -> Expression:
    return CaseExpression(condition, value)


def _concat(*texts: Expression) -> Expression:
    return reduce(lambda one, other: FunctionExpression("||", one, other), texts)


def _trim(name: str) -> Callable[..., Expression]:
    """Trim blanks, or any of the characters given."""
    return lambda *operands: FunctionExpression(name, operands[0], *(operands[1:] or [_value(" ")]))


def _substr(text: Expression, place: Expression, length: Expression | None = None) -> Expression:
    """Cut out text from a place that counts from 1, or from the end if negative; 0 is 1.

    A place before the beginning, and a length below 1, give the empty text.
    """
    size = FunctionExpression("length", text)
    start = CaseExpression(place < _value(0), size + place + _value(1)).when(place == _value(0), _value(1))
    start = FunctionExpression("least", start.otherwise(place), _value(_FAR))
    taken = _value(_FAR) if length is None else FunctionExpression("least", length, _value(_FAR))
    found = FunctionExpression("substring", text, start, taken)
    nothing = (start < _value(1)) | (taken < _value(1))
    known = text.isnotnull() & place.isnotnull()
    known = known if length is None else known & length.isnotnull()
    return _only_if(known, CaseExpression(nothing, _value("")).otherwise(found))


def _regexp_replace(text: Expression, pattern: Expression, replacement: Expression) -> Expression:
    return FunctionExpression("regexp_replace", text, pattern, replacement, _value("g"))


def _regexp_extract(text: Expression, pattern: Expression, group: Expression) -> Expression:
    """Return a group of the first match; the empty text where there is none."""
    return FunctionExpression("regexp_extract", text, pattern, group.cast("INTEGER"))


def _pad(name: str) -> Callable[..., Expression]:
    """Fill up to a length, or cut off what is beyond it."""
    return lambda text, length, padding: FunctionExpression(name, text, length.cast("INTEGER"), padding)


def _sqrt(number: Expression) -> Expression:
    """Take the square root; NULL of numbers below 0. NaN is above."""
    return _only_if(number >= _value(0.0), FunctionExpression("sqrt", number))


def _integers(name: str) -> Callable[..., Expression]:
    """Compute bigints in 128 bits, which hold every result; NULL where 64 do not."""

    def build(one: Expression, other: Expression) -> Expression:
        result = FunctionExpression(name, one.cast("HUGEINT"), other.cast("HUGEINT"))
        return _only_if(result.between(_value(_LOWEST), _value(_HIGHEST)), result.cast("BIGINT"))

    return build


def _mod(one: Expression, other: Expression) -> Expression:
    """Return the rest, signed as the dividend; NULL where the divisor is 0."""
    return _only_if(other != _value(0), one % other)


def _round(number: Expression, places: Expression) -> Expression:
    """Round a double half away from zero, as scaled to whole numbers."""
    return FunctionExpression("round", number, places.cast("INTEGER"))


#: Functions by their canonical name; arguments and results are of the types the checker says.
FUNCTIONS: dict[str, Callable[..., Expression]] = {
    "concat": _concat,
    "upper": _call("upper"),
    "lower": _call("lower"),
    "length": _call("length"),
    "lengthb": _call("strlen"),
    "trim": _trim("trim"),
    "ltrim": _trim("ltrim"),
    "rtrim": _trim("rtrim"),
    "substr": _substr,
    "instr": _call("instr"),
    "replace": _call("replace"),
    "starts_with": _call("starts_with"),
    "ends_with": _call("ends_with"),
    "lpad": _pad("lpad"),
    "rpad": _pad("rpad"),
    "split_part": _call("split_part"),
    "regexp_replace": _regexp_replace,
    "regexp_extract": _regexp_extract,
    "round": _round,
    "sqrt": _sqrt,
    "pow": _call("pow"),
    "mod": _mod,
    "add": _integers("+"),
    "subtract": _integers("-"),
    "multiply": _integers("*"),
    "div": _integers("//"),
}


def call(name: str, *inputs: Any) -> Any:
    """Compute a function of :data:`FUNCTIONS` over Arrow values.

    Raises :class:`TooMuchTextError` for more rows than fit together; a text too long for one is NULL.
    """
    return compute(FUNCTIONS[name], bounded(name, inputs))


def add_months(start: Any, months: Any) -> Any:
    """Move dates by months; the last day of the month stands for days it does not have."""
    return compute(
        lambda date, count: FunctionExpression(
            "date_add", date, FunctionExpression("to_months", count.cast("INTEGER"))
        ).cast("DATE"),
        [start, months],
    )


def epoch_seconds(texts: pa.Array) -> pa.Array:
    """Return seconds since 1970 of instants as text, fractions ignored; NULL for days that are none."""
    return compute(
        lambda _: SQLExpression("epoch_us(TRY_CAST(substring(c0, 1, 19) AS TIMESTAMP)) // 1000000"), [texts]
    )


def number_from_text(text: Any, wanted: pa.DataType) -> Any:
    """Read a number; NULL for text that is none or does not fit.

    Integers with a point or exponent are read as doubles and cut off, decimals are rounded half up.
    """
    column = as_array(text)
    column = where(pc.match_substring_regex(column, _NUMBER_TEXT), column)
    name = type_name(wanted)
    if pat.is_integer(wanted):
        reading = (
            f"CASE WHEN regexp_full_match(c0, '[+-]?[0-9]+') THEN TRY_CAST(c0 AS {name}) "
            f"ELSE TRY_CAST(trunc(TRY_CAST(c0 AS DOUBLE)) AS {name}) END"
        )
    else:
        reading = f"TRY_CAST(c0 AS {name})"
    return like_input(compute(lambda _: SQLExpression(reading), [column]), text)


def decimal_from_float(number: Any, wanted: pa.DataType) -> Any:
    """Round a float, as the shortest digits that tell it from all others, to a decimal, or NULL."""
    reading = f"TRY_CAST(CAST(c0 AS VARCHAR) AS {type_name(wanted)})"
    return like_input(compute(lambda _: SQLExpression(reading), [as_array(number)]), number)
