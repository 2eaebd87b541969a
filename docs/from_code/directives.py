"""Sphinx extension: the directives by which pages name these tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from from_code.errors import client_table, codes_table, groups_table
from from_code.functions import filter_functions, sql_functions
from from_code.libraries import libraries_table
from from_code.limits import limits_table
from from_code.states import session_table, stream_table
from from_code.types import types_table

#: What each directive shows; it gets the directive's words.
TABLES: dict[str, Callable[..., str]] = {
    "types-table": types_table,
    "libraries-table": libraries_table,
    "error-codes-table": codes_table,
    "error-groups-table": groups_table,
    "client-errors-table": client_table,
    "limits-table": limits_table,
    "session-states-table": session_table,
    "stream-states-table": stream_table,
    "filter-functions": filter_functions,
    "sql-functions": sql_functions,
}


class TableDirective(SphinxDirective):
    """Shows the Markdown that ``make`` returns."""

    optional_arguments = 1
    final_argument_whitespace = True
    make: ClassVar[Callable[..., str]]

    def run(self) -> list[nodes.Node]:
        """Return the table's nodes."""
        return self.parse_text_to_nodes(type(self).make(*self.arguments))


def setup(app: Sphinx) -> dict[str, Any]:
    """Name the directives."""
    for name, make in TABLES.items():
        app.add_directive(name, type(name, (TableDirective,), {"make": staticmethod(make)}))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
