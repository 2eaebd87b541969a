"""Dates and instants in Arrow, in whole ticks: nothing is lost, and what does not fit is NULL.

Instants are instants in UTC; the calendar is the Gregorian one throughout, as Python's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal as Number
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from maxlake.lake.filters.kernels import as_array, duckdb_functions, like_input, where
from maxlake.lake.filters.numbers import to_integer
from maxlake.protocol.types.arrow import TICKS
from maxlake.protocol.types.storage import floor_divide

_DAY = 86_400
_INT64, _SECONDS = pa.int64(), pa.timestamp("s")
#: Seconds of the units that always last the same.
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": _DAY}
_MONTHS = {"month": 1, "year": 12}
#: The years 1 to 9999 in days, seconds and milliseconds; nanoseconds without the ends of 64 bits.
_RANGES = {
    pa.date32(): (-719_162, 2_932_896),
    pa.timestamp("s"): (-719_162 * _DAY, 2_932_897 * _DAY - 1),
    pa.timestamp("ms"): (-719_162 * _DAY * 1000, 2_932_897 * _DAY * 1000 - 1),
    pa.timestamp("ns"): (-(2**63) + 2, 2**63 - 2),
}
_TIME_TEXT = r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}([ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?)?\z"
_FORMAT_PARTS = {"%Y": "([0-9]{4})", **dict.fromkeys(("%m", "%d", "%H", "%M", "%S"), "([0-9]{2})")}


def _ticks(value: Any) -> Any:
    """Return days of a date, ticks of an instant."""
    return value.cast(pa.int32()).cast(_INT64) if pat.is_date32(value.type) else value.cast(_INT64)


def _per_day(kind: pa.DataType) -> int:
    return 1 if pat.is_date32(kind) else TICKS[kind.unit] * _DAY


def _from_ticks(ticks: Any, kind: pa.DataType) -> Any:
    """Return decimal or int64 ticks as dates or instants, NULL outside their range."""
    low, high = _RANGES[kind]
    ticks = to_integer(ticks, _INT64)
    fits = pc.and_(
        pc.greater_equal(ticks, pa.scalar(low, _INT64)), pc.less_equal(ticks, pa.scalar(high, _INT64))
    )
    ticks = where(fits, ticks)
    return ticks.cast(pa.int32()).cast(kind) if pat.is_date32(kind) else ticks.cast(kind)


def _times(count: Any, factor: int) -> Any:
    """Multiply int64 by a factor of at most 15 digits into a decimal that cannot overflow."""
    return pc.multiply(count.cast(pa.decimal128(19, 0)), pa.scalar(Number(factor), pa.decimal128(15, 0)))


def _plus(one: Any, other: Any) -> Any:
    return pc.add(one, other.cast(pa.decimal128(19, 0)))


def to_time(value: Any, wanted: pa.DataType) -> Any:
    """Convert between dates and instants: cut off to a coarser unit, to a finer one or NULL."""
    given, wanted_day = _per_day(value.type), _per_day(wanted)
    if given >= wanted_day:
        coarse = floor_divide(_ticks(value), given // wanted_day)
        return coarse.cast(pa.int32()).cast(wanted) if pat.is_date32(wanted) else coarse.cast(wanted)
    return _from_ticks(_times(_ticks(value), wanted_day // given), wanted)


def nearest_timestamp(value: Any) -> Any:
    """Convert a datetime to a timestamp; one that does not fit comes before, or after, all that do."""
    converted = to_time(value, pa.timestamp("ns"))
    early = pc.less(value, pa.scalar(0, value.type))
    end = pc.if_else(early, pa.scalar(-(2**63), _INT64), pa.scalar(2**63 - 1, _INT64)).cast(converted.type)
    return pc.if_else(pc.is_null(converted), end, converted)


def from_text(text: Any, wanted: pa.DataType) -> Any:
    """Read ``yyyy-mm-dd[ hh:mi:ss[.fffffffff]]``, in UTC; NULL if it is anything else."""
    column = as_array(text)
    sound = pc.and_not(pc.match_substring_regex(column, _TIME_TEXT), pc.starts_with(column, "0000"))
    column = where(sound, column)
    seconds = duckdb_functions().epoch_seconds(column)
    digits = pc.utf8_rpad(pc.utf8_slice_codeunits(column, 20, 29), 9, "0")
    nanos = floor_divide(digits.cast(_INT64), 10**9 // min(TICKS["ns"], _per_second(wanted)))
    if pat.is_date32(wanted):
        found = _from_ticks(floor_divide(seconds, _DAY), wanted)
    else:
        found = _from_ticks(_plus(_times(seconds, _per_second(wanted)), nanos), wanted)
    return like_input(found, text)


def _per_second(kind: pa.DataType) -> int:
    return 1 if pat.is_date32(kind) else TICKS[kind.unit]


def to_text(value: Any) -> Any:
    """Write a date as ``yyyy-mm-dd``, a datetime as ``yyyy-mm-dd hh:mi:ss``, without its milliseconds."""
    return format_time(value, pa.scalar("%Y-%m-%d" if pat.is_date32(value.type) else "%Y-%m-%d %H:%M:%S"))


def format_time(value: Any, written: Any) -> Any:
    """Write a date or an instant in a format of ``%Y %m %d %H %M %S``."""
    return pc.strftime(to_time(value, _SECONDS), format=written.as_py())


def parse_time(text: Any, written: Any) -> Any:
    """Read a datetime in such a format, every digit of it; what the format leaves out is 1, or 0."""
    parts = re.findall(r"%.|[^%]", written.as_py())
    expression = "".join(_FORMAT_PARTS.get(part) or re.escape(part) for part in parts)
    groups = [part for part in parts if part in _FORMAT_PARTS]

    def part(name: str, default: str) -> str:
        return rf"\{groups.index(name) + 1}" if name in groups else default

    date = f"{part('%Y', '')}-{part('%m', '01')}-{part('%d', '01')}"
    full = rf"{date} {part('%H', '00')}:{part('%M', '00')}:{part('%S', '00')}"
    expression = rf"\A{expression}\z"
    matching = where(pc.match_substring_regex(text, expression), text)
    return from_text(pc.replace_substring_regex(matching, expression, full), pa.timestamp("ms"))


def _date_part(function: Callable[..., Any]) -> Callable[[Any], Any]:
    return lambda value: function(to_time(value, _SECONDS)).cast(_INT64)


#: Parts of dates and instants, as bigint. Weeks are ISO's; ``weekday`` counts from 0 for Monday,
#: ``dayofweek`` from 1 for Sunday.
PARTS: dict[str, Callable[[Any], Any]] = {
    "year": _date_part(pc.year),
    "quarter": _date_part(pc.quarter),
    "month": _date_part(pc.month),
    "day": _date_part(pc.day),
    "hour": _date_part(pc.hour),
    "minute": _date_part(pc.minute),
    "second": _date_part(pc.second),
    "weekofyear": _date_part(pc.iso_week),
    "dayofyear": _date_part(pc.day_of_year),
    "weekday": _date_part(pc.day_of_week),
    "dayofweek": _date_part(lambda value: pc.day_of_week(value, count_from_zero=False, week_start=7)),
}


def truncate(value: Any, unit: Any) -> Any:
    """Set everything below ``unit`` to its least; NULL for instants a timestamp cannot hold."""
    return to_time(pc.floor_temporal(to_time(value, _SECONDS), unit=unit.as_py()), value.type)


def difference(one: Any, other: Any, unit: Any) -> Any:
    """Count how many starts of a ``unit`` lie between two datetimes: what is below it is cut off first."""
    return pc.subtract(_units_since(one, unit.as_py()), _units_since(other, unit.as_py()))


def _units_since(value: Any, unit: str) -> Any:
    seconds = to_time(value, _SECONDS)
    if unit in _UNITS:
        return floor_divide(seconds.cast(_INT64), _UNITS[unit])
    years = pc.year(seconds)
    months = pc.add(pc.multiply(years, pa.scalar(12, _INT64)), pc.month(seconds))
    return years if unit == "year" else months


def add(value: Any, amount: Any, unit: Any) -> Any:
    """Add whole units; a month too short for the day takes its last. NULL outside the type's range."""
    name, kind = unit.as_py(), value.type
    if name in _UNITS:
        step = _per_day(kind) * _UNITS[name] // _DAY
        return _from_ticks(_plus(_times(amount, step), _ticks(value)), kind)
    most = pa.scalar(120_000 // _MONTHS[name], _INT64)
    amount = where(pc.and_(pc.less_equal(amount, most), pc.greater_equal(amount, pc.negate(most))), amount)
    start = to_time(value, pa.date32())
    moved = duckdb_functions().add_months(start, pc.multiply(amount, pa.scalar(_MONTHS[name], _INT64)))
    in_day = pc.subtract(_ticks(value), pc.multiply(_ticks(start), pa.scalar(_per_day(kind), _INT64)))
    return _from_ticks(_plus(_times(_ticks(moved), _per_day(kind)), in_day), kind)


def last_day(value: Any) -> Any:
    """Return the last day of a date's month."""
    after = pc.ceil_temporal(value, unit="month", ceil_is_strictly_greater=True)
    return pc.subtract(_ticks(after), pa.scalar(1, _INT64)).cast(pa.int32()).cast(pa.date32())


def from_unixtime(seconds: Any) -> Any:
    """Return the datetime so many seconds after 1970; NULL outside the years 1 to 9999."""
    return _from_ticks(_times(seconds, 1000), pa.timestamp("ms"))


def unix_timestamp(value: Any) -> Any:
    """Return the whole seconds since 1970, cut off towards the past."""
    return to_time(value, _SECONDS).cast(_INT64)
