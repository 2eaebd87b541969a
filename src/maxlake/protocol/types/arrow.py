"""ODPS types in Arrow: what a reader is sent (types.md §2), and what an Arrow schema means as a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.types as pat

from maxlake.protocol.enums import TimeUnit
from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.limits import MAX_DECIMAL_PRECISION, MAX_NESTING
from maxlake.protocol.types.model import (
    Array,
    Decimal,
    Kind,
    Map,
    OdpsType,
    Simple,
    Struct,
    StructField,
    Vector,
)


@dataclass(frozen=True)
class ReadUnits:
    """Units a reader asked for; the defaults are every client's (types.md §2)."""

    datetime: TimeUnit = TimeUnit.MILLI
    timestamp: TimeUnit = TimeUnit.NANO


DEFAULT_UNITS = ReadUnits()

#: Arrow's words for the units.
_ARROW_UNITS = {TimeUnit.SECOND: "s", TimeUnit.MILLI: "ms", TimeUnit.MICRO: "us", TimeUnit.NANO: "ns"}
#: Ticks in a second, by Arrow's word for the unit.
TICKS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}

#: interval_day_time, on the wire and at rest.
DAY_TIME = pa.struct([("sec", pa.int64()), ("nano", pa.int32())])

#: The Arrow types of the simple types without a unit.
SIMPLE_ARROW: dict[Kind, pa.DataType] = {
    Kind.TINYINT: pa.int8(),
    Kind.SMALLINT: pa.int16(),
    Kind.INT: pa.int32(),
    Kind.BIGINT: pa.int64(),
    Kind.FLOAT: pa.float32(),
    Kind.DOUBLE: pa.float64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.STRING: pa.utf8(),
    Kind.BINARY: pa.binary(),
    Kind.DATE: pa.date32(),
    Kind.INTERVAL_DAY_TIME: DAY_TIME,
    Kind.INTERVAL_YEAR_MONTH: pa.int32(),
    Kind.JSON: pa.utf8(),
    Kind.BLOB: pa.binary(),
    Kind.VARIANT: pa.utf8(),
}


def arrow_type(t: OdpsType, units: ReadUnits = DEFAULT_UNITS) -> pa.DataType:
    """Return the Arrow type in which values of ``t`` are sent to readers (types.md §2)."""
    match t:
        case Simple(kind=Kind.DATETIME):
            return pa.timestamp(_ARROW_UNITS[units.datetime])
        case Simple(kind=Kind.TIMESTAMP | Kind.TIMESTAMP_NTZ):
            return pa.timestamp(_ARROW_UNITS[units.timestamp])
        case _:
            return compose(t, lambda child: arrow_type(child, units), list_child="item")


def compose(t: OdpsType, inner: Callable[[OdpsType], pa.DataType], *, list_child: str) -> pa.DataType:
    """Return the Arrow type of anything but an instant, with ``inner`` giving that of nested types."""
    match t:
        case Simple():
            return SIMPLE_ARROW[t.kind]
        case Decimal():
            precision, scale = t.digits
            decimal = pa.decimal128 if precision <= 38 else pa.decimal256
            return decimal(precision, scale)
        case Array() | Vector():
            return pa.list_(pa.field(list_child, inner(t.children()[0])))
        case Map():
            return pa.map_(inner(t.key), inner(t.value))
        case Struct():
            return pa.struct([pa.field(f.name, inner(f.type)) for f in t.fields])
        case _:  # Char and Varchar
            return pa.utf8()


