"""Plans: the files a read session pins, in the canonical row order every split and offset refers to.

The canonical order is (file, row) with files ordered by partition and then by id. A split is a range of
it, so Size, Parallelism and RowOffset differ only in where the cuts are (design.md §5).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import itemgetter

import msgspec
from sqlalchemy import Connection, and_, select

from maxlake.lake import ducklake, partitions
from maxlake.lake.commits import file_detail
from maxlake.lake.partitions import PartitionKey
from maxlake.lake.parts import ROW_GROUP_ROWS
from maxlake.lake.tables import Table
from maxlake.protocol.errors import ErrorCode, InternalError
from maxlake.protocol.partitions import PartitionFilter

#: How much larger than its compressed file a file of unknown origin is taken to be.
GUESSED_COMPRESSION = 4


class PlannedFile(msgspec.Struct, frozen=True, array_like=True):
    """One pinned file. ``path`` is relative to the data directory; ``raw_size`` in bytes of Arrow data."""

    path: str
    record_count: int
    raw_size: int
    key: PartitionKey


@dataclass(frozen=True)
class Slice:
    """Rows [``start``, ``start + count``) of one file."""

    path: str
    start: int
    count: int


class Plan(msgspec.Struct, frozen=True, array_like=True):
    """The pinned files of one session, as of ``snapshot_id``."""

    snapshot_id: int
    files: tuple[PlannedFile, ...]

    @property
    def record_count(self) -> int:
        """Rows of the plan."""
        return sum(file.record_count for file in self.files)

    @property
    def raw_size(self) -> int:
        """Bytes of the plan as Arrow data."""
        return sum(file.raw_size for file in self.files)

    def slices(self, start: int, stop: int) -> Iterator[Slice]:
        """Yield the parts of files that hold rows [``start``, ``stop``) of the canonical order."""
        ends = list(accumulate(file.record_count for file in self.files))
        index = bisect_right(ends, start)
        while start < stop and index < len(self.files):
            file = self.files[index]
            first = ends[index] - file.record_count
            count = min(stop, ends[index]) - start
            if count:
                yield Slice(file.path, start - first, count)
            start, index = ends[index], index + 1


def plan(connection: Connection, table: Table, wanted: PartitionFilter, snapshot_id: int) -> Plan:
    """List the files of ``table`` that hold the wanted partitions at a snapshot."""
    file = ducklake.data_file
    _refuse_foreign_changes(connection, table)
    pinned = and_(
        file.c.begin_snapshot <= snapshot_id,
        (file.c.end_snapshot.is_(None)) | (file.c.end_snapshot > snapshot_id),
    )
    rows = connection.execute(
        select(
            file.c.data_file_id,
            file.c.path,
            file.c.record_count,
            file.c.file_size_bytes,
            file_detail.c.raw_size,
        )
        .outerjoin_from(file, file_detail, file_detail.c.data_file_id == file.c.data_file_id)
        .where(file.c.table_id == table.table_id, pinned)
    ).all()
    keys = partitions.file_keys(connection, table, pinned)
    names, directory = table.partition_keys, str(table.path)
    matching = {
        key
        for key in {keys.get(row[0], ()) for row in rows}
        if wanted.matches(dict(zip(names, key, strict=True)))
    }
    chosen: list[tuple[PartitionKey, int, PlannedFile]] = []
    for file_id, path, record_count, file_size, raw_size in rows:
        key = keys.get(file_id, ())
        if key in matching:
            size = raw_size or file_size * GUESSED_COMPRESSION
            chosen.append((key, file_id, PlannedFile(f"{directory}/{path}", record_count, size, key)))
    chosen.sort(key=itemgetter(0, 1))
    return Plan(snapshot_id, tuple(file for _, _, file in chosen))


def _refuse_foreign_changes(connection: Connection, table: Table) -> None:
    delete = ducklake.delete_file
    found = connection.execute(
        select(delete.c.delete_file_id)
        .where(delete.c.table_id == table.table_id, delete.c.end_snapshot.is_(None))
        .limit(1)
    ).first()
    if found:
        raise InternalError(
            ErrorCode.INTERNAL_SERVER_ERROR,
            "another program deleted rows of this table; this version cannot read such tables",
            where=table.full_name,
        )


def split_by_size(plan: Plan, target: int, *, cross_partition: bool, max_files: int) -> list[int]:
    """Cut a plan into splits of about ``target`` raw bytes; return the row at which each ends.

    Cuts fall on row groups where these are not larger than the target. ``max_files`` 0 means no limit
    (drift.md B.23).
    """
    ends: list[int] = []
    row = held = files = 0
    previous: PartitionKey | None = None
    for file in plan.files:
        apart = not cross_partition and previous is not None and file.key != previous
        if held and (apart or (max_files and files >= max_files)):
            ends.append(row)
            held = files = 0
        previous, files = file.key, files + 1
        for rows in _steps(file, target):
            size = file.raw_size * rows // max(file.record_count, 1)
            if held and held + size > target:
                ends.append(row)
                held, files = 0, 1
            row += rows
            held += max(size, 1)
    return [*ends, row] if held else ends


def _steps(file: PlannedFile, target: int) -> Iterator[int]:
    """Yield the rows between two places where a split may end: row groups, or less when rows are wide."""
    fitting = file.record_count * target // max(file.raw_size, 1)
    step = min(ROW_GROUP_ROWS, max(fitting, 1))
    full, rest = divmod(file.record_count, step)
    yield from [step] * full
    if rest:
        yield rest


def split_by_count(plan: Plan, count: int) -> list[int]:
    """Cut a non-empty plan into exactly ``count`` splits of even bytes; the last may be empty."""
    if not plan.record_count:
        return []
    ends: list[int] = []
    total, done, row = plan.raw_size, 0, 0
    for file in plan.files:
        while len(ends) < count - 1:
            wanted = total * (len(ends) + 1) // count - done
            if wanted >= file.raw_size:
                break
            ends.append(row + file.record_count * wanted // file.raw_size)
        done += file.raw_size
        row += file.record_count
    return [*ends, *[row] * (count - len(ends))]


def split_range(ends: Sequence[int], index: int) -> tuple[int, int]:
    """Return the rows [start, stop) of the split with this index."""
    return (ends[index - 1] if index else 0), ends[index]
