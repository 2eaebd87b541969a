"""CASTs that Arrow computes exactly; what does not fit the type asked for is NULL, as in ODPS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal as Number
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from maxlake.protocol.types.arrow import TICKS
from maxlake.protocol.types.model import Char, Kind, OdpsType, Simple, Varchar
from maxlake.protocol.types.storage import floor_divide, storage_type

_WIDEST = 76
_DAY = 86_400
_INT64 = pa.int64()
_CLOCK = "%Y-%m-%d %H:%M:%S"

Kernel = Callable[[Sequence[Any]], Any]


def arrow_cast(source: OdpsType, target: OdpsType) -> Kernel | None:
    """Return the conversion from ``source`` to ``target``, or None where Arrow's is not exact."""
    convert = _conversion(source, target)
    return None if convert is None else lambda inputs: convert(inputs[0])


def _conversion(source: OdpsType, target: OdpsType) -> Callable[[Any], Any] | None:  # noqa: PLR0911
    given, wanted = storage_type(source), storage_type(target)
    if source == target:
        return lambda value: value
    if _is_text(target):
        return _to_text(source, target)
    if _is_number(given) and _is_number(wanted):
        return _between_numbers(given, wanted)
    if pat.is_boolean(wanted) and _is_number(given):
        return lambda value: pc.not_equal(value, pa.scalar(0, pa.int8()).cast(given))
    if pat.is_boolean(given) and pat.is_integer(wanted):
        return lambda value: value.cast(wanted)
    if _is_time(given) and _is_time(wanted):
        return lambda value: _between_times(value, wanted)
    return None


def _is_text(t: OdpsType) -> bool:
    return t == Simple(Kind.STRING) or isinstance(t, Char | Varchar)


def _is_number(kind: pa.DataType) -> bool:
    return pat.is_integer(kind) or pat.is_floating(kind) or pat.is_decimal(kind)


def _is_time(kind: pa.DataType) -> bool:
    return pat.is_date32(kind) or pat.is_timestamp(kind)


def _where(condition: Any, value: Any) -> Any:
    """Return ``value`` where the condition is TRUE, else NULL."""
    return pc.if_else(pc.fill_null(condition, False), value, pa.scalar(None, value.type))


def _between_numbers(given: pa.DataType, wanted: pa.DataType) -> Callable[[Any], Any] | None:
    if pat.is_decimal(wanted):
        # Which decimal a binary fraction is, is told by its digits as text: left to DuckDB.
        return None if pat.is_floating(given) else lambda value: _to_decimal(value, wanted)
    if pat.is_integer(wanted):
        return lambda value: _to_integer(value, wanted)
    if pat.is_decimal(given):  # through text: the shortest way to correct rounding
        return lambda value: value.cast(pa.utf8()).cast(wanted)
    return lambda value: value.cast(wanted, safe=False)


def _to_integer(value: Any, wanted: pa.DataType) -> Any:
    """Cut off what is behind the point; NULL where the rest does not fit."""
    if pat.is_decimal(value.type):
        value = pc.round(value, ndigits=0, round_mode="towards_zero")
    elif pat.is_floating(value.type):
        value = pc.trunc(value)
    limit = 2 ** (wanted.bit_width - 1)
    if pat.is_floating(value.type):
        end = pa.scalar(float(limit), value.type)
        fits = pc.and_(pc.less(value, end), pc.greater_equal(value, pc.negate(end)))
        return _where(fits, value).cast(wanted, safe=False)
    if pat.is_integer(value.type) and value.type.bit_width <= wanted.bit_width:
        return value.cast(wanted)
    low, high = _number(-limit, value.type), _number(limit - 1, value.type)
    for compare, end in ((pc.greater_equal, low), (pc.less_equal, high)):
        if end is not None:
            value = _where(compare(value, end), value)
    return value.cast(wanted)


def _number(number: int, kind: pa.DataType) -> Any:
    """Return a whole number as a scalar of ``kind``, None if that cannot hold it."""
    try:
        return pa.scalar(Number(number) if pat.is_decimal(kind) else number, kind)
    except (pa.ArrowInvalid, OverflowError):
        return None


def _to_decimal(value: Any, wanted: pa.DataType) -> Any:
    """Round half away from zero; NULL where there are more digits before the point than fit."""
    scale = value.type.scale if pat.is_decimal(value.type) else 0
    digits = wanted.precision - wanted.scale
    wide = value.cast(pa.decimal256(_WIDEST, scale))
    if scale > wanted.scale:
        wide = pc.round(wide, ndigits=wanted.scale, round_mode="half_towards_infinity")
    end = _number(10**digits, wide.type)
    if end is not None:
        wide = _where(pc.less(pc.abs(wide), end), wide)
    return wide.cast(wanted)


def _between_times(value: Any, wanted: pa.DataType) -> Any:
    """Move to a coarser unit by cutting off, to a finer one or NULL: nanoseconds end in 1677 and 2262."""
    given = value.type
    if pat.is_date32(wanted):
        days = floor_divide(_ticks(value), TICKS[given.unit] * _DAY)
        return days.cast(pa.int32()).cast(wanted)
    ticks, per = _ticks(value), TICKS[wanted.unit]
    if pat.is_timestamp(given) and TICKS[given.unit] >= per:
        return floor_divide(ticks, TICKS[given.unit] // per).cast(wanted)
    factor = per // TICKS[given.unit] if pat.is_timestamp(given) else per * _DAY
    most = pa.scalar((2**63 - 1) // factor, _INT64)
    fits = pc.and_(pc.less_equal(ticks, most), pc.greater_equal(ticks, pc.negate(most)))
    return pc.multiply(_where(fits, ticks), pa.scalar(factor, _INT64)).cast(wanted)


def _ticks(value: Any) -> Any:
    if pat.is_date32(value.type):
        return value.cast(pa.int32()).cast(_INT64)
    return value.cast(_INT64)


def _to_text(source: OdpsType, target: OdpsType) -> Callable[[Any], Any] | None:
    plain = _plain_text(source)
    if plain is None or target == Simple(Kind.STRING):
        return plain
    assert isinstance(target, Char | Varchar)
    return lambda value: pc.utf8_slice_codeunits(plain(value), 0, target.length)


def _plain_text(source: OdpsType) -> Callable[[Any], Any] | None:
    kind = storage_type(source)
    if _is_text(source):
        return lambda value: value
    if pat.is_integer(kind) or pat.is_boolean(kind):
        return lambda value: value.cast(pa.utf8())
    if pat.is_date32(kind):
        return lambda value: pc.strftime(value, format="%Y-%m-%d")
    if source == Simple(Kind.DATETIME):
        return lambda value: pc.strftime(_between_times(value, pa.timestamp("s")), format=_CLOCK)
    if pat.is_timestamp(kind):  # nine digits, of which zeros at the end go
        return lambda value: pc.replace_substring_regex(pc.strftime(value, format=_CLOCK), r"\.?0+$", "")
    return None
