"""SQL's meaning in plain Python, and a table of values that are easily got wrong.

Nothing here uses maxlake, Arrow or DuckDB to compute. None is NULL and the third truth value; dates are
dates, instants nanoseconds since 1970, decimals ``Decimal``.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal
from types import SimpleNamespace
from typing import Any

Row = SimpleNamespace
WIDE = Context(prec=200)


def at(text: str) -> int:
    """`2024-01-02 03:04:05.123456789` → nanoseconds since 1970."""
    day, _, clock = text.partition(" ")
    clock, _, fraction = (clock or "00:00:00").partition(".")
    moment = datetime.fromisoformat(f"{day} {clock}").replace(tzinfo=UTC)
    whole = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (whole.days * 86_400 + whole.seconds) * 10**9 + int(fraction.ljust(9, "0"))


def when(nanos: int) -> datetime:
    """The calendar's view of an instant; what is below a second is left out."""
    seconds = nanos // 10**9
    return datetime.fromordinal(date(1970, 1, 1).toordinal() + seconds // 86_400).replace(
        hour=seconds % 86_400 // 3600, minute=seconds % 3600 // 60, second=seconds % 60
    )


def single(number: float) -> float:
    """The nearest 32-bit float."""
    return struct.unpack("f", struct.pack("f", number))[0]


def lift(function: Callable[..., Any]) -> Callable[..., Any]:
    """NULL where an argument is."""
    return lambda *values: None if any(v is None for v in values) else function(*values)


def _key(value: Any) -> Any:
    if isinstance(value, float):
        return (1, 0.0) if math.isnan(value) else (0, value)
    return value.encode() if isinstance(value, str) else value


eq = lift(lambda a, b: _key(a) == _key(b))
ne = lift(lambda a, b: _key(a) != _key(b))
lt = lift(lambda a, b: _key(a) < _key(b))
le = lift(lambda a, b: _key(a) <= _key(b))
gt = lift(lambda a, b: _key(a) > _key(b))
ge = lift(lambda a, b: _key(a) >= _key(b))
COMPARATORS = {"=": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}


def same(a: Any, b: Any) -> bool:
    return (a is None and b is None) or eq(a, b) is True


def no(a: bool | None) -> bool | None:
    return None if a is None else not a


def every(*truths: bool | None) -> bool | None:
    if any(t is False for t in truths):
        return False
    return None if any(t is None for t in truths) else True


def some(*truths: bool | None) -> bool | None:
    return no(every(*map(no, truths)))


def among(value: Any, *options: Any) -> bool | None:
    return some(*(eq(value, option) for option in options))


def between(value: Any, low: Any, high: Any) -> bool | None:
    return every(ge(value, low), le(value, high))


def case(*branches: tuple[bool | None, Any], otherwise: Any = None) -> Any:
    return next((value for test, value in branches if test), otherwise)


@lift
def like(text: str, pattern: str, escape: str = "\\") -> bool:
    """By the definition, character by character, without regular expressions."""
    tokens: list[str | None] = []  # "%": any text, None: any character
    characters = iter(pattern)
    for c in characters:
        if c == escape:
            tokens.append("=" + next(characters))
        else:
            tokens.append({"%": "%", "_": None}.get(c, "=" + c))
    places = {0}
    for token in tokens:
        if token == "%":
            places = set(range(min(places, default=len(text) + 1), len(text) + 1))
        else:
            places = {p + 1 for p in places if p < len(text) and (token is None or text[p] == token[1])}
    return len(text) in places


@lift
def matches(text: str, pattern: str) -> bool:
    return re.search(pattern, text, re.ASCII) is not None


# -- numbers ----------------------------------------------------------------------------------------


def wrap(bits: int) -> Callable[[int | None], int | None]:
    return lift(lambda n: n if -(2 ** (bits - 1)) <= n < 2 ** (bits - 1) else None)


bigint = wrap(64)


@lift
def to_int(value: float | Decimal, bits: int = 64) -> int | None:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return wrap(bits)(int(value))


@lift
def to_decimal(value: Any, precision: int, scale: int) -> Decimal | None:
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not exact.is_finite() or exact.adjusted() > 60:
        return None
    rounded = exact.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP, WIDE)
    return rounded if abs(rounded) < Decimal(10) ** (precision - scale) else None


_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)


