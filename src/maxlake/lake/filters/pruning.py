"""What a predicate can come to, judged from bounds alone: may a file, row group or partition be skipped?

Every answer errs on the side of reading: an outcome counts as possible unless the bounds rule it out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True)
class Outcomes:
    """Which of the three truth values a condition can have."""

    true: bool = True
    false: bool = True
    null: bool = True


@dataclass(frozen=True)
class Extent:
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


_ANY = Outcomes()
_NULL_ONLY = Outcomes(true=False, false=False)


def outcomes(condition: Expression, bounds: Mapping[str, Bounds]) -> Outcomes:  # noqa: PLR0911 - one a node
    """Return what ``condition`` can be over rows within ``bounds``."""
    match condition:
        case And():
            parts = [outcomes(part, bounds) for part in condition.operands]
            return Outcomes(
                all(part.true for part in parts),
                any(part.false for part in parts),
                any(part.null for part in parts),
            )
        case Or():
            parts = [outcomes(part, bounds) for part in condition.operands]
            return Outcomes(
                any(part.true for part in parts),
                all(part.false for part in parts),
                any(part.null for part in parts),
            )
        case Not():
            inner = outcomes(condition.operand, bounds)
            return Outcomes(inner.false, inner.true, inner.null)
        case IsNull():
            operand = extent(condition.operand, bounds)
            return Outcomes(operand.null, operand.value, null=False)
        case Comparison():
            return _compared(
                condition.operator, extent(condition.left, bounds), extent(condition.right, bounds)
            )
        case In():
            return _among(
                extent(condition.operand, bounds), [extent(option, bounds) for option in condition.options]
            )
        case Like():
            return _like(condition, extent(condition.operand, bounds))
        case ColumnValue() | Literal() if condition.type == Simple(Kind.BOOLEAN):
            found = extent(condition, bounds)
            return Outcomes(
                found.value and found.high is not False, found.value and found.low is not True, found.null
            )
        case _:
            return _ANY


def _compared(operator: Comparator, left: Extent, right: Extent) -> Outcomes:  # noqa: PLR0911
    values = left.value and right.value
    null = left.null or right.null
    meet = values and left.may_meet(right)
    differ = values and not (left.is_point() and right.is_point() and left.low == right.low)
    less = values and left.may_precede(right, equal=False)
    greater = values and right.may_precede(left, equal=False)
    match operator:
        case Comparator.EQUAL:
            return Outcomes(meet, differ, null)
        case Comparator.NOT_EQUAL:
            return Outcomes(differ, meet, null)
        case Comparator.LESS:
            return Outcomes(less, values and right.may_precede(left, equal=True), null)
        case Comparator.LESS_EQUAL:
            return Outcomes(values and left.may_precede(right, equal=True), greater, null)
        case Comparator.GREATER:
            return Outcomes(greater, values and left.may_precede(right, equal=True), null)
        case Comparator.GREATER_EQUAL:
            return Outcomes(values and right.may_precede(left, equal=True), less, null)
        case Comparator.NULL_SAFE_EQUAL:
            return Outcomes(meet or (left.null and right.null), differ or null, null=False)


def _among(operand: Extent, options: list[Extent]) -> Outcomes:
    if not operand.value:
        return _NULL_ONLY
    found = any(option.value and operand.may_meet(option) for option in options)
    return Outcomes(found, True, operand.null or any(option.null for option in options))


def _like(like: Like, operand: Extent) -> Outcomes:
    if not operand.value:
        return _NULL_ONLY
    prefix, whole = like_prefix(like)
    if whole:
        return Outcomes(operand.may_meet(Extent(prefix, prefix)), True, operand.null)
    below = operand.high is not None and operand.high < prefix
    above = operand.low is not None and operand.low[: len(prefix)] > prefix
    return Outcomes(not below and not above, True, operand.null)


def extent(  # noqa: PLR0911 - one a node
    expression: Expression, bounds: Mapping[str, Bounds]
) -> Extent:
    """Return the values ``expression`` can have over rows within ``bounds``."""
    match expression:
        case Literal(value=None):
            return Extent(value=False)
        case Literal(value=float(value)) if math.isnan(value):
            return Extent(null=False)
        case Literal(value=value):
            return Extent(value, value, null=False)
        case ColumnValue():
            return _column(bounds.get(expression.name))
        case Cast():
            return _cast(extent(expression.operand, bounds), expression.operand.type, expression.type)
        case _:
            if expression.type != Simple(Kind.BOOLEAN):
                return Extent()
            found = outcomes(expression, bounds)
            return Extent(not found.false, found.true, found.null, found.true or found.false)


def _column(known: Bounds | None) -> Extent:
    if known is None:
        return Extent()
    return Extent(known.minimum, known.maximum, known.null_count != 0, known.value_count != 0)


def _cast(operand: Extent, source: OdpsType, target: OdpsType) -> Extent:
    if not operand.value:
        return operand
    if operand.low is None or operand.high is None:
        return Extent()
    try:
        low = cast_end(operand.low, source, target, upper=False)
        high = cast_end(operand.high, source, target, upper=True)
    except NotMonotoneError:
        return Extent()
    return Extent(low, high, operand.null)
