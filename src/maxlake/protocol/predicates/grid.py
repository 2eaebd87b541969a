"""Types as grids of exact values, and comparing their values with constants that may lie between them.

``c < 2.5`` for an integer ``c`` is ``c <= 2``, ``c = 300`` for a tinyint is never true, and an instant
compared with a date column becomes a date: no column is converted, nothing overflows, nothing is rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal as Number
from fractions import Fraction

from maxlake.protocol.predicates.tree import (
    And,
    Comparator,
    Comparison,
    Expression,
    IsNull,
    Literal,
    LiteralValue,
    Not,
)
from maxlake.protocol.types.model import Decimal, Kind, OdpsType, Simple

_BITS = {Kind.TINYINT: 8, Kind.SMALLINT: 16, Kind.INT: 32, Kind.BIGINT: 64}
_FIRST_DAY, _LAST_DAY = date(1, 1, 1).toordinal(), date(9999, 12, 31).toordinal()
_EPOCH = date(1970, 1, 1).toordinal()
_MILLIS_PER_DAY = 86_400_000
_BOOLEAN = Simple(Kind.BOOLEAN)


@dataclass(frozen=True)
class Grid:
    """The values ``low * step … high * step`` of a type: numbers in ones, times in nanoseconds since 1970."""

    type: OdpsType
    step: Fraction
    low: int
    high: int
    scale: int = 0

    @property
    def is_integer(self) -> bool:
        """Whether these are the values of an integer type."""
        return isinstance(self.type, Simple) and self.type.kind in _BITS

    def value(self, count: int) -> LiteralValue:
        """Return the value ``count * step`` as literals hold it."""
        if isinstance(self.type, Decimal):
            return Number((int(count < 0), tuple(map(int, str(abs(count)))), -self.scale))
        if self.type == Simple(Kind.DATE):
            return date.fromordinal(_EPOCH + count)
        return count

    def count(self, value: int | Number | date) -> Fraction:
        """Return how many steps a literal's value of this type is from 0."""
        if isinstance(value, date):
            return Fraction(value.toordinal() - _EPOCH)
        return Fraction(value) / self.step if isinstance(value, Number) else Fraction(value)


def grid_of(t: OdpsType) -> Grid:
    """Return the grid of an integer, decimal, date or instant type."""
    if isinstance(t, Decimal):
        precision, scale = t.digits
        most = 10**precision - 1
        return Grid(t, Fraction(1, 10**scale), -most, most, scale)
    assert isinstance(t, Simple)
    if t.kind in _BITS:
        end = 2 ** (_BITS[t.kind] - 1)
        return Grid(t, Fraction(1), -end, end - 1)
    first, last = _FIRST_DAY - _EPOCH, _LAST_DAY - _EPOCH
    if t.kind is Kind.DATE:
        return Grid(t, Fraction(_MILLIS_PER_DAY * 1_000_000), first, last)
    if t.kind is Kind.DATETIME:
        return Grid(t, Fraction(1_000_000), first * _MILLIS_PER_DAY, (last + 1) * _MILLIS_PER_DAY - 1)
    assert t.kind in (Kind.TIMESTAMP, Kind.TIMESTAMP_NTZ)
    # Without the two ends of 64 bits, which are no instants (types.md §2).
    return Grid(t, Fraction(1), -(2**63) + 2, 2**63 - 2)


def compare_exactly(operator: Comparator, left: Expression, constant: Fraction) -> Expression:
    """Return ``left operator constant``, ``constant`` being any number, or any instant in nanoseconds."""
    grid = grid_of(left.type)
    exact = constant / grid.step
    count = min(exact.numerator // exact.denominator, grid.high)

    def against(relation: Comparator, place: int) -> Comparison:
        return Comparison(relation, left, Literal(grid.value(place), left.type))

    if count == exact and count >= grid.low:
        return against(operator, count)
    below = count < grid.low
    match operator:
        case Comparator.LESS | Comparator.LESS_EQUAL:
            return against(Comparator.LESS, grid.low) if below else against(Comparator.LESS_EQUAL, count)
        case Comparator.GREATER | Comparator.GREATER_EQUAL:
            return (
                against(Comparator.GREATER_EQUAL, grid.low) if below else against(Comparator.GREATER, count)
            )
        case Comparator.EQUAL:
            return never(left)
        case Comparator.NOT_EQUAL:
            return Not(never(left))
        case Comparator.NULL_SAFE_EQUAL:
            return Literal(False, _BOOLEAN)


def never(operand: Expression) -> Expression:
    """Return what is FALSE for every value of ``operand`` and NULL for NULL."""
    return And((IsNull(operand), Literal(None, _BOOLEAN)))
