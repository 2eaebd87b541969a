"""Comparisons: both sides brought to one type, constants to the exact place they have in it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal as Number
from fractions import Fraction

from maxlake.protocol.predicates.conversions import (
    DATE,
    DATETIME,
    DOUBLE,
    STRING,
    Family,
    common_number,
    common_type,
    comparable,
    convert,
    family,
    is_exact,
    nanos_of,
    settle,
)
from maxlake.protocol.predicates.errors import Mistake
from maxlake.protocol.predicates.grid import compare_exactly
from maxlake.protocol.predicates.literals import PlainNull, PlainNumber, number_in_text, read_time
from maxlake.protocol.predicates.tree import (
    BOOLEAN,
    Call,
    Comparator,
    Comparison,
    Expression,
    In,
    Literal,
    Or,
)
from maxlake.protocol.types.model import Decimal, OdpsType

_MIRRORED = {
    Comparator.LESS: Comparator.GREATER,
    Comparator.LESS_EQUAL: Comparator.GREATER_EQUAL,
    Comparator.GREATER: Comparator.LESS,
    Comparator.GREATER_EQUAL: Comparator.LESS_EQUAL,
}
#: Whole numbers up to here are exact as doubles.
_EXACT_DOUBLE = 2**53
_WIDEST_WHOLE = Decimal(38, 0)


def compare(operator: Comparator, left: Expression, right: Expression) -> Expression:
    """Return a typed comparison. Raises :class:`Mistake` for types that do not compare.

    * numbers: constants exactly; integers and decimals as the decimal that holds both (at most 38 digits,
      else double); all others as doubles;
    * text with numbers: as doubles, but as decimal(38,0) with a whole number beyond 2**53;
    * text with dates and instants: as those; a text constant must be one, of UTC;
    * dates and instants: as the finer of both.
    """
    if _is_constant(left) and not _is_constant(right):
        return compare(_MIRRORED.get(operator, operator), right, left)
    if isinstance(left, PlainNull) or isinstance(right, PlainNull):
        t = common_type(left, right)
        return Comparison(operator, convert(left, t), convert(right, t))
    how = _COMPARED.get(frozenset(family(comparable(operand.type)) for operand in (left, right)))
    if how is None:
        raise Mistake(f"{left.type} does not compare with {right.type}; write a CAST")
    return how(operator, left, right)


def _is_constant(expression: Expression) -> bool:
    return isinstance(expression, PlainNull | PlainNumber | Literal)


def _exact_number(expression: Expression) -> Fraction | None:
    """Return the value of a constant that is exact: a plain number, an integer or a decimal."""
    if isinstance(expression, PlainNumber):
        return Fraction(expression.value)
    if isinstance(expression, Literal) and isinstance(expression.value, int | Number):
        return Fraction(expression.value) if is_exact(expression.type) else None
    return None


def _numbers(operator: Comparator, left: Expression, right: Expression) -> Expression:
    constant = _exact_number(right)
    if constant is not None and is_exact(left.type):
        return compare_exactly(operator, settle(left), constant)
    t = common_number(left.type, right.type)
    return Comparison(operator, convert(left, t), convert(right, t))


def _text_with_number(operator: Comparator, left: Expression, right: Expression) -> Expression:
    if family(left.type) is Family.NUMBER:
        if isinstance(right, Literal) and isinstance(right.value, str):
            return _numbers(operator, left, number_in_text(right.value))
        operator, left, right = _MIRRORED.get(operator, operator), right, left
    if isinstance(left, Literal) and isinstance(left.value, str):
        return compare(operator, number_in_text(left.value), right)
    constant = _exact_number(right)
    beyond = constant is not None and constant.denominator == 1 and abs(constant) > _EXACT_DOUBLE
    if beyond and constant is not None and abs(constant) < 10**38:
        return compare_exactly(operator, convert(left, _WIDEST_WHOLE), constant)
    return Comparison(operator, convert(left, DOUBLE), convert(right, DOUBLE))


def _text_with_time(operator: Comparator, left: Expression, right: Expression) -> Expression:
    if family(left.type) is Family.TEXT and not _is_constant(left):
        return _times(operator, convert(left, right.type), right)
    if family(left.type) is Family.TEXT:
        operator, left, right = _MIRRORED.get(operator, operator), right, left
    if not (isinstance(right, Literal) and isinstance(right.value, str)):
        return _times(operator, left, convert(right, left.type))
    nanos = read_time(right.value)
    if nanos is None:
        raise Mistake(
            f"{right.value[:40]!r} is no {left.type}: write 'yyyy-mm-dd' or 'yyyy-mm-dd hh:mi:ss[.fffffffff]'"
        )
    return compare_exactly(operator, left, Fraction(nanos))


def _times(operator: Comparator, left: Expression, right: Expression) -> Expression:
    if isinstance(right, Literal) and right.value is not None:
        return compare_exactly(operator, left, Fraction(nanos_of(right)))
    t = common_type(left, right)
    return Comparison(operator, _widen(left, t), _widen(right, t))


def _widen(expression: Expression, t: OdpsType) -> Expression:
    """Widen for a comparison: instants a timestamp cannot hold are before, or after, all it can."""
    if expression.type in (DATE, DATETIME) and t not in (DATE, DATETIME):
        return Call("nearest_timestamp", (convert(expression, DATETIME),), t)
    return convert(expression, t)


def _texts(operator: Comparator, left: Expression, right: Expression) -> Expression:
    return Comparison(operator, convert(left, STRING), convert(right, STRING))


_COMPARED: dict[frozenset[Family], Callable[[Comparator, Expression, Expression], Expression]] = {
    frozenset((Family.BOOLEAN,)): Comparison,
    frozenset((Family.NUMBER,)): _numbers,
    frozenset((Family.TEXT,)): _texts,
    frozenset((Family.TIME,)): _times,
    frozenset((Family.TEXT, Family.NUMBER)): _text_with_number,
    frozenset((Family.TEXT, Family.TIME)): _text_with_time,
}


def between(operand: Expression, low: Expression, high: Expression) -> tuple[Expression, Expression]:
    """Return the two comparisons BETWEEN stands for."""
    return compare(Comparator.GREATER_EQUAL, operand, low), compare(Comparator.LESS_EQUAL, operand, high)


def among(operand: Expression, options: list[Expression]) -> Expression:
    """Return IN: options of one type together, options of others and whole expressions apart."""
    comparable(operand.type)
    grouped: dict[Expression, list[Literal]] = {}
    apart: dict[Expression, None] = {}
    nulls = 0
    for option in options:
        if isinstance(option, PlainNull):
            nulls += 1
            continue
        equal = compare(Comparator.EQUAL, operand, option)
        match equal:
            case Comparison(Comparator.EQUAL, left, Literal() as right) if not isinstance(left, Literal):
                grouped.setdefault(left, []).append(right)
            case _:
                apart[equal] = None
    if nulls:
        first = next(iter(grouped), settle(operand))
        grouped.setdefault(first, []).append(Literal(None, first.type))
    found: list[Expression] = [
        In(left, tuple(dict.fromkeys(literals)))
        if len(literals) > 1
        else Comparison(Comparator.EQUAL, left, literals[0])
        for left, literals in grouped.items()
    ]
    found += apart
    return found[0] if len(found) == 1 else Or(tuple(found))


def is_truth(operand: Expression, value: bool) -> Expression:
    """Return IS TRUE or IS FALSE. Raises :class:`Mistake` if the operand is not a condition."""
    if operand.type != BOOLEAN and not isinstance(operand, PlainNull):
        raise Mistake(f"IS TRUE and IS FALSE need a boolean, not {operand.type}")
    return Comparison(Comparator.NULL_SAFE_EQUAL, convert(operand, BOOLEAN), Literal(value, BOOLEAN))
