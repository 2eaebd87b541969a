"""Splits: every row in one of them, and none much larger than wanted."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from maxlake.lake.files import PlannedFile
from maxlake.lake.parts import ROW_GROUP_ROWS
from maxlake.lake.plans import Plan
from maxlake.lake.splits import split_by_size

MIB = 1024 * 1024
#: Rows and their width: from empty files to few rows that are wide, and many that are not.
FILES = st.tuples(st.integers(0, 3 * ROW_GROUP_ROWS), st.integers(1, 2 * MIB), st.sampled_from("ab"))


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
    assert len(ends) == 39
