"""Implied and written conversions between types, and which of them constants undergo at once.

What a :class:`Cast` yields; anything it cannot convert is NULL:

* number to integer: cut towards 0; to decimal: rounded half away from 0, a double by its shortest text;
* boolean to integer 1 or 0; integer to boolean: whether it is not 0;
* text to integer: ``[+-]digits`` exactly; other numbers as text by way of double, cut; to decimal: exactly,
  then rounded; to float, double: ``NUMBER_TEXT``, and NaN and infinities as ``SPECIAL_NUMBER_TEXT``;
* text to date and instants: ``TIME_TEXT`` on the calendar of the years 1 to 9999, read as UTC, floored;
* text to char(n), varchar(n): its first n characters; integers to text: their digits;
* date to text: ``yyyy-mm-dd``; datetime to text: ``yyyy-mm-dd hh:mi:ss``, without its fraction;
* date to instants: midnight UTC; instants to coarser ones: floored; timestamp_ntz as if it were UTC.
"""

from __future__ import annotations

import math
from datetime import date
from decimal import ROUND_HALF_UP, Context
from decimal import Decimal as Number
from enum import Enum, auto
from functools import reduce

from maxlake.protocol.predicates.errors import Mistake
from maxlake.protocol.predicates.grid import Grid, grid_of
from maxlake.protocol.predicates.literals import (
    WHOLE_TEXT,
    PlainNull,
    PlainNumber,
    exact_type,
    read_time,
)
from maxlake.protocol.predicates.tree import Cast, Expression, Literal
from maxlake.protocol.types.model import Char, Decimal, Kind, OdpsType, Simple, Varchar

BOOLEAN = Simple(Kind.BOOLEAN)
BIGINT = Simple(Kind.BIGINT)
DOUBLE = Simple(Kind.DOUBLE)
STRING = Simple(Kind.STRING)
DATE = Simple(Kind.DATE)
DATETIME = Simple(Kind.DATETIME)
TIMESTAMP = Simple(Kind.TIMESTAMP)

_INTEGERS = {Kind.TINYINT: 3, Kind.SMALLINT: 5, Kind.INT: 10, Kind.BIGINT: 19}
_TIMES = (Kind.DATE, Kind.DATETIME, Kind.TIMESTAMP_NTZ, Kind.TIMESTAMP)
_MAX_DIGITS = 38
_WIDE = Context(prec=1000)


class Family(Enum):
    """What kinds of values compare with one another."""

    BOOLEAN = auto()
    NUMBER = auto()
    TEXT = auto()
    TIME = auto()
    OTHER = auto()


def family(t: OdpsType) -> Family:
    """Return the family of a type; OTHER has only IS [NOT] NULL."""
    if isinstance(t, Char | Varchar):
        return Family.TEXT
    if isinstance(t, Decimal):
        return Family.NUMBER
    if not isinstance(t, Simple):
        return Family.OTHER
    if t.kind in _INTEGERS or t.kind in (Kind.FLOAT, Kind.DOUBLE):
        return Family.NUMBER
    if t.kind in _TIMES:
        return Family.TIME
    return {Kind.BOOLEAN: Family.BOOLEAN, Kind.STRING: Family.TEXT}.get(t.kind, Family.OTHER)


def is_integer(t: OdpsType) -> bool:
    """Whether this is one of the four integer types."""
    return isinstance(t, Simple) and t.kind in _INTEGERS


def is_exact(t: OdpsType) -> bool:
    """Whether this is an integer or decimal type."""
    return is_integer(t) or isinstance(t, Decimal)


def digits(t: OdpsType) -> tuple[int, int]:
    """Return the digits before and after the point that an integer or decimal type needs."""
    if isinstance(t, Decimal):
        precision, scale = t.digits
        return precision - scale, scale
    assert isinstance(t, Simple)
    return _INTEGERS[t.kind], 0


def decimal_or_double(whole: int, scale: int) -> OdpsType:
    """Return the decimal of so many digits, double if there are more than 38."""
    precision = max(1, whole + scale)
    return Decimal(precision, scale) if precision <= _MAX_DIGITS else DOUBLE


def common_number(one: OdpsType, other: OdpsType) -> OdpsType:
    """Return the type two numbers are compared or chosen between as."""
    if not (is_exact(one) and is_exact(other)):
        return DOUBLE
    if is_integer(one) and is_integer(other):
        return max(one, other, key=digits)
    whole, scale = (max(pair) for pair in zip(digits(one), digits(other), strict=True))
    return decimal_or_double(whole, scale)


def common_type(*expressions: Expression) -> OdpsType:
    """Return the type of a value that is one of the expressions; NULL takes any, and is string alone.

    Raises :class:`Mistake` if there is none.
    """
    written = [e.type for e in expressions if not isinstance(e, PlainNull | PlainNumber)]
    plain = [e for e in expressions if isinstance(e, PlainNumber)]
    if any(isinstance(t, Decimal) for t in written):
        # A plain 2.5 is a double, but beside a decimal the decimal it says.
        written += [exact_type(number.value) or DOUBLE for number in plain]
    else:
        written += [number.type for number in plain]
    return reduce(_common, map(comparable, written)) if written else STRING


