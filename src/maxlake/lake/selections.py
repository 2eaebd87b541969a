"""Selected rows of a plan, counted: where the n-th of them lies (drift.md B.5)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path

import msgspec

from maxlake.lake.plans import Plan, Slice
from maxlake.lake.scans import Selection, count
from maxlake.protocol.errors import BusyError, ErrorCode

#: Asks whether what takes long is to be given up.
Stopped = Callable[[], bool]


class CountedSelection(msgspec.Struct, frozen=True, array_like=True):
    """For every row group with selected rows: its first row in the plan's canonical order, and how many."""

    starts: tuple[int, ...]
    selected: tuple[int, ...]

    @property
    def record_count(self) -> int:
        """Selected rows of the plan."""
        return sum(self.selected)

    def slices(self, plan: Plan, start: int) -> tuple[Iterator[Slice], int]:
        """Return slices from the row group of selected row ``start`` on, and selected rows to skip in it."""
        ends = list(accumulate(self.selected))
        index = bisect_right(ends, start)
        if index == len(ends):
            return iter(()), 0
        return plan.slices(self.starts[index], plan.record_count), start - ends[index] + self.selected[index]


def count_selected(data: Path, plan: Plan, selection: Selection, stopped: Stopped) -> CountedSelection:
    """Evaluate a filter on every row of a plan: that can take minutes.

    Raises ``ServiceUnavailable`` within a row group after ``stopped`` says so.
    """
    starts: list[int] = []
    selected: list[int] = []
    row = 0
    for rows, wanted in count(data, plan.slices(0, plan.record_count), selection):
        if stopped():
            raise BusyError(
                ErrorCode.SERVICE_UNAVAILABLE, "counting the rows was broken off; repeat the request"
            )
        if wanted:
            starts.append(row)
            selected.append(wanted)
        row += rows
    return CountedSelection(tuple(starts), tuple(selected))
