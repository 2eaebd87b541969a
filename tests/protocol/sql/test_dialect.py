"""The dialect never returns a raw Command, nor guesses."""

from __future__ import annotations

import pytest
import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError

from maxlake.protocol.sql.dialect import Odps
from maxlake.protocol.sql.nodes import LifecycleProperty


def test_the_dialect_is_known_by_name():
    assert type(sqlglot.Dialect.get_or_raise("odps")) is Odps


def test_lifecycle_is_a_clause_of_its_own():
    tree = sqlglot.parse_one("create table t (a int) lifecycle 3", dialect=Odps)
    found = tree.find(LifecycleProperty)
    assert found is not None
    assert found.this == exp.Literal.number(3)


@pytest.mark.parametrize("text", ["interval_day_time", "vector(float, 3)", "struct<`a b`:array<variant>>"])
def test_types_are_kept_as_written(text: str):
    tree = sqlglot.parse_one(f"create table t (a {text} not null)", dialect=Odps)
    kind = tree.find(exp.DataType)
    assert kind is not None
    assert kind.args["kind"] == text


@pytest.mark.parametrize(
    "text",
    [
        "add jar x",
        "msck repair t",
        "alter table t archive",
        "create table t (a int) foo",
        "drop package p",
        "explain select 1",
    ],
)
def test_what_would_be_a_command_is_an_error(text: str):
    with pytest.raises(ParseError):
        sqlglot.parse(text, dialect=Odps)
