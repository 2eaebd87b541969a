"""A comparison with a constant says of every value what exact arithmetic says."""

from __future__ import annotations

import operator
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxlake.protocol.predicates.grid import compare_exactly, grid_of
from maxlake.protocol.predicates.tree import (
    And,
    ColumnValue,
    Comparator,
    Comparison,
    Expression,
    IsNull,
    Literal,
    Not,
)
from maxlake.protocol.types.model import OdpsType
from maxlake.protocol.types.text import parse_type

MEANING: dict[Comparator, Callable[[Any, Any], bool]] = {
    Comparator.EQUAL: operator.eq,
    Comparator.NULL_SAFE_EQUAL: operator.eq,
    Comparator.NOT_EQUAL: operator.ne,
    Comparator.LESS: operator.lt,
    Comparator.LESS_EQUAL: operator.le,
    Comparator.GREATER: operator.gt,
    Comparator.GREATER_EQUAL: operator.ge,
}
TYPES = [
    parse_type(text)
    for text in [
        "tinyint",
        "smallint",
        "int",
        "bigint",
        "decimal(4,2)",
        "decimal(38,18)",
        "date",
        "datetime",
        "timestamp",
    ]
]


def truth(e: Expression, value: object) -> bool | None:
    """Evaluate in three values, the column being ``value``."""
    match e:
        case Literal():
            assert e.value is None or isinstance(e.value, bool)
            return e.value
        case IsNull():
            return value is None
        case Not():
            found = truth(e.operand, value)
            return None if found is None else not found
        case And():
            found = [truth(part, value) for part in e.operands]
            return False if False in found else None if None in found else True
        case Comparison(how, ColumnValue(), Literal() as right):
            if value is None:
                return False if how is Comparator.NULL_SAFE_EQUAL else None
            return MEANING[how](value, right.value)
        case _:
            raise AssertionError(e)


@st.composite
def cases(draw: st.DrawFn):
    t = draw(st.sampled_from(TYPES))
    grid = grid_of(t)
    count = draw(st.integers(grid.low, grid.high) | st.sampled_from([grid.low, grid.high]))
    near = st.fractions(-2, 2, max_denominator=8).map(lambda away: (count + away) * grid.step)
    far = st.sampled_from([grid.low - 1, grid.low, grid.high, grid.high + 1]).map(lambda n: n * grid.step)
    return t, count, draw(near | far | st.fractions())


@pytest.mark.parametrize("how", Comparator)
@settings(max_examples=80, deadline=None)
@given(case=cases())
def test_comparing_exactly(how: Comparator, case: tuple[OdpsType, int, Fraction]):
    t, count, constant = case
    grid = grid_of(t)
    found = compare_exactly(how, ColumnValue("x", t), constant)
    assert truth(found, grid.value(count)) is MEANING[how](count * grid.step, constant)
    assert truth(found, None) is (False if how is Comparator.NULL_SAFE_EQUAL else None)


@pytest.mark.parametrize("t", TYPES, ids=str)
def test_values_of_a_grid(t: OdpsType):
    grid = grid_of(t)
    for count in (grid.low, -1, 0, 1, grid.high):
        value = grid.value(count)
        assert value is not None and not isinstance(value, bool | float | str | bytes)
        assert grid.count(value) == Fraction(count)
