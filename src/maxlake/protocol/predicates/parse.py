"""FilterPredicate text to a typed condition over a table's columns (wire.md §4.4)."""

from __future__ import annotations

from collections.abc import Sequence

from maxlake.protocol.columns import Column
from maxlake.protocol.predicates.check import Checker
from maxlake.protocol.predicates.errors import refusal
from maxlake.protocol.predicates.grammar import parse_condition
from maxlake.protocol.predicates.tree import ColumnValue, Expression


def parse_predicate(
    text: str, columns: Sequence[Column], partition_columns: Sequence[Column]
) -> Expression | None:
    """Return the typed condition, None for blank text.

    Raises BadRequestError InvalidArgument, with line and column, for everything that is not wholly
    understood: other grammar, unknown columns and functions, types that do not fit. As all that is
    accepted is evaluated, FilterPredicateFallback makes no difference (drift.md B.6).
    """
    if not text.strip():
        return None
    named = [ColumnValue(column.name, column.type) for column in columns]
    named += [ColumnValue(column.name, column.type, partition=True) for column in partition_columns]
    try:
        return Checker(text, {column.name.lower(): column for column in named}).condition(
            parse_condition(text)
        )
    except RecursionError as error:
        raise refusal(text, 0, "The predicate is nested too deeply") from error
