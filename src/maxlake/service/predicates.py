"""The FilterPredicate of a session: kept as text with the columns it reads, compiled where it is used."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import msgspec

from maxlake.lake.filters import Filter
from maxlake.lake.scans import Selection
from maxlake.lake.tables import StoredColumn, Table

#: Compiled predicates kept: those of the sessions being read.
COMPILED = 256


class SessionPredicate(msgspec.Struct, frozen=True):
    """A predicate as it was understood when the session was created, whatever the table looks like now."""

    text: str
    columns: tuple[StoredColumn, ...]

    def selection(self) -> Selection:
        """Return what a scan needs to evaluate it."""
        return Selection(_compiled(self.text, self.columns), self.columns)


@lru_cache(COMPILED)
def _compiled(text: str, columns: tuple[StoredColumn, ...]) -> Filter:
    return _parsed(text, columns)


def _parsed(text: str, columns: Sequence[StoredColumn]) -> Filter:
    # sqlglot takes half as long to load as the rest of the server together.
    from maxlake.protocol.predicates.parse import parse_predicate  # noqa: PLC0415

    expression = parse_predicate(
        text,
        [column.column for column in columns if not column.partition],
        [column.column for column in columns if column.partition],
    )
    assert expression is not None
    return Filter(expression)


def session_predicate(table: Table, text: str) -> SessionPredicate | None:
    """Read a FilterPredicate; blank text is none. Raises ``InvalidArgument`` (drift.md B.6)."""
    if not text.strip():
        return None
    read = set(_parsed(text, tuple(table.stored.values())).columns)
    return SessionPredicate(text, tuple(column for name, column in table.stored.items() if name in read))
