"""Conditions of other engines as far as the service can judge them in the same way.

What is left out makes the service send more rows, never fewer: the engine's own condition is applied to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

import pyarrow as pa
import pyarrow.types as pat

Value = bool | int | str | date


class Operator(StrEnum):
    """How a column is compared."""

    EQUAL = "="
    NOT_EQUAL = "<>"
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="


@dataclass(frozen=True)
class Comparison:
    """A column beside a value of its own type."""

    column: str
    operator: Operator
    value: Value


@dataclass(frozen=True)
class NullTest:
    """Whether a column is NULL, or is not."""

    column: str
    is_null: bool


@dataclass(frozen=True)
class Unknown:
    """Anything else: it may be true."""


@dataclass(frozen=True)
class Both:
    """A conjunction."""

    left: Condition
    right: Condition


@dataclass(frozen=True)
class Either:
    """A disjunction."""

    left: Condition
    right: Condition


Condition = Comparison | NullTest | Unknown | Both | Either


def is_comparable(dtype: pa.DataType, value: Value | None = None) -> bool:
    """Whether engines and service compare values of this type alike, and ``value``, if given, is one of it.

    Floats are not: of NaN everyone thinks differently. Instants are not: each has its own units.
    """
    kinds: tuple[tuple[bool, type], ...] = (
        (pat.is_boolean(dtype), bool),
        (pat.is_integer(dtype), int),
        (pat.is_string(dtype), str),
        (pat.is_date32(dtype), date),
    )
    return any(is_kind and (value is None or type(value) is kind) for is_kind, kind in kinds)


def to_sql(condition: Condition) -> str | None:
    """Return, in ODPS SQL, what holds wherever ``condition`` does; ``None`` if nothing can be said."""
    match condition:
        case Comparison(column, operator, value):
            literal = _literal(value)
            return None if literal is None else f"`{column}` {operator} {literal}"
        case NullTest(column, is_null):
            return f"`{column}` is {'' if is_null else 'not '}null"
        case Unknown():
            return None
        case Both(left, right):
            parts = [part for part in (to_sql(left), to_sql(right)) if part is not None]
            return f"({' and '.join(parts)})" if parts else None
        case Either(left, right):
            one, other = to_sql(left), to_sql(right)
            return None if one is None or other is None else f"({one} or {other})"


def _literal(value: Value) -> str | None:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case date():
            return f"date '{value.isoformat()}'"
        case str():
            if not value.isprintable():
                return None
            escaped = value.replace("\\", "\\\\").replace("'", "\\'")
            return f"'{escaped}'"
