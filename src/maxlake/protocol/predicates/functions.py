"""The functions predicates may call: name, aliases, arguments, result. All of them deterministic.

A function is NULL where an argument is, and where it has no result. What the calls in a tree mean:

* ``add subtract multiply negate`` (bigint, decimal, double) and ``abs``: NULL on overflow;
  ``divide`` (double), ``div`` (bigint, cut towards 0), ``mod`` (sign of the dividend): NULL by 0;
* text is counted and reversed in code points; ``upper lower`` change single characters only;
  ``length`` counts characters, ``lengthb`` bytes of UTF-8;
  ``trim ltrim rtrim(s[, set])``: blanks, or the characters of ``set``;
  ``substr(s, start[, length])``: from 1, 0 means 1, negative from the end, ``''`` beyond either end and for a
  length below 1; ``instr(s, part)``: from 1, 0 if absent, 1 for ``''``;
  ``replace(s, old, new)``: unchanged if ``old`` is empty; ``lpad rpad(s, n, pad)``: exactly n characters, cut
  at the right; ``split_part(s, separator, n)``: from 1, ``''`` beyond the last;
  ``regexp_replace`` all matches, ``\\1`` in the replacement is a group; ``regexp_extract`` the group in the
  first match, ``''`` if there is none;
* ``round(x, places)`` half away from 0: exact for decimals, ``x * 10**places`` rounded and divided again for
  doubles; ``floor ceil`` of a double: bigint; ``sqrt`` NULL below 0; ``isnan``;
* ``year quarter month day hour minute second dayofyear``, ``weekofyear`` (ISO), ``weekday`` (Monday 0),
  ``dayofweek`` (Sunday 1): bigint, of a date or instant in UTC; ``last_day``: date;
  ``datediff(a, b, unit)``: both floored to the unit, a minus b, counted in units; ``dateadd(t, n, unit)``: of
  the type of t, months keep the day or the month's last; ``datetrunc(t, unit)``; units are ``year month day
  hour minute second``; ``format_time(datetime, format)`` and ``parse_time(text, format)`` by the letters of
  :mod:`formats`, every part exactly as wide as it says, missing parts the least;
  ``from_unixtime(seconds)`` and ``unix_timestamp(datetime)``, floored;
  ``nearest_timestamp(datetime)``: as a timestamp, those before or after all it can hold as -(2**63 - 1) and
  2**63 - 1 nanoseconds, which no stored instant is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from maxlake.protocol.limits import MAX_PADDED_LENGTH
from maxlake.protocol.predicates import arithmetic
from maxlake.protocol.predicates.comparisons import compare
from maxlake.protocol.predicates.conversions import (
    BIGINT,
    BOOLEAN,
    DATE,
    DATETIME,
    DOUBLE,
    STRING,
    Family,
    common_type,
    convert,
    family,
    is_integer,
    settle,
)
from maxlake.protocol.predicates.errors import Mistake
from maxlake.protocol.predicates.formats import JAVA_LETTERS, ODPS_LETTERS, parse_format, time_format
from maxlake.protocol.predicates.literals import PlainNull, PlainNumber
from maxlake.protocol.predicates.patterns import check_pattern, check_replacement
from maxlake.protocol.predicates.tree import (
    Call,
    Case,
    Comparator,
    Expression,
    IsNull,
    Literal,
    Not,
)
from maxlake.protocol.types.model import Decimal, OdpsType

Build = Callable[[list[Expression]], Expression]
_MAX_DIGITS = 38
_MAX_ROUNDING = 15

#: Words for date parts, as ODPS takes them, and the canonical ones.
_UNITS = {
    "year": ("yyyy", "year"),
    "month": ("mm", "mon", "month"),
    "day": ("dd", "day"),
    "hour": ("hh", "hour"),
    "minute": ("mi",),
    "second": ("ss",),
}
_UNIT_OF = {word: unit for unit, words in _UNITS.items() for word in words}
_DAY_UNITS = ("year", "month", "day")


@dataclass(frozen=True)
class Function:
    """A function: how few and how many arguments it takes, and what a call of it means."""

    fewest: int
    most: int
    build: Build

    @property
    def wanted(self) -> str:
        """How many arguments, in words."""
        if self.fewest != self.most:
            return f"{self.fewest} to {self.most} arguments"
        return "1 argument" if self.most == 1 else f"{self.most} arguments"


def call(name: str, arguments: list[Expression]) -> Expression:
    """Return what ``name(arguments)`` means. Raises :class:`Mistake` for unknown names and bad arguments."""
    function = find(name)
    if not function.fewest <= len(arguments) <= function.most:
        raise Mistake(f"{name.lower()} takes {function.wanted}, not {len(arguments)}")
    return function.build(arguments)


def find(name: str) -> Function:
    """Return the function of a name in any case. Raises :class:`Mistake` if there is none."""
    function = FUNCTIONS.get(name.lower())
    if function is None:
        raise Mistake(f"Function {name[:64]!r} is not supported in a predicate")
    return function


def _texts(name: str, result: OdpsType) -> Build:
    def build(arguments: list[Expression]) -> Expression:
        return Call(name, tuple(arithmetic.text(a, name) for a in arguments), result)

    return build


def _integer(expression: Expression, what: str) -> Expression:
    if isinstance(expression, PlainNull) or is_integer(expression.type):
        return convert(expression, BIGINT)
    raise Mistake(f"{what} must be an integer, not {expression.type}")


def constant_integer(expression: Expression, what: str, low: int, high: int) -> Literal:
    """Return an argument that must be a whole number written out, within bounds."""
    if isinstance(expression, PlainNumber | Literal):
        found = convert(expression, BIGINT) if is_integer(expression.type) else None
        if isinstance(found, Literal) and isinstance(found.value, int) and low <= found.value <= high:
            return found
    raise Mistake(f"{what} must be a whole number from {low} to {high}, written out")


def constant_text(expression: Expression, what: str) -> str:
    """Return an argument that must be a string written out."""
    if isinstance(expression, Literal) and isinstance(expression.value, str):
        return expression.value
    raise Mistake(f"{what} must be a string, written out")


def _time(expression: Expression, what: str) -> Expression:
    """Return an argument that is a date or instant; text is read as a datetime."""
    kind = family(expression.type)
    if kind is Family.TIME:
        return expression
    if kind is not Family.TEXT:
        raise Mistake(f"{what} needs a date or an instant, not {expression.type}")
    found = convert(expression, DATETIME)
    if isinstance(found, Literal) and found.value is None and not isinstance(expression, PlainNull):
        raise Mistake(f"{what}: the text is no date: write 'yyyy-mm-dd' or 'yyyy-mm-dd hh:mi:ss'")
    return found


def _part(name: str) -> Build:
    return lambda arguments: Call(name, (_time(arguments[0], name),), BIGINT)


def _unit(expression: Expression, what: str) -> str:
    word = constant_text(expression, f"The unit of {what}").lower()
    if word not in _UNIT_OF:
        raise Mistake(f"{what} has no unit {word[:20]!r}; there are yyyy, mm, dd, hh, mi and ss")
    return _UNIT_OF[word]


def _datediff(arguments: list[Expression]) -> Expression:
    unit = _unit(arguments[2], "datediff") if len(arguments) > 2 else "day"
    one, other = (convert(_time(a, "datediff"), DATETIME) for a in arguments[:2])
    return Call("datediff", (one, other, Literal(unit, STRING)), BIGINT)


def _dateadd(arguments: list[Expression]) -> Expression:
    unit = _unit(arguments[2], "dateadd")
    start = _time(arguments[0], "dateadd")
    if start.type == DATE and unit not in _DAY_UNITS:
        start = convert(start, DATETIME)
    return Call("dateadd", (start, _integer(arguments[1], "The amount"), Literal(unit, STRING)), start.type)


def _days_added(sign: int) -> Build:
    def build(arguments: list[Expression]) -> Expression:
        days = _integer(arguments[1], "The number of days")
        days = days if sign > 0 else arithmetic.negate(days)
        start = convert(_time(arguments[0], "date_add"), DATE)
        return Call("dateadd", (start, days, Literal("day", STRING)), DATE)

    return build


def _datetrunc(arguments: list[Expression]) -> Expression:
    start = _time(arguments[0], "datetrunc")
    return Call("datetrunc", (start, Literal(_unit(arguments[1], "datetrunc"), STRING)), start.type)


def _to_date(arguments: list[Expression]) -> Expression:
    if len(arguments) == 1:
        return convert(_time(arguments[0], "to_date"), DATE)
    written = parse_format(constant_text(arguments[1], "The format of to_date"))
    return Call("parse_time", (arithmetic.text(arguments[0], "to_date"), Literal(written, STRING)), DATETIME)


def _format(name: str, letters: dict[str, str]) -> Build:
    def build(arguments: list[Expression]) -> Expression:
        written = time_format(constant_text(arguments[1], f"The format of {name}"), letters)
        instant = convert(_time(arguments[0], name), DATETIME)
        return Call("format_time", (instant, Literal(written, STRING)), STRING)

    return build


def _to_char(arguments: list[Expression]) -> Expression:
    if len(arguments) == 1:
        return arithmetic.text(arguments[0], "to_char")
    return _format("to_char", ODPS_LETTERS)(arguments)


def _if(arguments: list[Expression]) -> Expression:
    return case([(condition(arguments[0]), arguments[1])], arguments[2])


def _coalesce(arguments: list[Expression]) -> Expression:
    t = common_type(*arguments)
    *first, last = (convert(a, t) for a in arguments)
    return Case(tuple((Not(IsNull(a)), a) for a in first), last, t) if first else last


def _nullif(arguments: list[Expression]) -> Expression:
    return case([(compare(Comparator.EQUAL, *arguments), PlainNull())], arguments[0])


def case(branches: list[tuple[Expression, Expression]], otherwise: Expression) -> Expression:
    """Return a CASE whose values have their common type."""
    t = common_type(*(value for _, value in branches), otherwise)
    return Case(tuple((test, convert(value, t)) for test, value in branches), convert(otherwise, t), t)


def condition(expression: Expression) -> Expression:
    """Return an operand that is a condition. Raises :class:`Mistake` for others."""
    if isinstance(expression, PlainNull) or expression.type == BOOLEAN:
        return convert(expression, BOOLEAN)
    raise Mistake(f"Expecting a condition, not a value of type {expression.type}")


def _same_number(name: str) -> Build:
    def build(arguments: list[Expression]) -> Expression:
        operand = arithmetic.number(arguments[0], name)
        t = operand.type if isinstance(operand.type, Decimal) else DOUBLE
        t = BIGINT if is_integer(operand.type) else t
        return Call(name, (convert(operand, t),), t)

    return build


def _to_whole(name: str) -> Build:
    """``floor`` and ``ceil``: bigint of integers and doubles, a decimal without places of decimals."""

    def build(arguments: list[Expression]) -> Expression:
        operand = arithmetic.number(arguments[0], name)
        if isinstance(operand.type, Decimal):
            precision, scale = operand.type.digits
            return Call(name, (settle(operand),), Decimal(min(_MAX_DIGITS, precision - scale + 1), 0))
        if is_integer(operand.type):
            return convert(operand, BIGINT)
        return Call(name, (convert(operand, DOUBLE),), BIGINT)

    return build


def _round(arguments: list[Expression]) -> Expression:
    operand = arithmetic.number(arguments[0], "round")
    places = Literal(0, BIGINT)
    if len(arguments) > 1:
        places = constant_integer(arguments[1], "The number of places", 0, _MAX_ROUNDING)
    if is_integer(operand.type):
        return convert(operand, BIGINT)
    if not isinstance(operand.type, Decimal):
        return Call("round", (convert(operand, DOUBLE), places), DOUBLE)
    assert isinstance(places.value, int)
    precision, scale = operand.type.digits
    if places.value >= scale:
        return operand
    t = Decimal(min(_MAX_DIGITS, precision - scale + places.value + 1), places.value)
    return Call("round", (settle(operand), places), t)


def _doubles(name: str, result: OdpsType) -> Build:
    def build(arguments: list[Expression]) -> Expression:
        return Call(name, tuple(convert(arithmetic.number(a, name), DOUBLE) for a in arguments), result)

    return build


def _substr(arguments: list[Expression]) -> Expression:
    places = (_integer(a, "The place or length") for a in arguments[1:])
    return Call("substr", (arithmetic.text(arguments[0], "substr"), *places), STRING)


def _pad(name: str) -> Build:
    def build(arguments: list[Expression]) -> Expression:
        length = constant_integer(arguments[1], f"The length of {name}", 0, MAX_PADDED_LENGTH)
        padding = Literal(constant_text(arguments[2], f"The padding of {name}"), STRING)
        if not padding.value:
            raise Mistake(f"The padding of {name} is empty")
        return Call(name, (arithmetic.text(arguments[0], name), length, padding), STRING)

    return build


def _split_part(arguments: list[Expression]) -> Expression:
    separator = constant_text(arguments[1], "The separator")
    if not separator:
        raise Mistake("The separator of split_part is empty")
    which = constant_integer(arguments[2], "The part", 1, MAX_PADDED_LENGTH)
    subject = arithmetic.text(arguments[0], "split_part")
    return Call("split_part", (subject, Literal(separator, STRING), which), STRING)


def _regexp_replace(arguments: list[Expression]) -> Expression:
    pattern, groups = check_pattern(constant_text(arguments[1], "The regular expression"))
    replacement = check_replacement(constant_text(arguments[2], "The replacement"), groups)
    subject = arithmetic.text(arguments[0], "regexp_replace")
    return Call("regexp_replace", (subject, Literal(pattern, STRING), Literal(replacement, STRING)), STRING)


def _regexp_extract(arguments: list[Expression]) -> Expression:
    pattern, groups = check_pattern(constant_text(arguments[1], "The regular expression"))
    group = Literal(1, BIGINT)
    if len(arguments) > 2:
        group = constant_integer(arguments[2], "The group", 0, groups)
    elif groups == 0:
        raise Mistake("regexp_extract takes group 1, but the regular expression has no group")
    subject = arithmetic.text(arguments[0], "regexp_extract")
    return Call("regexp_extract", (subject, Literal(pattern, STRING), group), STRING)


def _from_unixtime(arguments: list[Expression]) -> Expression:
    return Call("from_unixtime", (_integer(arguments[0], "The seconds"),), DATETIME)


def _unix_timestamp(arguments: list[Expression]) -> Expression:
    return Call("unix_timestamp", (convert(_time(arguments[0], "unix_timestamp"), DATETIME),), BIGINT)


def _last_day(arguments: list[Expression]) -> Expression:
    return Call("last_day", (convert(_time(arguments[0], "last_day"), DATE),), DATE)


_MANY = 256
_DEFINED: dict[tuple[str, ...], Function] = {
    # -- text: characters are Unicode code points; integers are taken as their digits
    ("concat",): Function(2, _MANY, arithmetic.concatenate),
    ("upper", "toupper"): Function(1, 1, _texts("upper", STRING)),
    ("lower", "tolower"): Function(1, 1, _texts("lower", STRING)),
    ("length",): Function(1, 1, _texts("length", BIGINT)),
    ("lengthb",): Function(1, 1, _texts("lengthb", BIGINT)),
    ("trim",): Function(1, 2, _texts("trim", STRING)),
    ("ltrim",): Function(1, 2, _texts("ltrim", STRING)),
    ("rtrim",): Function(1, 2, _texts("rtrim", STRING)),
    ("substr", "substring"): Function(2, 3, _substr),
    ("instr",): Function(2, 2, _texts("instr", BIGINT)),
    ("replace",): Function(3, 3, _texts("replace", STRING)),
    ("startswith", "starts_with"): Function(2, 2, _texts("starts_with", BOOLEAN)),
    ("endswith", "ends_with"): Function(2, 2, _texts("ends_with", BOOLEAN)),
    ("reverse",): Function(1, 1, _texts("reverse", STRING)),
    ("lpad",): Function(3, 3, _pad("lpad")),
    ("rpad",): Function(3, 3, _pad("rpad")),
    ("split_part",): Function(3, 3, _split_part),
    ("regexp_replace",): Function(3, 3, _regexp_replace),
    ("regexp_extract",): Function(2, 3, _regexp_extract),
    # -- numbers
    ("abs",): Function(1, 1, _same_number("abs")),
    ("round",): Function(1, 2, _round),
    ("floor",): Function(1, 1, _to_whole("floor")),
    ("ceil", "ceiling"): Function(1, 1, _to_whole("ceil")),
    ("sqrt",): Function(1, 1, _doubles("sqrt", DOUBLE)),
    ("pow", "power"): Function(2, 2, _doubles("pow", DOUBLE)),
    ("isnan",): Function(1, 1, _doubles("isnan", BOOLEAN)),
    ("mod",): Function(2, 2, lambda arguments: arithmetic.mod(*arguments)),
    # -- choices
    ("if",): Function(3, 3, _if),
    ("coalesce",): Function(1, _MANY, _coalesce),
    ("nvl", "ifnull"): Function(2, 2, _coalesce),
    ("nullif",): Function(2, 2, _nullif),
    # -- dates and instants: text is read as a datetime in UTC
    ("year",): Function(1, 1, _part("year")),
    ("quarter",): Function(1, 1, _part("quarter")),
    ("month",): Function(1, 1, _part("month")),
    ("day", "dayofmonth"): Function(1, 1, _part("day")),
    ("hour",): Function(1, 1, _part("hour")),
    ("minute",): Function(1, 1, _part("minute")),
    ("second",): Function(1, 1, _part("second")),
    ("weekofyear",): Function(1, 1, _part("weekofyear")),
    ("weekday",): Function(1, 1, _part("weekday")),
    ("dayofweek",): Function(1, 1, _part("dayofweek")),
    ("dayofyear",): Function(1, 1, _part("dayofyear")),
    ("last_day",): Function(1, 1, _last_day),
    ("datediff",): Function(2, 3, _datediff),
    ("dateadd",): Function(3, 3, _dateadd),
    ("date_add",): Function(2, 2, _days_added(1)),
    ("date_sub",): Function(2, 2, _days_added(-1)),
    ("datetrunc",): Function(2, 2, _datetrunc),
    ("to_date",): Function(1, 2, _to_date),
    ("to_char",): Function(1, 2, _to_char),
    ("date_format",): Function(2, 2, _format("date_format", JAVA_LETTERS)),
    ("from_unixtime",): Function(1, 1, _from_unixtime),
    ("unix_timestamp",): Function(1, 1, _unix_timestamp),
}

#: Functions by every name they have, in lower case.
FUNCTIONS: dict[str, Function] = {name: f for names, f in _DEFINED.items() for name in names}
