"""The functions that filters and statements may call."""

from __future__ import annotations

from collections.abc import Iterable

from from_code.markdown import code
from maxlake.protocol.predicates.functions import FUNCTIONS as OF_FILTERS
from maxlake.protocol.sql.functions import FUNCTIONS as OF_SQL


def filter_functions() -> str:
    """Return the names of the functions of filters."""
    return _listed(OF_FILTERS)


def sql_functions() -> str:
    """Return the names of the functions of statements."""
    return _listed(OF_SQL)


def _listed(names: Iterable[str]) -> str:
    return " ".join(code(name) for name in sorted(names))
