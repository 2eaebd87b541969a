"""Typed trees as short text, and the table the tests' predicates are about."""

from __future__ import annotations

from maxlake.protocol.columns import Column
from maxlake.protocol.predicates.parse import parse_predicate
from maxlake.protocol.predicates.tree import (
    And,
    Call,
    Case,
    Cast,
    ColumnValue,
    Comparison,
    Expression,
    In,
    IsNull,
    Like,
    Literal,
    Not,
    Or,
    RegexpLike,
)
from maxlake.protocol.types.text import parse_type

COLUMNS = tuple(
    Column(name, parse_type(text))
    for name, text in (
        ("t", "tinyint"),
        ("h", "smallint"),
        ("i", "int"),
        ("b", "bigint"),
        ("f", "float"),
        ("d", "double"),
        ("m", "decimal(10,2)"),
        ("w", "decimal(38,18)"),
        ("s", "string"),
        ("c", "char(5)"),
        ("v", "varchar(10)"),
        ("o", "boolean"),
        ("da", "date"),
        ("dt", "datetime"),
        ("ts", "timestamp"),
        ("nt", "timestamp_ntz"),
        ("x", "binary"),
        ("j", "json"),
        ("ym", "interval_year_month"),
        ("ar", "array<int>"),
        ("Mixed", "int"),
        ("order", "int"),
        ("date", "date"),
        ("名", "string"),
        ("a$1", "int"),
    )
)
PARTITIONS = (Column("pt", parse_type("string")), Column("n", parse_type("bigint")))


def parse(text: str) -> Expression:
    """Return the predicate over the tests' table, which must not be blank."""
    found = parse_predicate(text, COLUMNS, PARTITIONS)
    assert found is not None
    return found


def show(e: Expression) -> str:  # noqa: C901 - one per node
    """Return a tree as text: columns bare, literals ``value:type``."""
    match e:
        case ColumnValue():
            return e.name
        case Literal():
            return f"{e.value}:{e.type}"
        case Comparison():
            return f"({show(e.left)} {e.operator} {show(e.right)})"
        case And() | Or():
            return f"({f' {type(e).__name__.lower()} '.join(map(show, e.operands))})"
        case Not():
            return f"not {show(e.operand)}"
        case IsNull():
            return f"{show(e.operand)} is null"
        case In():
            return f"{show(e.operand)} in [{', '.join(map(show, e.options))}]"
        case Like():
            return f"{show(e.operand)} like {e.pattern} escape {e.escape}"
        case RegexpLike():
            return f"{show(e.operand)} rlike {e.pattern}"
        case Cast():
            return f"cast({show(e.operand)} as {e.type})"
        case Call():
            return f"{e.function}({', '.join(map(show, e.arguments))}):{e.type}"
        case Case():
            branches = " ".join(f"when {show(test)} then {show(value)}" for test, value in e.branches)
            return f"case {branches} else {show(e.otherwise)} end:{e.type}"
        case _:
            raise AssertionError(f"a node that is not of the contract: {e!r}")
