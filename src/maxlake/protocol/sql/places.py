"""Where in a statement the names in its DuckDB text were written.

After every name of the user's there stands a comment of ours with its line and column, so that the place of
an error in that text leads to the one the user knows.
"""

from __future__ import annotations

import re

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB

from maxlake.protocol.errors import Place

_NAME = re.compile(rb'"(?P<name>(?:[^"]|"")+)"/\*(?P<line>\d+):(?P<column>\d+)\*/')


class PlacedDuckDB(DuckDB):
    """DuckDB's SQL with the places of names."""

    class Generator(DuckDB.Generator):
        """DuckDB's, with a comment after each name that has a place."""

        def identifier_sql(self, expression: exp.Identifier) -> str:
            """Write a name."""
            place = place_of(expression)
            mark = "" if place is None else f"/*{place[0]}:{place[1]}*/"
            return f"{super().identifier_sql(expression)}{mark}"


def place_of(node: exp.Expr) -> Place | None:
    """Return line and column of a name or call as it was written; None for what is none, or was made."""
    meta = node.meta
    if "line" not in meta:
        return None
    return meta["line"], max(1, meta["col"] - meta["end"] + meta["start"])


def find(text: str, offset: int, message: str) -> Place | None:
    """Return the place of the name at a byte of DuckDB's text, if it is one the message speaks of."""
    found = _NAME.match(text.encode(), max(0, offset))
    if found is None or f'"{found["name"].decode()}"' not in message:
        return None
    return int(found["line"]), int(found["column"])
