"""Merges: fewer files, the same rows with the same ids in the same order, at every version (design.md §4)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from maxlake.lake import changes, commits, compaction, definitions, ducklake, evolution, partitions, tables
from maxlake.lake.cleanup import Pin
from maxlake.lake.compaction import GROWTH, MAX_FILES, MIN_FILES, PREFIX, ROW_ID, TARGET_BYTES, choose
from maxlake.lake.plans import Plan
from maxlake.protocol.columns import Column
from maxlake.protocol.types.text import parse_type
from tests.budget import in_proportion
from tests.lake.duckdb_reader import DuckdbReader
from tests.lake.merging import NAME, Place
from tests.lake.test_conformance import Catalogs, DuckdbView
from tests.postgresql import Postgresql

FEW = MIN_FILES * 2


@pytest.fixture
def catalog(database: Postgresql | None) -> Iterator[tuple[Place, DuckdbView]]:
    with Catalogs(database).new_lake() as (lake, view):
        yield Place(lake), view


@pytest.fixture
def place(catalog: tuple[Place, DuckdbView]) -> Place:
    return catalog[0]


def fill(place: Place, files: int = FEW, rows: int = 10) -> None:
    for number in range(files):
        place.append(range(number * rows, (number + 1) * rows), ["a", "b"] * (rows // 2))


def writable(view: DuckdbView) -> str:
    return view.options.replace("READ_ONLY, ", "").replace("READ_ONLY", "CREATE_IF_NOT_EXISTS false")


def seen_by_duckdb(reader: DuckdbReader, view: DuckdbView, version: int) -> list[str]:
    sql = f'SELECT rowid, * FROM lake."default".{NAME} AT (VERSION => {version})'
    return sorted(map(repr, reader.query(view.catalog, sql, view.options).to_pylist()))


def sizes() -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, 27).map(lambda bits: 2**bits) | st.integers(1, TARGET_BYTES), max_size=60)


@given(sizes())
def test_chosen_runs_are_worth_a_merge(files: list[int]) -> None:
    runs = sorted(choose(files), key=lambda run: run.start)
    assert all(one.stop <= other.start for one, other in pairwise(runs))
    for run in runs:
        chosen = files[run.start : run.stop]
        assert len(chosen) >= MIN_FILES
        assert GROWTH * max(chosen) <= sum(chosen) <= TARGET_BYTES


def test_many_equal_files_are_merged_as_far_as_one_transaction_goes() -> None:
    runs = list(choose([1000] * (2 * MAX_FILES + MIN_FILES)))
    assert sorted(len(run) for run in runs) == [MIN_FILES, MAX_FILES, MAX_FILES]


def test_a_row_is_rewritten_as_often_as_a_file_doubles() -> None:
    """Files of one size come one by one; after each the worthwhile merges are done."""
    files: list[tuple[int, int]] = []  # size, and how often its rows were rewritten
    for _ in range(2000):
        files.append((1, 0))
        for run in sorted(choose([size for size, _ in files]), key=lambda run: run.start, reverse=True):
            some = files[run.start : run.stop]
            files[run.start : run.stop] = [(sum(size for size, _ in some), 1 + max(n for _, n in some))]
    assert max(rewritten for _, rewritten in files) <= 11  # 2**11 > 2000
    assert len(files) <= 11 * MIN_FILES


def test_a_merge_keeps_rows_order_ids_and_versions(
    catalog: tuple[Place, DuckdbView], duckdb_reader: DuckdbReader
) -> None:
    place, view = catalog
    fill(place)
    last = place.latest
    before = {version: seen_by_duckdb(duckdb_reader, view, version) for version in range(1, last + 1)}
    ids = place.ids()
    assert len(place.plan().files) == 2 * FEW
    assert place.compact() == 2
    assert [file.path.rpartition("/")[2].startswith(PREFIX) for file in place.plan().files] == [True] * 2
    assert place.ids() == ids
    for version in range(1, place.latest + 1):
        assert seen_by_duckdb(duckdb_reader, view, version) == before[min(version, last)]
    assert place.compact() == 0


def test_merged_files_are_merged_again_with_the_ids_they_carry(
    catalog: tuple[Place, DuckdbView], duckdb_reader: DuckdbReader
) -> None:
    place, view = catalog
    fill(place)
    place.compact()
    fill(place)
    before, ids = seen_by_duckdb(duckdb_reader, view, place.latest), place.ids()
    assert place.compact() == 2
    assert len(place.plan().files) == 2
    assert seen_by_duckdb(duckdb_reader, view, place.latest) == before
    assert place.ids() == ids


def test_ids_are_written_only_where_they_have_gaps(place: Place) -> None:
    for number in range(MIN_FILES):
        place.append([number])
    place.compact()
    (merged,) = place.plan().files
    assert ROW_ID.name not in pq.read_schema(place.lake.data / merged.path).names


def test_what_is_known_of_a_table_stays(place: Place) -> None:
    fill(place)
    with place.lake.database.read() as connection:
        before = (place.table, partitions.list_partitions(connection, place.table), [])
        stats = connection.execute(select(ducklake.table_stats)).one()
    assert place.compact()
    with place.lake.database.read() as connection:
        after = (place.table, partitions.list_partitions(connection, place.table), [])
        now = connection.execute(select(ducklake.table_stats)).one()
        stored = tables.size(connection, place.table.table_id)
    assert after[0] == before[0]
    assert [(p.values, p.modified_at, p.record_count) for p in after[1]] == [
        (p.values, p.modified_at, p.record_count) for p in before[1]
    ]
    assert (now.record_count, now.next_row_id) == (stats.record_count, stats.next_row_id)
    assert now.file_size_bytes == stored.bytes
    assert stored.file_count == 2


def test_older_files_get_the_columns_of_now(
    catalog: tuple[Place, DuckdbView], duckdb_reader: DuckdbReader
) -> None:
    place, view = catalog

    def alter(change, *args, **kwargs) -> None:
        with place.lake.database.write() as connection:
            change(connection, place.table, *args, **kwargs)

    place.append([1, 2])
    alter(evolution.add_columns, [Column("n", parse_type("int"), default="7")])
    place.append([3])
    alter(evolution.change_column, "text", new_name="words")
    alter(evolution.change_column, "n", new_type=parse_type("bigint"))
    place.append([4])
    alter(evolution.add_columns, [Column("gone", parse_type("string"))])
    place.append([5])
    alter(evolution.drop_columns, ["gone"])
    rows, theirs = place.rows(), seen_by_duckdb(duckdb_reader, view, place.latest)
    assert rows.column("n").to_pylist() == [7, 7, None, None, None]
    assert place.compact() == 1
    (merged,) = place.plan().files
    assert pq.read_schema(place.lake.data / merged.path).names == ["id", "words", "n", "pt"]
    assert place.rows().equals(rows)
    assert seen_by_duckdb(duckdb_reader, view, place.latest) == theirs


def test_buckets_are_not_mixed(place: Place) -> None:
    with place.lake.database.write() as connection:
        definitions.drop_table(connection, place.table)
    place.create(clustered_by=("id",), buckets=3)
    for number in range(MIN_FILES):
        place.append(range(number * 100, number * 100 + 100))
    rows = sorted(place.ids())
    buckets = {row: file.bucket for file in place.plan().files for row in ids_of(place, file.path)}
    assert place.compact() == 3
    for file in place.plan().files:
        assert {buckets[row] for row in ids_of(place, file.path)} == {file.bucket}
    assert sorted(place.ids()) == rows


def ids_of(place: Place, path: str) -> list[int]:
    return pq.read_table(place.lake.data / path, partitioning=None).column("id").to_pylist()


def test_row_groups_are_told(place: Place) -> None:
    for number in range(MIN_FILES):
        place.append(range(number * 50_000, (number + 1) * 50_000))
    raw_size = place.plan().raw_size
    place.compact()
    (merged,) = place.plan().files
    assert [rows for rows, _ in merged.groups] == [131_072, 200_000 - 131_072]
    assert sum(size for _, size in merged.groups) == pytest.approx(merged.raw_size, rel=0.01)
    assert merged.raw_size == pytest.approx(raw_size, rel=0.05)


def test_rewrites_are_no_changes(place: Place) -> None:
    first = place.latest
    fill(place)
    place.compact()
    last, table = place.latest, place.table
    with place.lake.database.read() as connection:
        inserted = changes.inserted(connection, table, first, last)
        assert changes.between(connection, table, last - 2, last) == []
    ids = [row for listed in inserted for row in ids_of(place, listed.file.path)]
    assert sorted(ids) == sorted(place.ids())


@pytest.mark.parametrize("winner", ["overwrite", "merge", "drop", "alter"])
def test_a_merge_that_comes_second_changes_nothing(place: Place, winner: str) -> None:
    fill(place, MIN_FILES)
    merge = place.merges()[0]
    if winner == "overwrite":
        place.append([1000], replaced=["a"])
    elif winner == "merge":
        assert compaction.perform(place.lake, merge, lambda: False)
    elif winner == "alter":
        with place.lake.database.write() as connection:
            evolution.add_columns(connection, place.table, [Column("n", parse_type("int"))])
    else:
        with place.lake.database.write() as connection:
            definitions.drop_table(connection, place.table)
    files, latest = place.files(), place.latest
    assert compaction.perform(place.lake, merge, lambda: False) is None
    assert (place.files(), place.latest) == (files, latest)


def test_sources_that_were_removed_meanwhile_are_no_damage(place: Place) -> None:
    fill(place, MIN_FILES)
    late = place.merges()
    assert place.compact() == 2
    place.expire()
    place.clean()
    latest, files = place.latest, place.files()
    assert [compaction.perform(place.lake, merge, lambda: False) for merge in late] == [None, None]
    assert (place.latest, place.files()) == (latest, files)


def test_a_merge_that_is_stopped_leaves_nothing(place: Place) -> None:
    fill(place)
    files, latest = place.files(), place.latest
    answers = iter([False, False, True])
    assert compaction.perform(place.lake, place.merges()[0], lambda: next(answers)) is None
    assert (place.files(), place.latest) == (files, latest)


def test_a_damaged_source_fails_the_merge_alone(place: Place) -> None:
    fill(place)
    files, latest = place.files(), place.latest
    merge = place.merges()[0]
    broken = place.lake.data / merge.sources[-1].file.path
    broken.write_bytes(broken.read_bytes()[:-40])
    with pytest.raises(Exception, match="damaged"):
        compaction.perform(place.lake, merge, lambda: False)
    assert (place.files(), place.latest) == (files, latest)


def test_files_with_deleted_rows_are_left_alone(
    catalog: tuple[Place, DuckdbView], duckdb_reader: DuckdbReader
) -> None:
    place, view = catalog
    for number in range(2 * MIN_FILES + 1):
        place.append([number, 100 + number])
    options = writable(view)
    duckdb_reader.query(view.catalog, f'DELETE FROM lake."default".{NAME} WHERE id = {MIN_FILES}', options)
    theirs = seen_by_duckdb(duckdb_reader, view, place.latest)
    assert [len(merge.sources) for merge in place.merges()] == [MIN_FILES, MIN_FILES]
    assert place.compact() == 2
    assert seen_by_duckdb(duckdb_reader, view, place.latest) == theirs


def test_rows_that_duckdb_inserted_are_merged_with_ours(
    catalog: tuple[Place, DuckdbView], duckdb_reader: DuckdbReader
) -> None:
    place, view = catalog
    options = writable(view)
    for number in range(MIN_FILES):
        place.append([number])
        sql = f"INSERT INTO lake.\"default\".{NAME} VALUES ({100 + number}, 'theirs', 'a')"
        duckdb_reader.query(view.catalog, sql, options)
    theirs, ids = seen_by_duckdb(duckdb_reader, view, place.latest), place.ids()
    assert place.compact() == 1
    assert len(place.plan().files) == 1
    assert place.ids() == ids
    assert seen_by_duckdb(duckdb_reader, view, place.latest) == theirs


def test_merges_at_the_same_time_happen_once(place: Place) -> None:
    fill(place)
    rows = place.ids()
    merges = place.merges()
    start = threading.Barrier(4)

    def work() -> int:
        start.wait()
        return sum(compaction.perform(place.lake, merge, lambda: False) is not None for merge in merges)

    with ThreadPoolExecutor(4) as pool:
        done = sum(future.result() for future in [pool.submit(work) for _ in range(4)])
    assert done == len(merges)
    assert place.ids() == rows
    assert len([file for file in place.files() if PREFIX in file]) == len(merges)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("examples", [4, pytest.param(in_proportion(60), marks=pytest.mark.slow, id="whole")])
def test_every_kept_version_and_plan_stays(
    examples: int, database: Postgresql | None, duckdb_reader: DuckdbReader
) -> None:
    """Whatever is written, altered, merged, expired and removed: what may be read reads the same."""

    @given(st.data())
    @settings(max_examples=examples)
    def run(data: st.DataObject) -> None:
        with Catalogs(database).new_lake() as (lake, view):
            history = History(Place(lake), view, duckdb_reader)
            for _ in range(data.draw(st.integers(3, 12), label="steps")):
                step = data.draw(st.sampled_from(STEPS), label="step")
                getattr(history, step)(data)
            history.check()

    run()


STEPS = (
    ["append"] * 4
    + ["overwrite", "drop_partition", "alter"]
    + ["compact"] * 3
    + ["expire", "pin", "unpin", "clean"]
)
PARTITIONS = st.sampled_from(["a", "b"])


class History:
    """What a table held at each version, and the plans that sessions pin."""

    def __init__(self, place: Place, view: DuckdbView, reader: DuckdbReader) -> None:
        self.place, self.view, self.reader = place, view, reader
        self.next_id = self.columns = 0
        self.versions: dict[int, list[int]] = {place.latest: []}
        self.pinned: list[tuple[Pin, Plan, list[str]]] = []

    def note(self) -> None:
        self.versions.setdefault(self.place.latest, self.place.ids())

    def new_ids(self, data: st.DataObject) -> list[int]:
        count = data.draw(st.integers(1, 6), label="rows")
        self.next_id += count
        return list(range(self.next_id - count, self.next_id))

    def append(self, data: st.DataObject) -> None:
        for _ in range(data.draw(st.integers(1, 5), label="files")):
            ids = self.new_ids(data)
            self.place.append(ids, [data.draw(PARTITIONS) for _ in ids])
            self.note()

    def overwrite(self, data: st.DataObject) -> None:
        partition = data.draw(PARTITIONS)
        self.place.append(self.new_ids(data), partition, replaced=[partition])
        self.note()

    def drop_partition(self, data: st.DataObject) -> None:
        with self.place.lake.database.write() as connection:
            if partitions.exists(connection, self.place.table, ("a",)):
                commits.drop_partitions(connection, self.place.table, {("a",)})
        self.note()

    def alter(self, data: st.DataObject) -> None:
        self.columns += 1
        column = Column(f"c{self.columns}", parse_type("int"), default=str(self.columns))
        with self.place.lake.database.write() as connection:
            evolution.add_columns(connection, self.place.table, [column])
        self.note()

    def compact(self, data: st.DataObject) -> None:
        rows, version = self.place.rows().to_pylist(), self.place.table.latest_snapshot
        before = self.versions[max(self.versions)]
        self.place.compact()
        assert self.place.rows().to_pylist() == rows
        assert self.place.table.latest_snapshot == version
        self.note()
        assert self.versions[max(self.versions)] == before

    def expire(self, data: st.DataObject) -> None:
        self.place.expire(data.draw(st.integers(self.place.oldest, self.place.latest), label="oldest"))

    def pin(self, data: st.DataObject) -> None:
        version = data.draw(st.integers(self.place.oldest, self.place.latest), label="version")
        pin = Pin(self.place.table.table_id, version, version)
        plan = self.place.plan(version)
        self.pinned.append((pin, plan, self.texts(plan)))

    def unpin(self, data: st.DataObject) -> None:
        if self.pinned:
            self.pinned.pop(data.draw(st.integers(0, len(self.pinned) - 1)))

    def clean(self, data: st.DataObject) -> None:
        self.place.clean(*(pin for pin, _, _ in self.pinned))

    def texts(self, plan: Plan) -> list[str]:
        rows = self.place.rows(plan).select(["id", "text", "pt"])
        return [json.dumps(row) for row in rows.to_pylist()]

    def check(self) -> None:
        for _, plan, texts in self.pinned:
            assert self.texts(plan) == texts
        for version, ids in self.versions.items():
            if version < self.place.oldest:
                continue
            assert sorted(self.place.ids(version)) == sorted(ids)
            sql = f'SELECT id FROM lake."default".{NAME} AT (VERSION => {version})'
            theirs = self.reader.query(self.view.catalog, sql, self.view.options)
            assert sorted(theirs.column("id").to_pylist()) == sorted(ids)