# An unsigned width needs the next signed one; 64 bits need 20 digits.
_FROM_ARROW: dict[pa.DataType, OdpsType] = {
    pa.int8(): Simple(Kind.TINYINT),
    pa.int16(): Simple(Kind.SMALLINT),
    pa.int32(): Simple(Kind.INT),
    pa.int64(): Simple(Kind.BIGINT),
    pa.uint8(): Simple(Kind.SMALLINT),
    pa.uint16(): Simple(Kind.INT),
    pa.uint32(): Simple(Kind.BIGINT),
    pa.uint64(): Decimal(20, 0),
    pa.float16(): Simple(Kind.FLOAT),
    pa.float32(): Simple(Kind.FLOAT),
    pa.float64(): Simple(Kind.DOUBLE),
    pa.bool_(): Simple(Kind.BOOLEAN),
    pa.utf8(): Simple(Kind.STRING),
    pa.large_utf8(): Simple(Kind.STRING),
    pa.string_view(): Simple(Kind.STRING),
    pa.binary(): Simple(Kind.BINARY),
    pa.large_binary(): Simple(Kind.BINARY),
    pa.binary_view(): Simple(Kind.BINARY),
    pa.date32(): Simple(Kind.DATE),
    pa.date64(): Simple(Kind.DATE),
    pa.month_day_nano_interval(): Simple(Kind.INTERVAL_DAY_TIME),
    DAY_TIME: Simple(Kind.INTERVAL_DAY_TIME),
}


def is_month_interval(dtype: pa.DataType) -> bool:
    """Whether this is Arrow's interval in months (pyarrow has no class for it)."""
    return dtype.id == pa.lib.Type_INTERVAL_MONTHS


def from_arrow(dtype: pa.DataType) -> OdpsType:
    """Return the ODPS type for a column made from an Arrow schema: the narrowest that holds every value.

    Timestamps of seconds and milliseconds become ``datetime``, finer ones ``timestamp``.
    Raises BadRequestError InvalidArgument where ODPS has no such type (null, time of day, union, …).
    """
    return _from_arrow(dtype, 0)


def _from_arrow(dtype: pa.DataType, depth: int) -> OdpsType:
    if depth > MAX_NESTING:
        raise invalid_argument(f"Arrow type nested deeper than {MAX_NESTING} levels")
    known = _FROM_ARROW.get(dtype)
    if known is not None:
        return known
    if isinstance(dtype, pa.JsonType):
        return Simple(Kind.JSON)
    if isinstance(dtype, pa.BaseExtensionType):
        return _from_arrow(dtype.storage_type, depth + 1)
    if pat.is_dictionary(dtype):
        return _from_arrow(dtype.value_type, depth + 1)
    return _scalar_from_arrow(dtype) or _nested_from_arrow(dtype, depth)


def _scalar_from_arrow(dtype: Any) -> OdpsType | None:
    if pat.is_fixed_size_binary(dtype):
        return Simple(Kind.BINARY)
    if pat.is_timestamp(dtype):
        return Simple(Kind.DATETIME if dtype.unit in ("s", "ms") else Kind.TIMESTAMP)
    if pat.is_duration(dtype):
        return Simple(Kind.INTERVAL_DAY_TIME)
    if is_month_interval(dtype):
        return Simple(Kind.INTERVAL_YEAR_MONTH)
    if pat.is_decimal(dtype):
        # Arrow allows a negative scale, and a scale above the precision; ODPS does neither.
        scale = max(dtype.scale, 0)
        precision = min(max(dtype.precision - dtype.scale + scale, scale), MAX_DECIMAL_PRECISION)
        return Decimal(precision, min(scale, precision))
    return None


def _nested_from_arrow(dtype: Any, depth: int) -> OdpsType:
    if pat.is_map(dtype):
        return Map(_from_arrow(dtype.key_type, depth + 1), _from_arrow(dtype.item_type, depth + 1))
    if is_list_like(dtype):
        return Array(_from_arrow(dtype.value_type, depth + 1))
    if pat.is_struct(dtype):
        return Struct(tuple(StructField(f.name, _from_arrow(f.type, depth + 1)) for f in dtype.fields))
    raise invalid_argument(f"no ODPS type corresponds to Arrow's {dtype}; declare the column's type instead")


def is_list_like(dtype: pa.DataType) -> bool:
    """Whether this is one of Arrow's five kinds of list (maps are not)."""
    return (
        pat.is_list(dtype)
        or pat.is_large_list(dtype)
        or pat.is_fixed_size_list(dtype)
        or pat.is_list_view(dtype)
        or pat.is_large_list_view(dtype)
    )
