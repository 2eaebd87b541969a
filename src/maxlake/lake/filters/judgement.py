"""What a predicate can come to, judged from bounds alone: may a file, row group or partition be skipped?

Every answer errs on the side of reading: an outcome counts as possible unless the bounds rule it out.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from maxlake.lake.filters.bounds import Bounds
from maxlake.lake.filters.monotone import NotMonotoneError, cast_end
from maxlake.lake.filters.patterns import like_prefix
from maxlake.protocol.predicates.tree import (
    And,
    Cast,
    ColumnValue,
    Comparator,
    Comparison,
    Expression,
    In,
    IsNull,
    Like,
    Literal,
    Not,
    Or,
)
from maxlake.protocol.types.model import Kind, OdpsType, Simple


class Outcomes(msgspec.Struct, frozen=True):
    """Which of the three truth values a condition can have."""

    true: bool = True
    false: bool = True
    null: bool = True


class Extent(msgspec.Struct, frozen=True):
    """The values an expression can have: from ``low`` to ``high`` (None: no limit), and NULL or not."""

    low: Any = None
    high: Any = None
    null: bool = True
    value: bool = True

    def may_precede(self, other: Extent, *, equal: bool) -> bool:
        """Whether some value here can be below (or equal to) some value there."""
        if self.low is None or other.high is None:
            return True
        return self.low <= other.high if equal else self.low < other.high

    def may_meet(self, other: Extent) -> bool:
        """Whether some value here can equal some value there."""
        return self.may_precede(other, equal=True) and other.may_precede(self, equal=True)

    def is_point(self) -> bool:
        """Whether there is but one value."""
        return self.low is not None and self.low == self.high


Known = Mapping[str, Bounds]
#: What a condition can be, and what values an expression can have, over rows within bounds by column.
Judge = Callable[[Known], Outcomes]
Measure = Callable[[Known], Extent]

_ANY, _ANYTHING = Outcomes(), Extent()
_NULL_ONLY = Outcomes(true=False, false=False)
_BOOLEAN = Simple(Kind.BOOLEAN)


def judge(condition: Expression) -> Judge:  # noqa: PLR0911 - one a node
    """Prepare a condition to be judged by bounds."""
    match condition:
        case And(operands=operands):
            return _all_of([judge(part) for part in operands])
        case Or(operands=operands):
            # Not one false but all are: the contrary of AND over the contraries.
            every = _all_of([_contrary(judge(part)) for part in operands])
            return _contrary(every)
        case Not(operand=operand):
            return _contrary(judge(operand))
        case IsNull(operand=operand):
            return _is_null(measure(operand))
        case Comparison(operator=operator, left=left, right=right):
            return _compared(operator, measure(left), measure(right))
        case In():
            return _among(condition)
        case Like():
            return _like(condition)
        case ColumnValue() | Literal():
            return _truth(measure(condition))
        case _:
            return lambda _: _ANY


def _all_of(parts: list[Judge]) -> Judge:
    def judged(known: Known) -> Outcomes:
        found = [part(known) for part in parts]
        return Outcomes(
            all(part.true for part in found),
            any(part.false for part in found),
            any(part.null for part in found),
        )

    return judged


def _contrary(inner: Judge) -> Judge:
    def judged(known: Known) -> Outcomes:
        found = inner(known)
        return Outcomes(found.false, found.true, found.null)

    return judged


def _is_null(operand: Measure) -> Judge:
    def judged(known: Known) -> Outcomes:
        found = operand(known)
        return Outcomes(found.null, found.value, null=False)

    return judged


def _truth(operand: Measure) -> Judge:
    """Judge a boolean that is a column or constant."""

    def judged(known: Known) -> Outcomes:
        found = operand(known)
        return Outcomes(
            found.value and found.high is not False, found.value and found.low is not True, found.null
        )

    return judged


def _compared(operator: Comparator, left: Measure, right: Measure) -> Judge:
    return lambda known: _comparison(operator, left(known), right(known))


def _comparison(operator: Comparator, left: Extent, right: Extent) -> Outcomes:
    if not (left.value and right.value):
        if operator is not Comparator.NULL_SAFE_EQUAL:
            return _NULL_ONLY
        return Outcomes(left.null and right.null, left.value or right.value, null=False)
    null = left.null or right.null
    meet = left.may_meet(right)
    differ = not (left.is_point() and right.is_point() and left.low == right.low)
    match operator:
        case Comparator.EQUAL | Comparator.NOT_EQUAL:
            true, false = meet, differ
        case Comparator.NULL_SAFE_EQUAL:
            return Outcomes(meet or (left.null and right.null), differ or null, null=False)
        case Comparator.LESS | Comparator.GREATER_EQUAL:
            true, false = left.may_precede(right, equal=False), right.may_precede(left, equal=True)
        case Comparator.GREATER | Comparator.LESS_EQUAL:
            true, false = right.may_precede(left, equal=False), left.may_precede(right, equal=True)
    negated = operator in (Comparator.NOT_EQUAL, Comparator.GREATER_EQUAL, Comparator.LESS_EQUAL)
    return Outcomes(false, true, null) if negated else Outcomes(true, false, null)


def _among(condition: In) -> Judge:
    operand = measure(condition.operand)
    values: list[Any] = [option.value for option in condition.options if option.value is not None]
    open_end = any(isinstance(value, float) and math.isnan(value) for value in values)
    values = [] if open_end else sorted(values)
    null_option = any(option.value is None for option in condition.options)

    def judged(known: Known) -> Outcomes:
        found = operand(known)
        if not found.value:
            return _NULL_ONLY
        place = 0 if found.low is None else bisect_left(values, found.low)
        within = place < len(values) and (found.high is None or values[place] <= found.high)
        return Outcomes(open_end or within, not null_option, found.null or null_option)

    return judged


def _like(condition: Like) -> Judge:
    operand = measure(condition.operand)
    prefix, whole = like_prefix(condition)

    def judged(known: Known) -> Outcomes:
        found = operand(known)
        if not found.value:
            return _NULL_ONLY
        below = found.high is not None and found.high < prefix
        start = None if found.low is None else found.low if whole else found.low[: len(prefix)]
        return Outcomes(not below and not (start is not None and start > prefix), True, found.null)

    return judged


def measure(expression: Expression) -> Measure:
    """Prepare an expression to be measured by bounds."""
    match expression:
        case Literal():
            point = _point(expression)
            return lambda _: point
        case ColumnValue(name=name):
            return lambda known: _column(known.get(name))
        case Cast(operand=operand):
            inner, source, target = measure(operand), operand.type, expression.type
            return lambda known: _cast(inner(known), source, target)
        case _:
            return _of_condition(judge(expression)) if expression.type == _BOOLEAN else lambda _: _ANYTHING


def _point(literal: Literal) -> Extent:
    value = literal.value
    if value is None:
        return Extent(value=False)
    if isinstance(value, float) and math.isnan(value):
        return Extent(null=False)
    return Extent(value, value, null=False)


def _column(known: Bounds | None) -> Extent:
    if known is None:
        return _ANYTHING
    return Extent(known.minimum, known.maximum, known.null_count != 0, known.value_count != 0)


def _of_condition(condition: Judge) -> Measure:
    def measured(known: Known) -> Extent:
        found = condition(known)
        return Extent(not found.false, found.true, found.null, found.true or found.false)

    return measured


def _cast(operand: Extent, source: OdpsType, target: OdpsType) -> Extent:
    if not operand.value:
        return operand
    if operand.low is None or operand.high is None:
        return _ANYTHING
    try:
        low = cast_end(operand.low, source, target, upper=False)
        high = cast_end(operand.high, source, target, upper=True)
    except NotMonotoneError:
        return _ANYTHING
    return Extent(low, high, operand.null)
