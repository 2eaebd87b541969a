"""Splits: every row in one of them, and none much larger than wanted."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxlake.lake import commits, definitions, plans, snapshots
from maxlake.lake.database import Database
from maxlake.lake.files import PlannedFile
from maxlake.lake.lake import Lake
from maxlake.lake.parts import ROW_GROUP_ROWS, Upload, storage_schema
from maxlake.lake.plans import Plan, Wanted
from maxlake.lake.scans import decode
from maxlake.lake.splits import split_by_count, split_by_size, split_range
from maxlake.lake.tables import Table, TableOptions
from maxlake.protocol.columns import Column, TableSchema
from maxlake.protocol.partitions import parse_partition_filter
from maxlake.protocol.types.text import parse_type

EVERYTHING = Wanted(parse_partition_filter([], ()))
MIB = 1024 * 1024
#: Rows and their width: from empty files to few rows that are wide, and many that are not.
FILES = st.tuples(st.integers(0, 3 * ROW_GROUP_ROWS), st.integers(1, 2 * MIB), st.sampled_from("ab"))


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    opened = Lake.open(Database.sqlite(tmp_path / "lake.sqlite"), tmp_path / "data")
    yield opened
    opened.close()


@pytest.fixture
def table(lake: Lake) -> Table:
    columns = TableSchema((Column("s", parse_type("string")),), ())
    with lake.database.write() as connection:
        return definitions.create_table(connection, "default", "t", columns, TableOptions(), "me")


def plan_of(files: list[tuple[int, int, str]]) -> Plan:
    return Plan.of(1, (PlannedFile("f", count, count * width, (key,)) for count, width, key in files))


def raw_size(plan: Plan, start: int, stop: int) -> float:
    size, first = 0.0, 0
    for file in plan.files:
        rows = min(stop, first + file.record_count) - max(start, first)
        if rows > 0:
            size += file.raw_size * rows / file.record_count
        first += file.record_count
    return size


@given(st.lists(FILES, max_size=5), st.integers(4 * MIB, 256 * MIB), st.booleans(), st.integers(0, 2))
def test_no_split_is_much_larger_than_wanted(
    files: list[tuple[int, int, str]], target: int, cross_partition: bool, max_files: int
) -> None:
    plan = plan_of(files)
    ends = split_by_size(plan, target, cross_partition=cross_partition, max_files=max_files)
    assert ends == sorted(set(ends))
    assert (ends or [0])[-1] == plan.record_count
    for start, stop in pairwise([0, *ends]):
        assert raw_size(plan, start, stop) <= 1.25 * target


def test_narrow_rows_are_cut_between_row_groups() -> None:
    plan = plan_of([(10 * ROW_GROUP_ROWS, 8, "a")])
    ends = split_by_size(plan, 3 * MIB, cross_partition=True, max_files=0)
    assert ends == [3 * ROW_GROUP_ROWS, 6 * ROW_GROUP_ROWS, 9 * ROW_GROUP_ROWS, 10 * ROW_GROUP_ROWS]


def test_wide_rows_are_cut_within_row_groups() -> None:
    plan = plan_of([(100_000, 100 * 1024, "a")])
    ends = split_by_size(plan, 256 * MIB, cross_partition=True, max_files=0)
    assert len(ends) == 38


def test_files_a_little_larger_than_wanted_leave_no_crumbs() -> None:
    plan = plan_of([(8000, 265, "a")] * 5)
    assert split_by_size(plan, 2 * MIB, cross_partition=True, max_files=0) == [
        8000,
        16000,
        24000,
        32000,
        40000,
    ]


def test_splits_of_a_skewed_file_are_even(lake: Lake, table: Table) -> None:
    """Row groups are weighed each: the last tenth of the rows has nearly all of the bytes."""
    with Upload(lake.data, table, "u") as upload:
        for text in [*[""] * 36, *["x" * 1000] * 4]:
            upload.write(pa.RecordBatch.from_pydict({"s": [text] * 25_000}, schema=storage_schema(table)))
        parts = upload.finish()
    with lake.database.write() as connection:
        commits.commit(connection, table, parts)
        plan = plans.plan(lake, connection, table, EVERYTHING, snapshots.latest(connection))
    (file,) = plan.files
    assert sum(size for _, size in file.groups) == plan.raw_size
    target = 10 * MIB
    for ends in (
        split_by_size(plan, target, cross_partition=True, max_files=0),
        split_by_count(plan, plan.raw_size // target),
    ):
        sizes = [true_size(lake, table, plan, split_range(ends, index)) for index in range(len(ends))]
        assert sum(sizes) == pytest.approx(plan.raw_size, rel=0.01)
        # One row group has both kinds of rows, which are not told apart within it.
        assert max(sizes) <= 1.25 * target + max(size for _, size in file.groups)
        assert sum(size > 1.25 * target for size in sizes) <= 1


def true_size(lake: Lake, table: Table, plan: Plan, rows: tuple[int, int]) -> int:
    columns = tuple(table.stored.values())
    return sum(batch.nbytes for batch in decode(lake.data, plan.slices(*rows), columns))
