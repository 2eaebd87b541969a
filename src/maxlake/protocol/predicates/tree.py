"""A predicate as a typed tree: every node knows its ODPS type, every conversion is written out.

Nodes are values. Truth is three-valued: a row is wanted where the predicate is TRUE, neither where it is
FALSE nor where it is NULL.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from maxlake.protocol.types.model import Kind, OdpsType, Simple

BOOLEAN = Simple(Kind.BOOLEAN)

#: A literal's value: dates as they are, instants as ticks since 1970 in the storage unit of their type
#: (datetime milliseconds, timestamp and timestamp_ntz nanoseconds), None for NULL.
LiteralValue = None | bool | int | float | Decimal | str | bytes | date


class Expression:
    """Base of all nodes. ``type`` is what it evaluates to."""

    type: OdpsType

    def inputs(self) -> tuple[Expression, ...]:
        """The expressions directly inside this one."""
        return ()


@dataclass(frozen=True)
class ColumnValue(Expression):
    """The value of a data or partition column; ``name`` as the table spells it."""

    name: str
    type: OdpsType
    partition: bool = False


@dataclass(frozen=True)
class Literal(Expression):
    """A constant of the type it is compared or computed as."""

    value: LiteralValue
    type: OdpsType


class Comparator(StrEnum):
    """How two values of one type compare. NaN equals itself and is above every number (drift.md B.6)."""

    EQUAL = "="
    NOT_EQUAL = "!="
    LESS = "<"
    LESS_EQUAL = "<="
    GREATER = ">"
    GREATER_EQUAL = ">="
    NULL_SAFE_EQUAL = "<=>"


@dataclass(frozen=True)
class Comparison(Expression):
    """Two operands of the same type compared."""

    operator: Comparator
    left: Expression
    right: Expression
    type = BOOLEAN

    def inputs(self) -> tuple[Expression, ...]:
        """Both operands."""
        return self.left, self.right


@dataclass(frozen=True)
class And(Expression):
    """True where all operands are, two or more of them."""

    operands: tuple[Expression, ...]
    type = BOOLEAN

    def inputs(self) -> tuple[Expression, ...]:
        """The operands."""
        return self.operands


@dataclass(frozen=True)
class Or(Expression):
    """True where one operand is, two or more of them."""

    operands: tuple[Expression, ...]
    type = BOOLEAN

    def inputs(self) -> tuple[Expression, ...]:
        """The operands."""
        return self.operands


@dataclass(frozen=True)
class Not(Expression):
    """The contrary; NULL stays NULL."""

    operand: Expression
    type = BOOLEAN

    def inputs(self) -> tuple[Expression, ...]:
        """The operand."""
        return (self.operand,)


@dataclass(frozen=True)
class IsNull(Expression):
    """Whether a value is NULL; never NULL itself. IS NOT NULL is its :class:`Not`."""

    operand: Expression
    type = BOOLEAN

    def inputs(self) -> tuple[Expression, ...]:
        """The operand."""
        return (self.operand,)


@dataclass(frozen=True)
class In(Expression):
    """Whether a value is among literals of its type; NULL where it is not and a literal is NULL."""

    operand: Expression
    options: tuple[Literal, ...]
    type = BOOLEAN

    def inputs(self) -> tuple[Expression, ...]:
        """The operand and the options."""
        return self.operand, *self.options


@dataclass(frozen=True)
class Like(Expression):
    """LIKE with ``%`` and ``_``; ``escape`` takes a character's meaning away."""

    operand: Expression
    pattern: str
    escape: str = "\\"
    type = BOOLEAN

    def inputs(self) -> tuple[Expression, ...]:
        """The operand."""
        return (self.operand,)


@dataclass(frozen=True)
class RegexpLike(Expression):
    """RLIKE: whether a regular expression (RE2's language) matches anywhere in a text."""

    operand: Expression
    pattern: str
    type = BOOLEAN

    def inputs(self) -> tuple[Expression, ...]:
        """The operand."""
        return (self.operand,)


@dataclass(frozen=True)
class Case(Expression):
    """The value of the first branch whose condition is TRUE, else ``otherwise``; all of one type."""

    branches: tuple[tuple[Expression, Expression], ...]
    otherwise: Expression
    type: OdpsType

    def inputs(self) -> tuple[Expression, ...]:
        """Conditions, values and the value otherwise."""
        return (*(part for branch in self.branches for part in branch), self.otherwise)


@dataclass(frozen=True)
class Cast(Expression):
    """A conversion, written or implied. What cannot be converted is NULL, as in ODPS."""

    operand: Expression
    type: OdpsType

    def inputs(self) -> tuple[Expression, ...]:
        """The operand."""
        return (self.operand,)


@dataclass(frozen=True)
class Call(Expression):
    """A function of the allow-list, or arithmetic, by its canonical name in lower case."""

    function: str
    arguments: tuple[Expression, ...]
    type: OdpsType

    def inputs(self) -> tuple[Expression, ...]:
        """The arguments."""
        return self.arguments


def walk(expression: Expression) -> Iterator[Expression]:
    """Yield an expression and everything inside it."""
    yield expression
    for inner in expression.inputs():
        yield from walk(inner)


def conjuncts(expression: Expression) -> tuple[Expression, ...]:
    """Return the conditions all of which must be TRUE for the whole to be."""
    if isinstance(expression, And):
        return tuple(part for operand in expression.operands for part in conjuncts(operand))
    return (expression,)


def columns(expression: Expression) -> tuple[ColumnValue, ...]:
    """Return the columns a predicate reads, each once, in order of appearance."""
    found = (node for node in walk(expression) if isinstance(node, ColumnValue))
    return tuple(dict.fromkeys(found))
