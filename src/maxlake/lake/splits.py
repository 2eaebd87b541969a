"""Splits: where a plan is cut. A split is a range of the canonical order, named by the row at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from maxlake.lake.files import PlannedFile
from maxlake.lake.partitions import PartitionKey
from maxlake.lake.parts import ROW_GROUP_ROWS
from maxlake.lake.plans import Plan

#: A row group so little larger than a split is one all the same, rather than one and a crumb.
TOLERANCE = 1.25


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
        if held + file.raw_size <= target:
            row += file.record_count
            held += max(file.raw_size, min(file.record_count, 1))
            continue
        for rows, size in _steps(file, target):
            if held and held + size > target:
                ends.append(row)
                held, files = 0, 1
            row += rows
            held += max(size, 1)
    return [*ends, row] if held else ends


def _groups(file: PlannedFile) -> Iterator[tuple[int, int]]:
    """Yield rows and bytes of each row group; those of files of unknown origin are taken to be like ours."""
    if file.groups:
        yield from file.groups
        return
    for start in range(0, file.record_count, ROW_GROUP_ROWS):
        rows = min(ROW_GROUP_ROWS, file.record_count - start)
        yield rows, file.raw_size * rows // file.record_count


def _steps(file: PlannedFile, target: int) -> Iterator[tuple[int, int]]:
    """Yield rows and bytes between places where a split may end: row groups, or even parts of large ones."""
    for rows, size in _groups(file):
        most = max(int(rows * TOLERANCE * target) // max(size, 1), 1)
        parts = max(round(size / target), -(-rows // most))
        step = min(-(-rows // parts), most)
        for start in range(0, rows, step):
            taken = min(step, rows - start)
            yield taken, size * taken // rows


def split_by_count(plan: Plan, count: int) -> list[int]:
    """Cut a non-empty plan into exactly ``count`` splits of even bytes; the last may be empty."""
    if not plan.record_count:
        return []
    ends: list[int] = []
    total, done, row = plan.raw_size, 0, 0
    for rows, size in (group for file in plan.files for group in _groups(file)):
        while len(ends) < count - 1:
            wanted = total * (len(ends) + 1) // count - done
            if wanted >= size:
                break
            ends.append(row + rows * wanted // size)
        done += size
        row += rows
    return [*ends, *[row] * (count - len(ends))]


def split_by_bucket(plan: Plan, buckets: Sequence[int]) -> list[int]:
    """Cut a plan in the order of its buckets (:func:`plans.by_bucket`) into one split for each of them."""
    rows = dict.fromkeys(buckets, 0)
    for file in plan.files:
        assert file.bucket is not None
        rows[file.bucket] += file.record_count
    ends: list[int] = []
    for bucket in buckets:
        ends.append((ends[-1] if ends else 0) + rows[bucket])
    return ends


def split_range(ends: Sequence[int], index: int) -> tuple[int, int]:
    """Return the rows [start, stop) of the split with this index."""
    return (ends[index - 1] if index else 0), ends[index]
