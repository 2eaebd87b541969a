"""The values of literals: escapes in strings, numbers, dates and instants as text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal as Number
from typing import Final

from maxlake.protocol.predicates.errors import Mistake
from maxlake.protocol.predicates.tree import Expression, Literal
from maxlake.protocol.types.model import Decimal, Kind, OdpsType, Simple

_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|[0-3][0-7]{2}|.)", re.DOTALL)
_ESCAPED = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a"}
_KEPT = frozenset("%_")

#: Text that is a number, for implied and written conversions: no blanks, no separators.
NUMBER_TEXT: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
#: Text that is a whole number, at most as long as any of an integer type.
WHOLE_TEXT: Final = re.compile(r"[+-]?[0-9]{1,40}")
#: Text that is a double besides.
SPECIAL_NUMBER_TEXT: Final = re.compile(r"nan|[+-]?inf(inity)?", re.IGNORECASE)
#: Text that is a date, with or without a time of day.
TIME_TEXT: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[ T]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?)?"
)
NANOS_PER_SECOND: Final = 1_000_000_000
NANOS_PER_DAY: Final = 86_400 * NANOS_PER_SECOND
#: Beyond these powers of ten a number is 0 or infinite as a double.
_MAX_EXPONENT = 400
_MAX_DIGITS = 800
_EPOCH = date(1970, 1, 1).toordinal()
_STRING = Simple(Kind.STRING)
_NATURAL = ((Kind.INT, 32), (Kind.BIGINT, 64))


def unescape(raw: str) -> str:
    r"""Return the value of what stands between quotes.

    ``\n`` and its like, ``\ooo``, ``\uXXXX``; ``\%`` and ``\_`` stay as they are, for LIKE; any other
    character after a backslash is itself.
    """

    def value(match: re.Match[str]) -> str:
        code = match.group(1)
        if len(code) == 1:
            return match.group() if code in _KEPT else _ESCAPED.get(code, code)
        return chr(int(code[1:], 16)) if code[0] == "u" else chr(int(code, 8))

    return _ESCAPE.sub(value, raw)


@dataclass(frozen=True)
class PlainNumber(Expression):
    """A number as written: exact wherever its context is, else of its natural type (int, bigint, double)."""

    value: Number
    type: OdpsType


@dataclass(frozen=True)
class PlainNull(Expression):
    """NULL as written: of the type of its context."""

    type: OdpsType = _STRING


def plain_number(text: str) -> PlainNumber:
    """Return the literal of ``text``. Raises :class:`Mistake` for text that is none, or out of all bounds."""
    if not NUMBER_TEXT.fullmatch(text):
        raise Mistake(f"{text[:40]!r} is not a number")
    value = Number(text)
    if len(value.as_tuple().digits) > _MAX_DIGITS or (value and abs(value.adjusted()) > _MAX_EXPONENT):
        raise Mistake(f"The number {text[:40]!r} has too many digits")
    return PlainNumber(value, _natural_type(text, value))


def number_in_text(text: str) -> PlainNumber | Literal:
    """Return the number that a string is; NaN and infinities are doubles. Raises :class:`Mistake`."""
    if SPECIAL_NUMBER_TEXT.fullmatch(text):
        return Literal(float(text), Simple(Kind.DOUBLE))
    return plain_number(text)


def _natural_type(text: str, value: Number) -> OdpsType:
    if not text.lstrip("+-").isdigit():
        return Simple(Kind.DOUBLE)
    for kind, bits in _NATURAL:
        if -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
            return Simple(kind)
    return exact_type(value) or Simple(Kind.DOUBLE)


def exact_type(value: Number) -> Decimal | None:
    """Return the narrowest decimal type that holds ``value``, None if 38 digits are too few."""
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)  # NUMBER_TEXT has neither NaN nor infinity
    scale = max(0, -exponent)
    precision = max(len(digits) + max(0, exponent), scale, 1)
    return Decimal(precision, scale) if precision <= 38 else None


def read_time(text: str) -> int | None:
    """Return nanoseconds since 1970 of a date or an instant in UTC as text, None if it is neither."""
    match = TIME_TEXT.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    try:
        days = date(year, month, day).toordinal() - _EPOCH
    except ValueError:
        return None
    if hour > 23 or minute > 59 or second > 59:
        return None
    fraction = int((match.group(7) or "").ljust(9, "0"))
    return (days * 86_400 + hour * 3600 + minute * 60 + second) * NANOS_PER_SECOND + fraction
