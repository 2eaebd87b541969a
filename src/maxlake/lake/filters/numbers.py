"""Numbers in Arrow: conversions and arithmetic without wrapping; what has no result is NULL, as in ODPS."""

from __future__ import annotations

from decimal import Decimal as Number
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from maxlake.lake.filters.kernels import where

#: Digits in which decimals are computed: room for every sum and product of two of 38.
_WIDEST = 76


def to_number(value: Any, wanted: pa.DataType) -> Any:
    """Convert a number to an integer (cut off), decimal (rounded half up) or float; NULL if it does not fit.

    Binary fractions become decimals elsewhere, by their digits as text.
    """
    if pat.is_decimal(wanted):
        return to_decimal(value, wanted)
    if pat.is_integer(wanted):
        return to_integer(value, wanted)
    if pat.is_decimal(value.type):  # through text: the short way to correct rounding
        return value.cast(pa.utf8()).cast(wanted)
    return value.cast(wanted, safe=False)


def to_integer(value: Any, wanted: pa.DataType) -> Any:
    """Cut off what is behind the point; NULL where the rest does not fit."""
    limit = 2 ** (wanted.bit_width - 1)
    if pat.is_floating(value.type):
        value, end = pc.trunc(value), pa.scalar(float(limit), value.type)
        fits = pc.and_(pc.less(value, end), pc.greater_equal(value, pc.negate(end)))
        return where(fits, value).cast(wanted, safe=False)
    if pat.is_decimal(value.type):
        value = pc.round(value, ndigits=0, round_mode="towards_zero")
    for compare, end in ((pc.greater_equal, -limit), (pc.less_equal, limit - 1)):
        edge = _whole(end, value.type)
        if edge is not None:
            value = where(compare(value, edge), value)
    return value.cast(wanted)


def _whole(number: int, kind: pa.DataType) -> Any:
    """Return a whole number as a scalar of ``kind``, None if that cannot hold it."""
    try:
        return pa.scalar(Number(number) if pat.is_decimal(kind) else number, kind)
    except (pa.ArrowInvalid, OverflowError):
        return None


def to_decimal(value: Any, wanted: pa.DataType) -> Any:
    """Round half away from zero; NULL where there are more digits before the point than fit."""
    digits, scale = _digits(value.type)
    if wanted.scale >= scale and wanted.precision - wanted.scale >= digits:
        return value.cast(wanted)
    wide = value.cast(pa.decimal256(_WIDEST, scale))
    if scale > wanted.scale:
        wide = pc.round(wide, ndigits=wanted.scale, round_mode="half_towards_infinity")
    end = _whole(10 ** (wanted.precision - wanted.scale), wide.type)
    if end is not None:
        wide = where(pc.less(pc.abs(wide), end), wide)
    return wide.cast(wanted)


def _digits(kind: pa.DataType) -> tuple[int, int]:
    """Return the digits before and after the point that every value of an exact type has room in."""
    if pat.is_decimal(kind):
        return kind.precision - kind.scale, kind.scale
    return len(str(2 ** (kind.bit_width - 1))), 0


def to_boolean(value: Any) -> Any:
    """Tell whether an integer is not 0."""
    return pc.not_equal(value, pa.scalar(0, value.type))


def decimal_arithmetic(function: Any, left: Any, right: Any, wanted: pa.DataType) -> Any:
    """Add, subtract or multiply decimals exactly, in twice the digits, then fit the result."""
    return to_decimal(function(_doubled(left), _doubled(right)), wanted)


def _doubled(value: Any) -> Any:
    return value.cast(pa.decimal256(value.type.precision, value.type.scale))


def divide(left: Any, right: Any) -> Any:
    """Divide doubles; NULL where the divisor is 0."""
    return where(pc.not_equal(right, pa.scalar(0.0)), pc.divide(left, right))


def negate(value: Any) -> Any:
    """Change the sign; NULL for the one integer that has no contrary."""
    if not pat.is_integer(value.type):
        return pc.negate(value)
    return pc.negate(where(pc.not_equal(value, _lowest(value.type)), value))


def absolute(value: Any) -> Any:
    """Drop the sign; NULL for the one integer that has no contrary."""
    if not pat.is_integer(value.type):
        return pc.abs(value)
    return pc.abs(where(pc.not_equal(value, _lowest(value.type)), value))


def _lowest(kind: pa.DataType) -> Any:
    return pa.scalar(-(2 ** (kind.bit_width - 1)), kind)


def floor_or_ceil(value: Any, mode: str, wanted: pa.DataType) -> Any:
    """Round a decimal or double ``down`` or ``up`` to a whole number of type ``wanted``, or NULL."""
    if pat.is_floating(value.type):
        return to_integer(pc.round(value, ndigits=0, round_mode=mode), wanted)
    wide = value.cast(pa.decimal256(_WIDEST, value.type.scale))
    return to_decimal(pc.round(wide, ndigits=0, round_mode=mode), wanted)
