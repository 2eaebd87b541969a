"""Plans: the files a read session pins, in the canonical row order every split and offset refers to.

The canonical order is (file, row) with files ordered by partition and then by their first row id, which
compaction keeps. A split is a range of it (design.md §5).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import attrgetter

import msgspec
from sqlalchemy import Connection

from maxlake.lake import changes, foreign
from maxlake.lake.files import ListedFile, PlannedFile
from maxlake.lake.filters import Filter
from maxlake.lake.lake import Lake
from maxlake.lake.pruning import pruned
from maxlake.lake.tables import Table
from maxlake.protocol.partitions import PartitionFilter

_RECORD_COUNT = attrgetter("record_count")
_RAW_SIZE = attrgetter("raw_size")


@dataclass(frozen=True)
class Slice:
    """Rows [``start``, ``start + count``) of one file, those that are gone not counted.

    ``row_id_start`` is the id of the file's first row, for those who ask for ids.
    """

    file: PlannedFile
    start: int
    count: int
    row_id_start: int = 0


class Plan(msgspec.Struct, frozen=True, array_like=True):
    """The pinned files of one session, as of ``snapshot_id``; ``raw_size`` in bytes of Arrow data."""

    snapshot_id: int
    files: tuple[PlannedFile, ...]
    record_count: int
    raw_size: int

    @classmethod
    def of(cls, snapshot_id: int, files: Iterable[PlannedFile]) -> Plan:
        """Return the plan of these files, in this order."""
        files = tuple(files)
        rows, size = sum(map(_RECORD_COUNT, files)), sum(map(_RAW_SIZE, files))
        return cls(snapshot_id, files, rows, size)

    def slices(self, start: int, stop: int) -> Iterator[Slice]:
        """Yield the parts of files that hold rows [``start``, ``stop``) of the canonical order."""
        ends = list(accumulate(map(_RECORD_COUNT, self.files)))
        index = bisect_right(ends, start)
        while start < stop and index < len(self.files):
            file = self.files[index]
            first = ends[index] - file.record_count
            count = min(stop, ends[index]) - start
            if count:
                yield Slice(file, start - first, count)
            start, index = ends[index], index + 1


@dataclass(frozen=True)
class Wanted:
    """What of a table is wanted: partitions, buckets (None is all), and the rows a filter picks."""

    partitions: PartitionFilter
    buckets: frozenset[int] | None = None
    filter: Filter | None = None


def plan(lake: Lake, connection: Connection, table: Table, wanted: Wanted, snapshot_id: int) -> Plan:
    """List the files of ``table`` that may hold wanted rows at a kept snapshot.

    Raises ``ChangedElsewhere``, as the others do, for what other programs did to the rows in between.
    """
    foreign.check_rows(connection, table, snapshot_id, snapshot_id)
    listed = lake.file_lists.at(connection, table, snapshot_id)
    return Plan.of(snapshot_id, _chosen(lake, connection, table, listed, wanted))


def plan_inserted(
    lake: Lake, connection: Connection, table: Table, wanted: Wanted, first: int, last: int
) -> Plan:
    """List the files whose rows were inserted after snapshot ``first`` and up to ``last``."""
    foreign.check_rows(connection, table, first, last)
    listed = changes.inserted(connection, table, first, last)
    return Plan.of(last, _chosen(lake, connection, table, listed, wanted))


def plan_changes(
    lake: Lake, connection: Connection, table: Table, wanted: Wanted, first: int, last: int
) -> Plan:
    """List the files that came or went after snapshot ``first`` and up to ``last``, oldest change first."""
    foreign.check_rows(connection, table, first, last)
    listed = changes.between(connection, table, first, last)
    return Plan.of(last, _chosen(lake, connection, table, listed, wanted))


def _chosen(
    lake: Lake, connection: Connection, table: Table, listed: Sequence[ListedFile], wanted: Wanted
) -> tuple[PlannedFile, ...]:
    """Return the wanted files, in the order given."""
    if not wanted.partitions.takes_everything:
        names = table.partition_keys
        matching = {
            key
            for key in {entry.key for entry in listed}
            if wanted.partitions.matches(dict(zip(names, key, strict=True)))
        }
        listed = [entry for entry in listed if entry.key in matching]
    if wanted.buckets is not None:
        listed = [entry for entry in listed if _bucket(entry.file) in wanted.buckets]
    if wanted.filter is not None:
        listed = pruned(connection, table, listed, wanted.filter, lake.file_bounds)
    return tuple(entry.file for entry in listed if entry.file.record_count)


def _bucket(file: PlannedFile) -> int:
    if file.bucket is None:
        raise foreign.refused(
            file.path,
            "wrote this file of a clustered table: its bucket is not known",
            "read without bucket ids, in mode Size or Parallelism",
        )
    return file.bucket


def by_bucket(plan: Plan) -> Plan:
    """Return a plan of a clustered table in the order of its buckets."""
    return Plan.of(plan.snapshot_id, sorted(plan.files, key=_bucket))
