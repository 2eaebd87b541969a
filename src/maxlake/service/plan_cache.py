"""Decoded read sessions, kept for the next TableRead: a plan of 10,000 files takes milliseconds to decode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maxlake.service.weighted_cache import WeightedCache

if TYPE_CHECKING:
    from maxlake.service.read_sessions import ReadSession

#: Entries (files, splits, row groups, columns) all cached sessions may hold together: about 64 MB of
#: objects.
CAPACITY = 200_000
#: Bytes of a predicate's text that count as an entry.
_TEXT_ENTRY = 256


class PlanCache(WeightedCache[str, "ReadSession"]):
    """Sessions by their ids."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        super().__init__(capacity, lambda _, session: _entries(session))


def _entries(session: ReadSession) -> int:
    counted = 0 if session.counted is None else len(session.counted.starts)
    columns = len(session.columns) + len(session.table_schema.data_columns)
    text = 0 if session.predicate is None else len(session.predicate.text) // _TEXT_ENTRY
    return 1 + len(session.plan.files) + len(session.ends) + len(session.buckets) + counted + columns + text
