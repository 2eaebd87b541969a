"""Casts that keep order: what they make of the ends of a range, in plain values."""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal as Number
from typing import Any

from maxlake.protocol.types.arrow import TICKS
from maxlake.protocol.types.model import Char, Decimal, Kind, OdpsType, Simple, Varchar
from maxlake.protocol.types.storage import storage_type

_INT64 = range(-(2**63), 2**63)
_INTEGERS: dict[OdpsType, range] = {
    Simple(Kind.TINYINT): range(-(2**7), 2**7),
    Simple(Kind.SMALLINT): range(-(2**15), 2**15),
    Simple(Kind.INT): range(-(2**31), 2**31),
    Simple(Kind.BIGINT): _INT64,
}
_INSTANTS = {Simple(kind) for kind in (Kind.DATETIME, Kind.TIMESTAMP, Kind.TIMESTAMP_NTZ)}
_STRING, _DATE, _DOUBLE = Simple(Kind.STRING), Simple(Kind.DATE), Simple(Kind.DOUBLE)
_EPOCH = date(1970, 1, 1).toordinal()
_DAY = 86_400


class NotMonotoneError(Exception):
    """Nothing follows from the ends of a range for the values between them."""


def cast_end(value: Any, source: OdpsType, target: OdpsType, *, upper: bool) -> Any:
    """Return the limit that ``value``, a limit of a ``source``, is for what a cast to ``target`` returns.

    Both ends of a range must pass for either to count; then the cast makes no new NULLs between them.
    Raises :class:`NotMonotoneError`.
    """
    if source == target or (target == _STRING and isinstance(source, Char | Varchar)):
        return value
    if source in _INTEGERS or isinstance(source, Decimal):
        return _number(value, source, target, upper=upper)
    if source == _DATE and target in _INSTANTS:
        return _fitting((value.toordinal() - _EPOCH) * _DAY * _ticks(target))
    if source in _INSTANTS and target in _INSTANTS:
        return _fitting(value * _ticks(target) // _ticks(source))
    raise NotMonotoneError


def _number(value: Any, source: OdpsType, target: OdpsType, *, upper: bool) -> Any:
    if target == _DOUBLE:  # one step further than rounding can have gone
        return math.nextafter(float(value), math.inf if upper else -math.inf)
    if isinstance(target, Decimal):
        precision, scale = target.digits
        kept = source in _INTEGERS or (isinstance(source, Decimal) and source.digits[1] <= scale)
        if kept and abs(value) < Number(10) ** (precision - scale):
            return value
    if source in _INTEGERS and value in _INTEGERS.get(target, ()):
        return value
    raise NotMonotoneError


def _ticks(t: OdpsType) -> int:
    return TICKS[storage_type(t).unit]


def _fitting(ticks: int) -> int:
    if ticks not in _INT64:
        raise NotMonotoneError
    return ticks
