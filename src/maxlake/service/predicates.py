"""The FilterPredicate of a session: kept as text with the columns it reads, compiled where it is used."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from maxlake.lake.filters import Filter
from maxlake.lake.scans import Selection
from maxlake.lake.tables import StoredColumn, Table
from maxlake.service.weighted_cache import WeightedCache

#: Words and signs all compiled predicates that are kept have together: each takes about a KiB.
COMPILED_TOKENS = 100_000
#: What a column of a predicate, and a KiB of its text, weigh beside them.
_COLUMN_TOKENS = 2
_TEXT_TOKEN = 1024

_TOKEN = re.compile(r"\w+|[^\w\s]")
_Key = tuple[str, tuple[StoredColumn, ...]]


class SessionPredicate(msgspec.Struct, frozen=True):
    """A predicate as it was understood when the session was created, whatever the table looks like now."""

    text: str
    columns: tuple[StoredColumn, ...]

    def selection(self) -> Selection:
        """Return what a scan needs to evaluate it."""
        compiled = _compiled.get((self.text, self.columns), lambda: _parsed(self.text, self.columns))
        return Selection(compiled, self.columns)


def _tokens(key: _Key, _: Filter) -> int:
    text, columns = key
    words = sum(1 for _ in _TOKEN.finditer(text))
    return 1 + words + len(text) // _TEXT_TOKEN + _COLUMN_TOKENS * len(columns)


_compiled: WeightedCache[_Key, Filter] = WeightedCache(COMPILED_TOKENS, _tokens)


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
    """Read a FilterPredicate; blank text is none. Raises ``InvalidArgument`` (drift.md B.6).

    A long one takes seconds: no transaction is to wait for it.
    """
    if not text.strip():
        return None
    whole = _parsed(text, tuple(table.stored.values()))
    read = set(whole.columns)
    predicate = SessionPredicate(text, tuple(column for name, column in table.stored.items() if name in read))
    _compiled.get((text, predicate.columns), lambda: whole)
    return predicate
