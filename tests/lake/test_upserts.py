"""Upserts: the last row of a key counts, at every version, however it is read (design.md §4, §6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxlake.lake import cleanup, compaction, definitions, partitions, parts, plans, tables, upserts
from maxlake.lake.changes import CHANGE_COLUMNS
from maxlake.lake.commits import NewDeleteFile
from maxlake.lake.parts import Part, Upload
from maxlake.lake.plans import Plan
from maxlake.lake.scans import BatchLimits, Projection, scan
from maxlake.lake.tables import TableOptions
from maxlake.protocol.columns import Column, TableSchema
from maxlake.protocol.enums import Operation
from maxlake.protocol.types.arrow import ReadUnits
from maxlake.protocol.types.text import parse_type
from tests.lake.duckdb_reader import DuckdbReader
from tests.lake.merging import EVERYTHING, NAME, Place
from tests.lake.test_conformance import PHASES, Catalogs, DuckdbView
from tests.postgresql import Postgresql

U, D = Operation.UPSERT, Operation.DELETE
UPDATE, INSERT, DELETE = "update", "insert", "delete"


class Row(NamedTuple):
    """One uploaded row."""

    operation: Operation
    id: int
    text: str | None
    pt: str = "a"


#: Rows of a table by partition and id: text.
State = dict[tuple[str, int], str | None]


@dataclass
class Keyed(Place):
    """The table ``t`` keyed by ``id``, and what it should be at every version."""

    states: dict[int, State] = field(default_factory=dict[int, State])

    def create(self) -> None:
        columns = (Column("id", parse_type("bigint")), Column("text", parse_type("string")))
        schema = TableSchema(columns, (Column("pt", parse_type("string")),))
        with self.lake.database.write() as connection:
            options = TableOptions(primary_key=("id",))
            definitions.create_table(connection, "default", NAME, schema, options, "me")
        self.states[self.latest] = {}

    def stage(self, rows: Sequence[Row]) -> list[Part]:
        table = self.table
        with Upload(self.lake.data, table, f"s-{uuid4().hex}", upserts.staged_schema(table)) as upload:
            columns = [[row.id for row in rows], [row.text for row in rows], [row.pt for row in rows]]
            operations = pa.array([row.operation.value for row in rows], pa.int8())
            upload.write(pa.record_batch([*columns, operations], schema=upserts.staged_schema(table)))
            return upload.finish()

    def upsert(self, *uploads: Sequence[Row], replaced: Sequence[str] = ()) -> None:
        staged = [part for rows in uploads for part in self.stage(rows)]
        keys = {(pt,) for pt in replaced}
        prepared = upserts.prepare(self.lake, self.table, staged, f"c-{uuid4().hex}", keys)
        assert prepared
        with self.lake.database.write() as connection:
            assert prepared.apply(connection)
        after = {key: text for key, text in self.state.items() if key[0] not in replaced}
        for row in (row for rows in uploads for row in rows):
            if row.operation is U:
                after[row.pt, row.id] = row.text
            else:
                after.pop((row.pt, row.id), None)
        self.states[self.latest] = after

    def compact(self) -> int:
        state = self.state
        done = super().compact()
        self.states[self.latest] = state
        return done

    @property
    def state(self) -> State:
        return self.states[max(self.states)]

    def at(self, version: int) -> State:
        """What the table was at a version, be it one of a merge among several."""
        return self.states[max(known for known in self.states if known <= version)]

    def changes(self, first: int, last: int) -> Plan:
        with self.lake.database.read() as connection:
            return plans.plan_changes(self.lake, connection, self.table, EVERYTHING, first, last)

    def read(self, plan: Plan, ranges: Sequence[tuple[int, int]] | None = None) -> list[dict[str, object]]:
        """The rows of a plan, in one piece or in those given."""
        columns = tuple(self.table.stored.values())
        if any(file.change for file in plan.files):
            columns += CHANGE_COLUMNS
        projection = Projection(columns, ReadUnits())
        found: list[dict[str, object]] = []
        for start, stop in ranges or [(0, plan.record_count)]:
            batches = list(scan(self.lake.data, plan.slices(start, stop), projection, BatchLimits(7)))
            assert sum(batch.num_rows for batch in batches) == stop - start
            found += pa.Table.from_batches(batches, projection.schema).to_pylist()
        return found


@pytest.fixture
def catalog(database: Postgresql | None) -> Iterator[tuple[Keyed, DuckdbView]]:
    with Catalogs(database).new_lake() as (lake, view):
        yield Keyed(lake), view


@pytest.fixture
def keyed(catalog: tuple[Keyed, DuckdbView]) -> Keyed:
    return catalog[0]


def rows_of(state: State) -> list[tuple[object, ...]]:
    return sorted(((pt, number, text) for (pt, number), text in state.items()), key=repr)


def shown(rows: Sequence[dict[str, object]]) -> list[tuple[object, ...]]:
    return sorted(((row["pt"], row["id"], row["text"]) for row in rows), key=repr)


def check(keyed: Keyed, view: DuckdbView, reader: DuckdbReader) -> None:
    """Every version, as we and as DuckDB see it; the changes between any two."""
    versions = range(min(keyed.states), keyed.latest + 1)
    for version in versions:
        plan = keyed.plan(version)
        assert plan.record_count == len(keyed.at(version))
        assert shown(keyed.read(plan)) == rows_of(keyed.at(version))
        sql = f'SELECT pt, id, text FROM lake."default".{NAME} AT (VERSION => {version})'
        seen = reader.query(view.catalog, sql, view.options).to_pylist()
        assert shown(seen) == rows_of(keyed.at(version))
    for first in versions:
        check_changes(keyed, first, keyed.latest)
    with keyed.lake.database.read() as connection:
        assert tables.size(connection, keyed.table.table_id).record_count == len(keyed.state)
        listed = partitions.list_partitions(connection, keyed.table)
    counts = {each.values["pt"]: each.record_count for each in listed if each.record_count}
    assert counts == {pt: sum(key[0] == pt for key in keyed.state) for pt in {key[0] for key in keyed.state}}


def check_changes(keyed: Keyed, first: int, last: int) -> None:
    """Changes lead from one version to the other, and updates have both halves."""
    plan = keyed.changes(first, last)
    found = keyed.read(plan)
    assert len(found) == plan.record_count
    state = dict(keyed.at(first))
    times = [row["__meta_timestamp"] for row in found]
    assert times == sorted(times)
    halves: list[tuple[object, ...]] = []
    for row in found:
        key = row["pt"], row["id"]
        if row["__meta_op_type"]:
            assert key not in state
            state[key] = row["text"]
        else:
            assert state.pop(key) == row["text"]
        if row["__meta_is_update"]:
            half = (row["__meta_timestamp"], *key)
            if half in halves:
                halves.remove(half)
            else:
                assert not row["__meta_op_type"]
                halves.append(half)
    assert state == keyed.at(last)
    assert not halves


def test_the_last_row_of_a_key_counts(catalog: tuple[Keyed, DuckdbView], duckdb_reader: DuckdbReader) -> None:
    keyed, view = catalog
    keyed.upsert([Row(U, number, f"old {number}") for number in range(10)])
    keyed.upsert(
        [Row(U, 3, "first"), Row(U, 11, "new")], [Row(U, 3, "last"), Row(D, 4, None), Row(D, 99, None)]
    )
    assert ("a", 3, "last") in shown(keyed.read(keyed.plan()))
    check(keyed, view, duckdb_reader)


def test_an_updated_row_keeps_its_id_and_duckdb_calls_it_an_update(
    catalog: tuple[Keyed, DuckdbView], duckdb_reader: DuckdbReader
) -> None:
    keyed, view = catalog
    keyed.upsert([Row(U, number, "old") for number in range(5)])
    keyed.upsert([Row(U, 2, "new"), Row(D, 3, None), Row(U, 7, "more")])
    version = keyed.latest
    feed = f"ducklake_table_changes('lake', 'default', '{NAME}', {version}, {version})"
    sql = f"SELECT change_type, rowid, id FROM {feed}"
    changes = duckdb_reader.query(view.catalog, sql, view.options).to_pylist()
    assert sorted((each["change_type"], each["id"]) for each in changes) == [
        ("delete", 3),
        ("insert", 7),
        ("update_postimage", 2),
        ("update_preimage", 2),
    ]
    ids = duckdb_reader.query(view.catalog, f'SELECT id, rowid FROM lake."default".{NAME}', view.options)
    assert {row["id"]: row["rowid"] for row in ids.to_pylist()} == {0: 0, 1: 1, 2: 2, 4: 4, 7: 6}


def test_a_key_is_one_in_its_partition(keyed: Keyed) -> None:
    keyed.upsert([Row(U, 1, "a", "a"), Row(U, 1, "b", "b")])
    keyed.upsert([Row(U, 1, "c", "b"), Row(D, 1, None, "c")])
    assert shown(keyed.read(keyed.plan())) == [("a", 1, "a"), ("b", 1, "c")]


def test_replacing_takes_all_older_rows_of_the_partition(keyed: Keyed) -> None:
    keyed.upsert([Row(U, 1, "old", "a"), Row(U, 2, "old", "a"), Row(U, 1, "other", "b")])
    keyed.upsert([Row(U, 2, "new", "a"), Row(D, 5, None, "a")], replaced=["a"])
    assert shown(keyed.read(keyed.plan())) == [("a", 2, "new"), ("b", 1, "other")]
    check_changes(keyed, min(keyed.states), keyed.latest)


def test_an_upload_that_changes_nothing_makes_no_version(keyed: Keyed) -> None:
    before = keyed.latest
    keyed.upsert([Row(D, 1, None)])
    assert keyed.latest == before


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "ROW_GROUP_ROWS", 16)


@pytest.mark.usefixtures("small_groups")
def test_rows_go_from_several_row_groups(
    catalog: tuple[Keyed, DuckdbView], duckdb_reader: DuckdbReader
) -> None:
    keyed, view = catalog
    keyed.upsert([Row(U, number, "old") for number in range(100)])
    keyed.upsert(
        [Row(U if number % 3 else D, number, "new") for number in (0, 15, 16, 17, 40, 99, *range(48, 64))]
    )
    keyed.upsert([Row(D, number, None) for number in (1, 18, 41, 98)])
    (first, *_) = sorted(keyed.plan().files, key=lambda file: -file.record_count)
    assert sum(rows for rows, _ in first.groups) == first.record_count
    assert pq.read_metadata(keyed.lake.data / first.path).num_row_groups == len(first.groups) == 7
    assert [rows for rows, _ in first.groups] == [13, 13, 14, 0, 16, 16, 2]
    check(keyed, view, duckdb_reader)
    everything = keyed.read(keyed.plan())
    total = len(everything)
    for cut in range(1, total, 5):
        assert keyed.read(keyed.plan(), [(0, cut), (cut, total)]) == everything


ROWS = st.builds(
    Row,
    st.sampled_from([U, U, D]),
    st.integers(0, 12),
    st.sampled_from(["x", "y", None]),
    st.sampled_from("ab"),
)
STEPS = st.lists(
    st.one_of(
        st.lists(st.lists(ROWS, min_size=1, max_size=8), min_size=1, max_size=3),
        st.lists(st.lists(ROWS, min_size=1, max_size=8), min_size=1, max_size=2).map(
            lambda rows: ("replace", rows)
        ),
        st.just("compact"),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=8, phases=PHASES)
@given(steps=STEPS)
def test_any_uploads_merges_and_replacements(
    steps: list[object], duckdb_reader: DuckdbReader, database: Postgresql | None
) -> None:
    with pytest.MonkeyPatch.context() as patched, Catalogs(database).new_lake() as (lake, view):
        patched.setattr(parts, "ROW_GROUP_ROWS", 3)
        keyed = Keyed(lake)
        for step in steps:
            if step == "compact":
                keyed.compact()
            elif isinstance(step, tuple):
                keyed.upsert(*step[1], replaced=sorted({row.pt for rows in step[1] for row in rows}))
            else:
                keyed.upsert(*step)
        check(keyed, view, duckdb_reader)


def test_merging_drops_what_is_gone(keyed: Keyed) -> None:
    for number in range(8):
        keyed.upsert([Row(U, number * 10 + each, "old") for each in range(10)])
    keyed.upsert([Row(D, number, None) for number in range(40)])
    before = keyed.read(keyed.plan())
    assert keyed.compact()
    assert keyed.read(keyed.plan()) == before
    assert all(file.deletes is None for file in keyed.plan().files)
    check_changes(keyed, min(keyed.states), keyed.latest)
    keyed.upsert([Row(D, number, None) for number in range(40, 80)])
    assert keyed.compact()
    with keyed.lake.database.read() as connection:
        assert tables.size(connection, keyed.table.table_id) == tables.Size(0, 0, 0)


def test_a_merge_notices_rows_that_went_meanwhile(keyed: Keyed) -> None:
    for number in range(8):
        keyed.upsert([Row(U, number, "old")])
    merges = keyed.merges()
    keyed.upsert([Row(D, 3, None)])
    assert all(compaction.perform(keyed.lake, merge, lambda: False) is None for merge in merges)
    assert shown(keyed.read(keyed.plan())) == rows_of(keyed.state)


@pytest.mark.parametrize("other", ["upsert", "merge", "append"])
def test_what_was_computed_from_other_rows_is_not_applied(keyed: Keyed, other: str) -> None:
    for number in range(8):
        keyed.upsert([Row(U, number, "old")])
    staged = keyed.stage([Row(U, 3, "mine")])
    late = upserts.prepare(keyed.lake, keyed.table, staged, "late")
    assert late
    if other == "upsert":
        keyed.upsert([Row(U, 3, "theirs")])
    elif other == "merge":
        assert keyed.compact()
    else:
        keyed.upsert([Row(U, 99, "theirs")])
    version, state = keyed.latest, keyed.read(keyed.plan())
    with keyed.lake.database.write() as connection:
        assert not late.apply(connection)
    late.discard()
    assert (keyed.latest, keyed.read(keyed.plan())) == (version, state)
    assert not any(path.name.startswith("late") for path in keyed.lake.data.rglob("*"))


def test_files_that_go_while_they_are_read_are_noticed(keyed: Keyed, monkeypatch: pytest.MonkeyPatch) -> None:
    keyed.upsert([Row(U, 1, "old"), Row(U, 2, "old"), Row(U, 3, "old")])
    keyed.upsert([Row(D, 1, None)])
    staged = keyed.stage([Row(U, 2, "new")])
    write = upserts.write_deletes

    def others_were_faster(*arguments: Any) -> list[NewDeleteFile]:
        monkeypatch.undo()
        keyed.upsert([Row(U, 9, "theirs")], replaced=["a"])
        keyed.expire()
        keyed.clean()
        return write(*arguments)

    monkeypatch.setattr(upserts, "write_deletes", others_were_faster)
    assert upserts.prepare(keyed.lake, keyed.table, staged, "late") is None
    assert not any(path.name.startswith("late") for path in keyed.lake.data.rglob("*"))
    assert shown(keyed.read(keyed.plan())) == [("a", 9, "theirs")]


def test_delete_files_go_from_the_disk_with_what_they_belong_to(
    keyed: Keyed, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyed.upsert([Row(U, 1, "old"), Row(U, 2, "old")])
    keyed.upsert([Row(D, 1, None)])
    keyed.upsert([Row(U, 9, "new")], replaced=["a"])
    keyed.expire()
    monkeypatch.setattr(cleanup, "FILES_AT_ONCE", 1)
    keyed.clean()
    named = {file.path for file in keyed.plan().files}
    assert {path for path in keyed.files() if "/s-" not in path} == named
