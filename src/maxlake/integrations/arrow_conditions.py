"""Conditions of pyarrow, which DuckDB hands to what it scans, read from the form in which they are pickled.

pyarrow has no other way to look into one. What is not understood is not pushed down.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from enum import StrEnum
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from maxlake.integrations.conditions import (
    Both,
    Comparison,
    Condition,
    Either,
    NullTest,
    Operator,
    Unknown,
    is_comparable,
)

#: A step of the pickled form: calls and their ends, and what they are called with.
_STEP = re.compile(r"^(call|end|field_ref|literal|options): '(.*)'$", re.MULTILINE)
_METADATA = "-- schema metadata --"
_OPERATORS = {
    "equal": Operator.EQUAL,
    "not_equal": Operator.NOT_EQUAL,
    "less": Operator.LESS,
    "less_equal": Operator.LESS_OR_EQUAL,
    "greater": Operator.GREATER,
    "greater_equal": Operator.GREATER_OR_EQUAL,
}
_JOINTS = {"and_kleene": Both, "or_kleene": Either}


class _Mark(StrEnum):
    """What is among the arguments of a function, and none."""

    END = "end"
    OPTIONS = "options"


def condition_of(expression: pc.Expression, schema: pa.Schema) -> Condition:
    """Return what ``expression`` asks of the columns of ``schema``."""
    try:
        return _read(expression, schema)
    except (pa.ArrowException, LookupError, StopIteration, ValueError):
        return Unknown()


def _read(expression: pc.Expression, schema: pa.Schema) -> Condition:
    _, (pickled,) = expression.__reduce__()
    literals = pa.ipc.open_file(pickled).get_batch(0)
    _, _, steps = literals.schema.to_string(truncate_metadata=False).partition(_METADATA)
    left = iter(_STEP.findall(steps))
    tree = _tree(left, literals)
    if next(left, None) is not None:
        raise ValueError("the pickled form was not understood to its end")
    return _condition(tree, schema)


def _tree(steps: Iterator[tuple[str, str]], literals: pa.RecordBatch) -> Any:
    """Return the next node: a function's name with its arguments, a column's name, or a value in a list.

    The options of functions are passed over: of those that ``_condition`` knows they are about NaN only.
    """
    kind, value = next(steps)
    if kind == "field_ref":
        return value
    if kind == "literal":
        return [literals.column(int(value))[0].as_py()]
    if kind != "call":
        return _Mark(kind)
    arguments: list[Any] = []
    while (argument := _tree(steps, literals)) is not _Mark.END:
        if argument is not _Mark.OPTIONS:
            arguments.append(argument)
    return value, arguments


def _condition(node: Any, schema: pa.Schema) -> Condition:
    match node:
        case (str(name), [left, right]) if name in _JOINTS:
            return _JOINTS[name](_condition(left, schema), _condition(right, schema))
        case (str(name), [str(column), [bool() | int() | str() | date() as value]]) if name in _OPERATORS:
            if is_comparable(schema.field(column).type, value):
                return Comparison(column, _OPERATORS[name], value)
        case ("is_null" | "is_valid" as name, [str(column)]) if is_comparable(schema.field(column).type):
            return NullTest(column, name == "is_null")
        case _:
            pass
    return Unknown()
