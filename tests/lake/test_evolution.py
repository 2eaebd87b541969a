"""ALTER TABLE: DuckDB's reader and ours see old and new rows right, at every version (P7)."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from maxlake.lake import commits, definitions, ducklake, evolution, plans, snapshots, tables
from maxlake.lake.database import Database
from maxlake.lake.lake import Lake
from maxlake.lake.parts import Part, Upload, storage_schema
from maxlake.lake.plans import Wanted
from maxlake.lake.scans import BatchLimits, Projection, scan
from maxlake.lake.tables import StoredColumn, Table, TableOptions
from maxlake.protocol.columns import Column, TableSchema
from maxlake.protocol.errors import BadRequestError, ConflictError, ErrorCode, MaxlakeError
from maxlake.protocol.partitions import parse_partition_filter
from maxlake.protocol.types.arrow import ReadUnits
from maxlake.protocol.types.defaults import canonical_default, default_scalar
from maxlake.protocol.types.storage import storage_type
from maxlake.protocol.types.text import parse_type
from tests.budget import in_proportion
from tests.lake.duckdb_reader import DuckdbReader
from tests.lake.test_conformance import Catalogs, DuckdbView
from tests.postgresql import Postgresql

#: Shrinking would run the databases for minutes; a failing example is small as it is.
PHASES = [phase for phase in Phase if phase is not Phase.shrink]
EVERYTHING = Wanted(parse_partition_filter([], ()))

Rows = list[dict[str, Any]]


def columns(**types: str) -> tuple[Column, ...]:
    return tuple(Column(name, parse_type(text)) for name, text in types.items())


@dataclass
class Evolving:
    """One table ``t`` and what was seen of it at each version."""

    lake: Lake
    view: DuckdbView
    reader: DuckdbReader
    name: str = "t"
    uploads: int = 0
    seen: dict[int, Rows] = field(default_factory=dict)

    def create(self, data: Sequence[Column], keys: Sequence[Column] = (), **options: Any) -> None:
        with self.lake.database.write() as connection:
            schema = TableSchema(tuple(data), tuple(keys))
            definitions.create_table(
                connection, "default", self.name, schema, TableOptions(**options), "owner"
            )

    @property
    def table(self) -> Table:
        with self.lake.database.read() as connection:
            return tables.get(connection, "default", self.name)

    def upload(self, rows: Rows) -> list[Part]:
        table, self.uploads = self.table, self.uploads + 1
        with Upload(self.lake.data, table, f"u-{self.uploads}") as upload:
            upload.write(pa.RecordBatch.from_pylist(rows, schema=storage_schema(table)))
            return upload.finish()

    def commit(self, parts: list[Part]) -> None:
        with self.lake.database.write() as connection:
            commits.commit(connection, tables.get(connection, "default", self.name), parts)

    def append(self, *rows: dict[str, Any]) -> None:
        self.commit(self.upload(list(rows)))

    def alter(self, change: Callable[..., None], *arguments: Any, **named: Any) -> None:
        with self.lake.database.write() as connection:
            change(connection, tables.get(connection, "default", self.name), *arguments, **named)

    def add(self, *added: Column) -> None:
        self.alter(evolution.add_columns, added)

    def drop(self, *names: str) -> None:
        self.alter(evolution.drop_columns, names)

    def change(self, name: str, **changes: Any) -> None:
        self.alter(evolution.change_column, name, **changes)

    def theirs(self, version: int | None = None) -> pa.Table:
        at = "" if version is None else f" AT (VERSION => {version})"
        sql = f'SELECT * FROM lake."default"."{self.name}"{at} ORDER BY id'
        return self.reader.query(self.view.catalog, sql, self.view.options)

    def ours(self, stored: Sequence[StoredColumn] | None = None) -> pa.Table:
        with self.lake.database.read() as connection:
            table = tables.get(connection, "default", self.name)
            plan = plans.plan(self.lake, connection, table, EVERYTHING, snapshots.latest(connection))
        projection = Projection(stored or tuple(table.stored.values()), ReadUnits())
        batches = scan(self.lake.data, plan.slices(0, plan.record_count), projection, BatchLimits(3))
        return pa.Table.from_batches(batches, projection.schema).sort_by("id")

    def check(self, expected: Rows) -> None:
        """Both readers see these rows now, and DuckDB what it saw before at the versions before."""
        self.check_now(expected)
        self.check_versions()

    def check_versions(self) -> None:
        for version, rows in self.seen.items():
            assert self.theirs(version).to_pylist() == rows, version

    def check_now(self, expected: Rows) -> None:
        stored = self.table.stored
        theirs = self.theirs()
        assert {name.lower() for name in theirs.column_names} == {name.lower() for name in stored}
        assert theirs.select(list(stored)).to_pylist() == expected
        assert self.ours().to_pylist() == expected
        for column in stored.values():
            mine = storage_type(parse_type(column.type))
            if not pa.types.is_nested(mine):
                assert theirs.schema.field(column.name).type == mine
        with self.lake.database.read() as connection:
            version = snapshots.latest(connection)
        self.seen[version] = theirs.to_pylist()


@pytest.fixture(scope="module")
def catalogs(database: Postgresql | None) -> Catalogs:
    return Catalogs(database)


@pytest.fixture
def t(catalogs: Catalogs, duckdb_reader: DuckdbReader) -> Iterator[Evolving]:
    with catalogs.new_lake() as (lake, view):
        yield Evolving(lake, view, duckdb_reader)


def test_an_added_column_has_its_default_in_older_rows(t: Evolving) -> None:
    t.create(columns(id="bigint"), columns(pt="string"))
    t.append({"id": 1, "pt": "x"})
    t.check([{"id": 1, "pt": "x"}])
    before = t.table.stored
    t.add(
        Column("d", parse_type("int"), default="042", nullable=False, comment="why"), *columns(n="array<int>")
    )
    t.check([{"id": 1, "d": 42, "n": None, "pt": "x"}])
    t.append({"id": 2, "d": 5, "n": [1], "pt": "x"})
    t.check([{"id": 1, "d": 42, "n": None, "pt": "x"}, {"id": 2, "d": 5, "n": [1], "pt": "x"}])
    assert list(t.table.stored) == ["id", "d", "n", "pt"]
    added = t.table.stored["d"]
    assert (added.default, added.initial_default, added.comment) == ("42", "42", "why")
    assert added.field_id not in {column.field_id for column in before.values()}
    assert added.column_id not in {column.column_id for column in before.values()}
    assert t.ours(list(before.values())).to_pylist() == [{"id": 1, "pt": "x"}, {"id": 2, "pt": "x"}]


DEFAULTS = [
    ("tinyint", "-128"),
    ("bigint", "9223372036854775807"),
    ("float", "0.1"),
    ("double", "1e-300"),
    ("double", "nan"),
    ("double", "-inf"),
    ("decimal(38,18)", "-12345678901234567890.123456789012345678"),
    ("decimal(4,2)", "1.5"),
    ("boolean", "TRUE"),
    ("string", 'it\'s "x" \\ NULL'),
    ("string", ""),
    ("string", "NULL"),
    ("json", "{}"),
    ("char(3)", "äöü"),
    ("varchar(10)", " a "),
    ("binary", "ü\\x41'\""),
    ("date", "0001-01-01"),
    ("date", "9999-12-31"),
    ("datetime", "0001-01-01 00:00:00.001"),
    ("datetime", "9999-12-31 23:59:59.999"),
    ("timestamp", "1677-09-22 00:00:00.123456789"),
    ("timestamp_ntz", "2262-04-11 01:02:03.000000001"),
]


def test_every_default_reads_right(t: Evolving) -> None:
    t.create(columns(id="bigint"))
    t.append({"id": 1})
    types = {f"c{number}": parse_type(kind) for number, (kind, _) in enumerate(DEFAULTS)}
    texts = dict(zip(types, (text for _, text in DEFAULTS), strict=True))
    t.add(*(Column(name, kind, default=texts[name]) for name, kind in types.items()))
    expected = pa.table(
        {
            "id": pa.array([1], pa.int64()),
            **{name: pa.repeat(default_scalar(texts[name], kind), 1) for name, kind in types.items()},
        }
    )
    assert repr(t.theirs().to_pydict()) == repr(t.ours().to_pydict())
    for name in expected.column_names:
        theirs, mine = t.theirs().column(name), t.ours().column(name)
        assert theirs.type == expected.column(name).type
        assert str(theirs) == str(mine) == str(expected.column(name)), name
    for name, kind in types.items():
        if str(kind) == "binary":
            continue
        text = canonical_default(texts[name], kind).replace("'", "''")
        sql = f'SELECT count(*) FROM lake."default".t WHERE "{name}" = \'{text}\''
        counted = t.reader.query(t.view.catalog, sql, t.view.options)
        assert counted.to_pydict() == {"count_star()": [1]}, name


def test_names_come_again_but_not_their_values(t: Evolving) -> None:
    t.create(columns(id="bigint", a="struct<x:int,y:string>"))
    t.append({"id": 1, "a": {"x": 1, "y": "1"}})
    t.check_now([{"id": 1, "a": {"x": 1, "y": "1"}}])
    ids = set()
    for number in range(2, 4):
        ids.add(t.table.stored["a"].field_id)
        t.drop("A")
        t.check_now([{"id": n} for n in range(1, number)])
        t.add(Column("a", parse_type("struct<x:int,y:string>")))
        t.check_now([{"id": n, "a": None} for n in range(1, number)])
        t.append({"id": number, "a": {"x": number, "y": None}})
        t.check_now(
            [{"id": n, "a": None} for n in range(1, number)] + [{"id": number, "a": {"x": number, "y": None}}]
        )
    t.check_versions()
    assert len(ids) == 2
    assert t.table.stored["a"].column_id not in ids


def test_swapped_names_keep_their_values(t: Evolving) -> None:
    t.create(columns(id="bigint", a="string", b="string"))
    t.append({"id": 1, "a": "a", "b": "b"})
    for old, new in (("a", "tmp"), ("b", "a"), ("tmp", "b")):
        t.change(old, new_name=new)
    t.check([{"id": 1, "b": "a", "a": "b"}])
    t.append({"id": 2, "a": "A", "b": "B"})
    t.check([{"id": 1, "b": "a", "a": "b"}, {"id": 2, "b": "B", "a": "A"}])
    t.change("b", new_name="B")
    t.check([{"id": 1, "B": "a", "a": "b"}, {"id": 2, "B": "B", "a": "A"}])


WIDENED: list[tuple[list[str], list[Any]]] = [
    (["tinyint", "smallint", "int", "bigint", "decimal(19,0)", "decimal(38,19)"], [-128, 127]),
    (["int", "decimal(12,2)"], [-(2**31), 2**31 - 1]),
    (["bigint", "decimal(38,18)"], [-(2**63), 2**63 - 1]),
    (["tinyint", "decimal(3,0)"], [-128]),
    (["float", "double"], [0.5, -0.10000000149011612, float("inf")]),
    (["decimal(9,2)", "decimal(18,2)", "decimal(19,3)", "decimal(38,20)"], [Decimal("-9999999.99")]),
    (["decimal(38,18)", "decimal"], [Decimal("1.5")]),
    (["char(2)", "char(3)", "varchar(3)", "varchar(9)", "string"], ["äö", ""]),
]


@pytest.mark.parametrize(("steps", "values"), WIDENED, ids=lambda case: str(case[0]))
def test_widened_columns_keep_their_values(t: Evolving, steps: list[str], values: list[Any]) -> None:
    t.create(columns(id="bigint", c=steps[0]))
    expected: Rows = []
    for step in steps:
        if expected:
            t.change("c", new_type=parse_type(step))
        assert t.table.stored["c"].type == str(parse_type(step))
        for value in [*values, None]:
            expected.append({"id": len(expected), "c": value})
        t.append(*expected[-len(values) - 1 :])
        t.check_now(expected)
        literal = f"'{values[0]}'" if isinstance(values[0], str) else str(values[0])
        sql = f'SELECT count(*) AS n FROM lake."default"."t" WHERE c = {literal}'
        found = t.reader.query(t.view.catalog, sql, t.view.options).to_pylist()
        assert found == [{"n": sum(row["c"] == values[0] for row in expected)}]
    t.check_versions()


def test_not_null_is_taken_back(t: Evolving) -> None:
    t.create([*columns(id="bigint"), Column("c", parse_type("int"), nullable=False)])
    t.append({"id": 1, "c": 1})
    t.change("c", nullable=False)  # it is
    t.change("c", nullable=True)
    t.append({"id": 2, "c": None})
    t.check([{"id": 1, "c": 1}, {"id": 2, "c": None}])
    with pytest.raises(BadRequestError, match="NOT NULL cannot be added"):
        t.change("c", nullable=False)


def test_a_renamed_table_keeps_rows_and_versions(t: Evolving) -> None:
    t.create(columns(id="bigint"), columns(pt="string"))
    t.append({"id": 1, "pt": "x"})
    with t.lake.database.read() as connection:
        before = snapshots.latest(connection)
    t.alter(evolution.rename_table, "U")
    t.name = "u"
    t.append({"id": 2, "pt": "y"})
    t.check([{"id": 1, "pt": "x"}, {"id": 2, "pt": "y"}])
    assert t.theirs(before + 1).to_pylist() == [{"id": 1, "pt": "x"}]
    t.name = "t"
    with pytest.raises(MaxlakeError):
        _ = t.table
    assert t.theirs(before).to_pylist() == [{"id": 1, "pt": "x"}]
    t.create(columns(id="bigint"))
    assert t.theirs().num_rows == t.ours().num_rows == 0
    with pytest.raises(ConflictError):
        t.alter(evolution.rename_table, "u")


def test_a_part_uploaded_before_a_change_is_committed_after_it(t: Evolving) -> None:
    t.create(columns(id="bigint", a="int", b="string"))
    parts = t.upload([{"id": 1, "a": 7, "b": "x"}])
    t.drop("b")
    t.change("a", new_name="b", new_type=parse_type("bigint"))
    t.add(Column("a", parse_type("string"), default="new"))
    t.commit(parts)
    t.append({"id": 2, "b": 2**40, "a": None})
    t.check([{"id": 1, "b": 7, "a": "new"}, {"id": 2, "b": 2**40, "a": None}])


def test_a_session_open_during_changes_keeps_its_columns(t: Evolving) -> None:
    t.create(columns(id="bigint", a="int", b="string"))
    t.append({"id": 1, "a": 1, "b": "b"})
    pinned = list(t.table.stored.values())
    t.drop("b")
    t.change("a", new_name="z", new_type=parse_type("bigint"))
    t.add(*columns(a="string"))
    read = t.ours(pinned)
    assert read.to_pylist() == [{"id": 1, "a": 1, "b": "b"}]
    assert read.schema.field("a").type == pa.int32()


def test_keys_of_the_table_follow_a_new_name_and_stay(t: Evolving) -> None:
    t.create(columns(id="bigint", a="int", b="int"), clustered_by=("A",), sorted_by=("a", "id"), buckets=4)
    t.change("a", new_name="k", new_type=parse_type("bigint"))
    assert (t.table.options.clustered_by, t.table.options.sorted_by) == (("k",), ("k", "id"))
    with pytest.raises(BadRequestError, match="keyed, clustered or sorted"):
        t.drop("K")
    with pytest.raises(BadRequestError, match="buckets would differ"):
        t.change("k", new_type=parse_type("decimal(19,0)"))
    t.drop("b")
    t.append({"id": 1, "k": 2**40})
    t.check([{"id": 1, "k": 2**40}])


def test_a_comment_makes_no_version(t: Evolving) -> None:
    t.create(columns(id="bigint"))
    before = t.table
    t.change("id", comment="it")
    assert t.table.stored["id"].comment == "it"
    assert t.table.latest_snapshot == before.latest_snapshot
    assert t.table.schema_version == before.schema_version
    assert t.table.ddl_at > before.ddl_at
    t.change("id", new_name="id", new_type=parse_type("bigint"), comment="it")  # nothing new
    assert t.table.latest_snapshot == before.latest_snapshot


REFUSED: list[tuple[Callable[[Evolving], None], ErrorCode, str]] = [
    (lambda t: t.add(*columns(A="int")), ErrorCode.ALREADY_EXISTS, "already exists"),
    (lambda t: t.add(*columns(PT="int")), ErrorCode.ALREADY_EXISTS, "already exists"),
    (lambda t: t.add(*columns(x="int", X="int")), ErrorCode.INVALID_ARGUMENT, "twice"),
    (lambda t: t.add(*columns(x="decimal(39,0)")), ErrorCode.INVALID_ARGUMENT, "cannot be stored"),
    (
        lambda t: t.add(Column("x", parse_type("int"), default="x")),
        ErrorCode.INVALID_ARGUMENT,
        "'x' is no int",
    ),
    (
        lambda t: t.add(Column("x", parse_type("int"), nullable=False)),
        ErrorCode.INVALID_ARGUMENT,
        "give it a DEFAULT",
    ),
    (
        lambda t: t.add(*(Column(f"x{n}", parse_type("int")) for n in range(1200))),
        ErrorCode.INVALID_ARGUMENT,
        "at most",
    ),
    (lambda t: t.drop("nope"), ErrorCode.INVALID_ARGUMENT, "no column 'nope'"),
    (lambda t: t.drop("pt"), ErrorCode.INVALID_ARGUMENT, "partition column"),
    (lambda t: t.drop("id", "a"), ErrorCode.INVALID_ARGUMENT, "at least one column"),
    (lambda t: t.change("pt", new_name="x"), ErrorCode.INVALID_ARGUMENT, "partition column"),
    (lambda t: t.change("a", new_name="ID"), ErrorCode.ALREADY_EXISTS, "'id' already exists"),
    (lambda t: t.change("a", new_name="pt"), ErrorCode.ALREADY_EXISTS, "already exists"),
    (lambda t: t.change("a", new_name="_ducklake_x"), ErrorCode.INVALID_ARGUMENT, "reserved"),
    (lambda t: t.change("a", new_type=parse_type("tinyint")), ErrorCode.INVALID_ARGUMENT, "allowed are"),
    (
        lambda t: t.change("a", new_type=parse_type("decimal(39,0)")),
        ErrorCode.INVALID_ARGUMENT,
        "cannot be stored",
    ),
]


def test_refused_changes_change_nothing(t: Evolving) -> None:
    t.create(columns(id="bigint", a="int"), columns(pt="string"))
    t.append({"id": 1, "a": 1, "pt": "x"})
    before = t.table
    for change, code, message in REFUSED:
        with pytest.raises(MaxlakeError, match=message) as caught:
            change(t)
        assert caught.value.code is code
    assert t.table == before
    t.check([{"id": 1, "a": 1, "pt": "x"}])


def test_field_ids_are_not_given_out_again_when_old_rows_are_gone(t: Evolving) -> None:
    t.create(columns(id="bigint", a="array<int>"))
    last = t.table.stored["a"].field_id + 1
    t.drop("a")
    with t.lake.database.write() as connection:
        column = ducklake.column
        connection.execute(column.delete().where(column.c.end_snapshot.is_not(None)))
    t.add(*columns(a="int"))
    assert t.table.stored["a"].field_id == last + 1


TYPES = ["int", "smallint", "float", "decimal(5,1)", "varchar(4)", "struct<x:int,y:array<string>>"]
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(-100, 100),
    "smallint": st.integers(-100, 100),
    "bigint": st.integers(-(2**60), 2**60),
    "float": st.sampled_from([0.5, -2.0]),
    "double": st.sampled_from([0.1, -2.0]),
    "decimal(5,1)": st.sampled_from([Decimal("1.5"), Decimal("-9999.9")]),
    "decimal(30,5)": st.sampled_from([Decimal("1.50001"), Decimal("-9999.9")]),
    "varchar(4)": st.sampled_from(["", "abcd"]),
    "string": st.sampled_from(["", "abcdefgh"]),
    "struct<x:int,y:array<string>>": st.just({"x": 1, "y": ["a"]}),
}
WIDER = {
    "int": ["bigint", "decimal(30,5)"],
    "smallint": ["int", "bigint", "decimal(30,5)"],
    "bigint": ["decimal(30,5)"],
    "float": ["double"],
    "decimal(5,1)": ["decimal(30,5)"],
    "varchar(4)": ["string"],
}
TEXTS = {"int": "7", "smallint": "-7", "float": "0.5", "decimal(5,1)": "1.5", "varchar(4)": "x'y"}
NAMES = ["a", "b", "c"]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("examples", [4, pytest.param(in_proportion(40), marks=pytest.mark.slow, id="whole")])
def test_any_changes_between_commits(examples: int, catalogs: Catalogs, duckdb_reader: DuckdbReader) -> None:
    @given(st.data())
    @settings(max_examples=examples, phases=PHASES, deadline=None)
    def run(data: st.DataObject) -> None:
        with catalogs.new_lake() as (lake, view):
            t = Evolving(lake, view, duckdb_reader)
            t.create(columns(id="bigint"))
            rows: Rows = []
            for _ in range(data.draw(st.integers(3, 10), label="changes")):
                rows = change_somehow(data, t, rows)
                t.check_now(rows)
            t.check_versions()

    run()


def change_somehow(data: st.DataObject, t: Evolving, rows: Rows) -> Rows:
    """Make one change of a random kind to the table; return the rows it should then have."""
    stored = {name: column.type for name, column in t.table.stored.items() if name != "id"}
    free = [name for name in NAMES if name not in stored]
    kinds = ["append", *["add"] * bool(free), *["drop", "change"] * bool(stored)]
    match data.draw(st.sampled_from(kinds), label="change"):
        case "append":
            new = {name: data.draw(st.none() | VALUES[kind], label=name) for name, kind in stored.items()}
            t.append({"id": len(rows), **new})
            return [*rows, {"id": len(rows), **new}]
        case "add":
            name, kind = data.draw(st.sampled_from(free)), data.draw(st.sampled_from(TYPES))
            text = data.draw(st.sampled_from([None, TEXTS.get(kind)]), label="default")
            t.add(Column(name, parse_type(kind), default=text))
            value = None if text is None else default_scalar(text, parse_type(kind)).as_py()
            return [{**row, name: value} for row in rows]
        case "drop":
            name = data.draw(st.sampled_from(sorted(stored)))
            t.drop(name)
            return [{key: value for key, value in row.items() if key != name} for row in rows]
        case _:
            name = data.draw(st.sampled_from(sorted(stored)))
            renamed = data.draw(st.sampled_from([name, *free]), label="new name")
            wider = data.draw(st.sampled_from([stored[name], *WIDER.get(stored[name], [])]), label="type")
            t.change(name, new_name=renamed, new_type=parse_type(wider))
            return [{renamed if key == name else key: value for key, value in row.items()} for row in rows]


ALTERS: list[tuple[str, Callable[[Connection, Table], None]]] = [
    ("ADD COLUMN n INTEGER", lambda c, t: evolution.add_columns(c, t, columns(n="int"))),
    (
        "ADD COLUMN n DECIMAL(10,2) DEFAULT 1.50",
        lambda c, t: evolution.add_columns(c, t, [Column("n", parse_type("decimal(10,2)"), default="1.5")]),
    ),
    (
        "ADD COLUMN n VARCHAR DEFAULT 'it''s'",
        lambda c, t: evolution.add_columns(c, t, [Column("n", parse_type("string"), default="it's")]),
    ),
    ("DROP COLUMN a", lambda c, t: evolution.drop_columns(c, t, ["a"])),
    ("DROP COLUMN s", lambda c, t: evolution.drop_columns(c, t, ["s"])),
    ("RENAME COLUMN a TO z", lambda c, t: evolution.change_column(c, t, "a", new_name="z")),
    ("RENAME COLUMN s TO z", lambda c, t: evolution.change_column(c, t, "s", new_name="z")),
    (
        "ALTER a SET DATA TYPE BIGINT",
        lambda c, t: evolution.change_column(c, t, "a", new_type=parse_type("bigint")),
    ),
    (
        "ALTER v SET DATA TYPE VARCHAR",
        lambda c, t: evolution.change_column(c, t, "v", new_type=parse_type("string")),
    ),
    ("ALTER k DROP NOT NULL", lambda c, t: evolution.change_column(c, t, "k", nullable=True)),
    ("RENAME TO u", lambda c, t: evolution.rename_table(c, t, "u")),
]


@pytest.mark.parametrize(("sql", "change"), ALTERS, ids=[sql for sql, _ in ALTERS])
def test_the_catalog_is_what_duckdb_itself_would_write(
    sql: str, change: Callable[[Connection, Table], None], tmp_path: Path, duckdb_reader: DuckdbReader
) -> None:
    ours, theirs = tmp_path / "lake.sqlite", tmp_path / "copy.sqlite"
    lake = Lake.open(Database.sqlite(ours), tmp_path / "data")
    try:
        t = Evolving(lake, DuckdbView(f"sqlite:{ours}", "READ_ONLY"), duckdb_reader)
        k = Column("k", parse_type("int"), nullable=False)
        t.create([*columns(id="bigint", a="int", s="struct<x:int,y:string>", v="varchar(3)"), k])
        t.append({"id": 1, "a": 1, "s": {"x": 1, "y": "y"}, "v": "v", "k": 1})
        lake.database.close()
        shutil.copy(ours, theirs)
        duckdb_reader.query(
            f"sqlite:{theirs}", f'ALTER TABLE lake."default".t {sql}', "DATA_INLINING_ROW_LIMIT 0"
        )
        with lake.database.write() as connection:
            change(connection, tables.get(connection, "default", "t"))
        assert catalog(ours) == catalog(theirs)
    finally:
        lake.close()


def catalog(file: Path) -> dict[str, list[tuple[Any, ...]]]:
    """The catalog's rows, times aside, and aside what the extension writes at the next insert."""
    database = sqlite3.connect(file)
    try:
        return {
            name: sorted(database.execute(f"SELECT {wanted} FROM ducklake_{name}").fetchall(), key=repr)
            for name, wanted in (
                ("table", "*"),
                ("column", "*"),
                ("schema_versions", "*"),
                ("snapshot", "snapshot_id, schema_version, next_catalog_id, next_file_id"),
                ("snapshot_changes", "*"),
                ("partition_info", "*"),
                ("column_tag", "*"),
                ("data_file", "*"),
                ("table_stats", "*"),
            )
        }
    finally:
        database.close()


def test_nothing_is_said_of_the_values_of_living_columns(t: Evolving) -> None:
    """Bounds of the whole table, once there, would have to be true of the rows of every program."""
    t.create(columns(id="bigint"))
    t.add(*columns(a="array<int>"))
    with t.lake.database.read() as connection:
        assert connection.execute(select(ducklake.table_column_stats)).all() == []
