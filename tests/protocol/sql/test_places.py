"""The places of names in the text for DuckDB: those of the statement, and nothing else in it."""

import re

import pytest

from maxlake.protocol.sql import places
from maxlake.protocol.sql.model import Query
from maxlake.protocol.sql.statements import parse_statement

MARK = re.compile(r"/\*[0-9]+:[0-9]+\*/")
STATEMENT = """select t.`größe` as x, 'a"b"/*9:9*/' as y,
  count(*) over (partition by t.k) from s.t as t
  join u on t.id = u.id where exists (select 1 from v where v.id = t.id)"""


@pytest.fixture
def query() -> Query:
    found = parse_statement(STATEMENT)
    assert isinstance(found, Query)
    return found


def test_marks_are_all_that_is_added(query: Query) -> None:
    plain = query.tree.sql(dialect="duckdb", comments=False, identify=True)
    literal = "'a\"b\"/*9:9*/'"
    assert MARK.sub("", query.text.replace(literal, "?")) == plain.replace(literal, "?")


def test_every_name_is_found_where_it_was_written(query: Query) -> None:
    data, lines = query.text.encode(), STATEMENT.splitlines()
    found: set[str] = set()
    for match in re.finditer(rb'"([^"]+)"/\*', data):
        name = match[1].decode()
        if name == "b":  # in a string, where DuckDB looks for no names
            continue
        place = places.find(query.text, match.start(), f'There is no "{name}"')
        assert place is not None
        line, column = place
        assert lines[line - 1][column - 1 :].lstrip("`").startswith(name)
        assert places.find(query.text, match.start(), "There is no other") is None
        found.add(name)
    assert found == {"größe", "x", "y", "k", "t", "id", "u", "v"}


@pytest.mark.parametrize("offset", [-9, 0, 10_000])
def test_where_no_name_is_there_is_no_place(query: Query, offset: int) -> None:
    assert places.find(query.text, offset, 'There is no "x"') is None