@lift
def text_double(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


@lift
def text_decimal(text: str, precision: int, scale: int) -> Decimal | None:
    return to_decimal(text, precision, scale) if _NUMBER.fullmatch(text) else None


@lift
def text_int(text: str, bits: int = 64) -> int | None:
    if re.fullmatch(r"[+-]?\d+", text, re.ASCII):
        return wrap(bits)(int(text))
    return to_int(text_double(text), bits)


double = lift(float)
add = lift(lambda a, b: bigint(a + b))
sub = lift(lambda a, b: bigint(a - b))
mul = lift(lambda a, b: bigint(a * b))
quotient = lift(lambda a, b: None if b == 0 else bigint(abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)))
rest = lift(lambda a, b: None if b == 0 else a - b * quotient_of(a, b))


def quotient_of(a: Any, b: Any) -> int:
    return int(WIDE.divide_int(Decimal(a), Decimal(b)))


@lift
def over(a: float, b: float) -> float | None:
    return None if b == 0 else a / b


def fraction_sum(a: Decimal | None, b: Decimal | None) -> Decimal | None:
    return None if a is None or b is None else WIDE.add(a, b)


def product(a: Decimal | None, b: Decimal | None) -> Decimal | None:
    return None if a is None or b is None else WIDE.multiply(a, b)


@lift
def floor(value: float | Decimal) -> int | None:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return (
        bigint(math.floor(value)) if isinstance(value, float) else int(value.to_integral_value(ROUND_FLOOR))
    )


ceil = lift(lambda value: None if floor(-value) is None else bigint(-floor(-value)))


@lift
def round_double(value: float, places: int) -> float:
    scaled = value * 10.0**places
    if not math.isfinite(scaled):
        return value
    near = math.floor(abs(scaled) + 0.5) if abs(scaled) < 2**52 else abs(scaled)
    return math.copysign(near, scaled) / 10.0**places


# -- text -------------------------------------------------------------------------------------------


@lift
def substr(text: str, place: int, length: int = 2**40) -> str:
    start = len(text) + place if place < 0 else max(place, 1) - 1
    return "" if start < 0 or length < 1 else text[start : start + length]


def pad(text: str | None, length: int, padding: str, *, left: bool) -> str | None:
    if text is None or len(text) >= length:
        return text and text[:length]
    fill = (padding * length)[: length - len(text)]
    return fill + text if left else text + fill


@lift
def extract(text: str, pattern: str, group: int) -> str:
    found = re.search(pattern, text, re.ASCII)
    return (found[group] or "") if found else ""


# -- dates ------------------------------------------------------------------------------------------

_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?)?", re.ASCII)


@lift
def text_time(text: str) -> int | None:
    """Nanoseconds of a date or instant as text."""
    if not _TIME.fullmatch(text):
        return None
    try:
        return at(text.replace("T", " "))
    except ValueError:
        return None


floor_ms = lift(lambda nanos: nanos // 10**6 * 10**6)
day_of = lift(lambda nanos: when(nanos).date())
nanos_of_day = lift(lambda day: (day.toordinal() - 719_163) * 86_400 * 10**9)
fits_nanos = lift(lambda nanos: nanos if -(2**63) + 2 <= nanos <= 2**63 - 2 else None)


@lift
def part(value: Any, name: str) -> int:
    moment = when(value) if isinstance(value, int) else value
    match name:
        case "quarter":
            return (moment.month + 2) // 3
        case "weekday":
            return moment.weekday()
        case "dayofweek":
            return moment.isoweekday() % 7 + 1
        case "weekofyear":
            return moment.isocalendar().week
        case "dayofyear":
            return moment.timetuple().tm_yday
        case _:
            return getattr(moment, name, 0)


@lift
def add_months(day: date, months: int) -> date | None:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    if not 1 <= year <= 9999:
        return None
    for last in (day.day, 30, 29, 28):
        try:
            return date(year, month + 1, min(day.day, last))
        except ValueError:
            continue
    raise AssertionError


@lift
def add_days(day: date, days: int) -> date | None:
    number = day.toordinal() + days
    return date.fromordinal(number) if 1 <= number <= 3_652_059 else None


@lift
def strftime(value: int | date, form: str) -> str:
    """`{w:%H}` of an instant or date; years have four digits."""
    moment = when(value) if isinstance(value, int) else value
    return form.replace("%Y", f"{moment.year:04d}").format(w=moment)