def comparable(t: OdpsType) -> OdpsType:
    """Return a type whose values compare. Raises :class:`Mistake` for those that can only be NULL or not."""
    if family(t) is Family.OTHER:
        raise Mistake(f"A value of type {t} has only IS NULL and IS NOT NULL")
    return t


def _common(one: OdpsType, other: OdpsType) -> OdpsType:
    if one == other:
        return one
    families = {family(one), family(other)}
    if families == {Family.NUMBER}:
        return common_number(one, other)
    if families == {Family.TIME}:
        return max(one, other, key=_width)
    if families == {Family.TEXT}:
        return STRING
    raise Mistake(f"{one} and {other} have no type in common; write a CAST")


def _width(t: OdpsType) -> int:
    assert isinstance(t, Simple)
    return _TIMES.index(t.kind)


def settle(expression: Expression) -> Expression:
    """Return the expression with a plain literal typed by itself."""
    return convert(expression, expression.type)


def convert(expression: Expression, t: OdpsType) -> Expression:
    """Return the expression as a ``t``: as it is, a constant converted, or a Cast. What cannot be is NULL."""
    if isinstance(expression, PlainNull):
        return Literal(None, t)
    if isinstance(expression, PlainNumber):
        return _convert_number(expression, t)
    if expression.type == t:
        return expression
    if isinstance(expression, Literal):
        return _convert_literal(expression, t)
    return Cast(expression, t)


def _convert_number(number: PlainNumber, t: OdpsType) -> Expression:
    if t == DOUBLE:
        return Literal(float(number.value), DOUBLE)
    if is_exact(t):
        return Literal(exact_value(grid_of(t), number.value), t)
    if expression_type := _own_exact_type(number):
        return Cast(Literal(exact_value(grid_of(expression_type), number.value), expression_type), t)
    return Cast(Literal(float(number.value), DOUBLE), t)


def _own_exact_type(number: PlainNumber) -> OdpsType | None:
    return number.type if is_exact(number.type) else None


def exact_value(grid: Grid, value: Number) -> int | Number | None:
    """Return a number as a value of an integer (cut) or decimal (half away from zero) type, else NULL."""
    scaled = _WIDE.scaleb(value, grid.scale)
    count = int(scaled) if grid.is_integer else int(scaled.to_integral_value(ROUND_HALF_UP, _WIDE))
    if not grid.low <= count <= grid.high:
        return None
    found = grid.value(count)
    assert isinstance(found, int | Number)
    return found


def _convert_literal(literal: Literal, t: OdpsType) -> Expression:
    """Convert what can be without a doubt; a Cast says the rest."""
    value, source = literal.value, literal.type
    found: Expression | None = None
    if value is None:
        found = Literal(None, t)
    elif isinstance(value, str):
        found = _convert_text(value, t)
    elif isinstance(value, int | Number) and is_exact(source) and t == DOUBLE:
        found = Literal(float(value), t)
    elif isinstance(value, int | Number) and is_exact(source) and is_exact(t):
        found = Literal(exact_value(grid_of(t), Number(value)), t)
    elif isinstance(value, int | date) and family(source) is family(t) is Family.TIME:
        found = Literal(time_value(t, nanos_of(literal)), t)
    return found or Cast(literal, t)


def _convert_text(value: str, t: OdpsType) -> Literal | None:
    if t == STRING:
        return Literal(value, t)
    if family(t) is Family.TIME:
        nanos = read_time(value)
        return Literal(None if nanos is None else time_value(t, nanos), t)
    if is_integer(t) and WHOLE_TEXT.fullmatch(value):
        return Literal(exact_value(grid_of(t), Number(value)), t)
    return None


def nanos_of(literal: Literal) -> int:
    """Return nanoseconds since 1970 of a date's or instant's literal."""
    grid = grid_of(literal.type)
    assert isinstance(literal.value, int | date)
    return int(grid.count(literal.value) * grid.step)


def time_value(t: OdpsType, nanos: int) -> int | date | None:
    """Return an instant as a value of a date or instant type, floored; NULL outside its range."""
    grid = grid_of(t)
    count = math.floor(nanos / grid.step)
    if not grid.low <= count <= grid.high:
        return None
    found = grid.value(count)
    assert isinstance(found, int | date)
    return found


def check_cast(source: OdpsType, target: OdpsType) -> None:
    """Raise :class:`Mistake` for a CAST that ODPS does not have, or whose result is not exactly defined."""
    one, other = family(source), family(target)
    allowed = {
        Family.BOOLEAN: (Family.BOOLEAN, Family.NUMBER),
        Family.NUMBER: (Family.BOOLEAN, Family.NUMBER, Family.TEXT),
        Family.TEXT: (Family.NUMBER, Family.TEXT, Family.TIME),
        Family.TIME: (Family.TEXT, Family.TIME),
        Family.OTHER: (),
    }
    inexact_text = other is Family.TEXT and (
        (one is Family.NUMBER and not is_integer(source)) or (one is Family.TIME and _width(source) > 1)
    )
    beyond_bits = {one, other} == {Family.BOOLEAN, Family.NUMBER} and not is_integer(
        source if one is Family.NUMBER else target
    )
    if other not in allowed[one] or inexact_text or beyond_bits:
        raise Mistake(f"CAST from {source} to {target} is not supported")
