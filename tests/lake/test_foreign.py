"""Another program writes into a catalog of ours: what we show is right, or refused (design.md §3)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from sqlalchemy import delete, select

from maxlake.lake import commits, ducklake, snapshots, tables
from maxlake.lake.parts import Upload, storage_schema
from maxlake.protocol.errors import ConflictError, ErrorCode, MaxlakeError, NotFoundError
from maxlake.protocol.messages.read import (
    CreateReadSessionRequest,
    IncrementalReadOptions,
    ReadAddress,
    ReadRowsRequest,
)
from maxlake.service import read_sessions, rows
from maxlake.service.maintenance import maintain
from maxlake.service.service import Service, namespace
from tests.lake.duckdb_reader import DuckdbReader
from tests.lake.test_conformance import DuckdbView
from tests.postgresql import Postgresql
from tests.service.scene import ME, Scene

T = 'lake."default".t'


@dataclass
class Shared:
    """A table ``t`` of bigint ``id`` that DuckDB writes, too."""

    scene: Scene
    view: DuckdbView
    reader: DuckdbReader
    reopen: Callable[[], Scene]
    spec: str

    def duckdb(self, sql: str) -> pa.Table:
        return self.reader.query(self.view.catalog, sql, self.view.options)

    def append(self, *ids: int) -> None:
        self.scene.append(list(ids), self.spec)

    def upload(self, sql: str) -> None:
        """Append the rows of a query without tables, in the types of storage."""
        lake = self.scene.project.lake
        with lake.database.read() as connection:
            table = tables.get(connection, "default", "t")
        schema = storage_schema(table)
        found = duckdb.sql(sql).to_arrow_table().combine_chunks()
        arrays = [found.column(index).chunk(0).cast(field.type) for index, field in enumerate(schema)]
        with Upload(lake.data, table, f"s-{self.newest}") as upload:
            upload.write(pa.RecordBatch.from_arrays(arrays, schema=schema))
            parts = upload.finish()
        with lake.database.write() as connection:
            commits.commit(connection, table, parts)

    @property
    def newest(self) -> int:
        with self.scene.project.lake.database.read() as connection:
            return snapshots.latest(connection)

    def read(self, **options: object) -> tuple[list[int], int]:
        """The ids a session shows, and its LatestVersion."""
        incremental = IncrementalReadOptions(**options) if options else None
        request = CreateReadSessionRequest(
            incremental_read=bool(options), incremental_read_options=incremental
        )
        session = read_sessions.create(self.scene.project, self.scene.target, request, ME)
        address = ReadAddress(session_id=session.session_id)
        stream = rows.read(self.scene.project, self.scene.target, address, ReadRowsRequest(), ME)
        found = pa.Table.from_batches(stream.batches, stream.schema)
        return sorted(found["id"].to_pylist()), session.latest_version

    def ids(self, **options: object) -> list[int]:
        return self.read(**options)[0]

    def theirs(self, where: str = "true") -> list[int]:
        return sorted(self.duckdb(f"SELECT id FROM {T} WHERE {where}")["id"].to_pylist())

    def expire(self) -> None:
        settings = replace(self.scene.project.settings, snapshot_retention=0)
        maintain(replace(self.scene.project, settings=settings), datetime.now(UTC) + timedelta(seconds=1))


@pytest.fixture
def share(
    tmp_path: Path, database: Postgresql | None, duckdb_reader: DuckdbReader
) -> Iterator[Callable[..., Shared]]:
    name = f"p{abs(hash(str(tmp_path)))}"
    opened: list[Service] = []

    def open_project() -> Service:
        for service in opened:
            service.close()
        service = Service.open(tmp_path, project=name, database_url=database.url if database else None)
        opened[:] = [service]
        return service

    def make(columns: str = "id bigint", partitions: str = "", spec: str = "") -> Shared:
        scene = Scene(open_project().project(name), columns, partitions)
        if database is None:
            view = DuckdbView(f"sqlite:{scene.project.lake.data.parent}/lake.sqlite", "READ_WRITE")
        else:
            view = DuckdbView(database.duckdb_catalog, f"METADATA_SCHEMA '{namespace(name)}'")

        def reopen() -> Scene:
            scene.project = open_project().project(name)
            return scene

        return Shared(scene, view, duckdb_reader, reopen, spec)

    yield make
    for service in opened:
        service.close()


def raises(what: str) -> AbstractContextManager[pytest.ExceptionInfo[ConflictError]]:
    return pytest.raises(ConflictError, match=f"another program {what}")


def test_their_inserts_hide_no_row_of_ours_from_them(share: Callable[..., Shared]) -> None:
    t = share()
    t.append(1, 2)
    t.duckdb(f"INSERT INTO {T} VALUES (7)")
    t.append(100, -5)
    t.duckdb(f"INSERT INTO {T} VALUES (8)")
    everything = [-5, 1, 2, 7, 8, 100]
    assert t.ids() == t.theirs() == everything
    assert [t.theirs(f"id = {number}") for number in everything] == [[number] for number in everything]
    assert t.duckdb(f"SELECT min(id) a, max(id) b FROM {T}").to_pylist() == [{"a": -5, "b": 100}]


#: Of every type at rest: a value of ours, one of theirs, a later one of ours, as DuckDB writes them.
VALUES = {
    "tinyint": ("'-128'::TINYINT", "1::TINYINT", "127::TINYINT"),
    "smallint": ("'-32768'::SMALLINT", "1::SMALLINT", "32767::SMALLINT"),
    "int": ("'-2147483648'::INT", "1::INT", "2147483647::INT"),
    "bigint": ("'-9223372036854775808'::BIGINT", "1::BIGINT", "9223372036854775807::BIGINT"),
    "float": ("'-inf'::FLOAT", "1::FLOAT", "'nan'::FLOAT"),
    "double": ("'nan'::DOUBLE", "1::DOUBLE", "'inf'::DOUBLE"),
    "boolean": ("false", "true", "false"),
    "string": ("''", "'m'", "'zz'"),
    "binary": ("''::BLOB", "'m'::BLOB", "'zz'::BLOB"),
    "varchar(9)": ("'a'", "'m'", "'ü'"),
    "date": ("DATE '0001-01-01'", "DATE '2001-01-01'", "DATE '9999-12-31'"),
    "datetime": (
        "TIMESTAMP_MS '0001-01-01 00:00:00'",
        "TIMESTAMP_MS '2001-01-01 00:00:00'",
        "TIMESTAMP_MS '9999-12-31 23:59:59.999'",
    ),
    "timestamp": (
        "TIMESTAMP_NS '1677-09-22 00:00:00'",
        "TIMESTAMP_NS '2001-01-01 00:00:00'",
        "TIMESTAMP_NS '2262-04-11 00:00:00.123456789'",
    ),
    "decimal(38,18)": (
        "'-99999999999999999999.5'::DECIMAL(38,18)",
        "1::DECIMAL(38,18)",
        "99999999999999999999.5::DECIMAL(38,18)",
    ),
    "decimal(9,2)": ("'-9999999.99'::DECIMAL(9,2)", "1::DECIMAL(9,2)", "9999999.99::DECIMAL(9,2)"),
    "interval_year_month": ("'-9'::INT", "1::INT", "99::INT"),
    "array<int>": ("[-5, 6]", "[1]", "[99]"),
    "map<string,bigint>": ("MAP {'a': '-7'::BIGINT}", "MAP {'m': 1::BIGINT}", "MAP {'z': 99::BIGINT}"),
    "struct<x:int,y:string>": ("{'x': -8, 'y': 'a'}", "{'x': 1, 'y': 'm'}", "{'x': 99, 'y': 'z'}"),
    "json": ("'{}'", "'1'", "'\"z\"'"),
}


def test_their_inserts_hide_no_value_of_any_type(share: Callable[..., Shared]) -> None:
    t = share()
    t.append(0)
    added = ", ".join(f"c{index} {kind}" for index, kind in enumerate(VALUES))
    assert t.scene.sql(f"ALTER TABLE t ADD COLUMNS ({added});").succeeded
    ours, theirs, later = (", ".join(values[index] for values in VALUES.values()) for index in range(3))
    t.upload(f"SELECT 1::BIGINT, {ours}")
    t.duckdb(f"INSERT INTO {T} SELECT 2, {theirs}")
    t.upload(f"SELECT 3::BIGINT, {later}")
    t.duckdb(f"INSERT INTO {T} SELECT 4, {theirs}")
    for index, (kind, values) in enumerate(VALUES.items()):
        for number, value in enumerate(values, start=1):
            assert number in t.theirs(f"c{index} = {value}"), (kind, value)
        assert t.theirs(f"c{index} IS NULL") == [0]
    assert t.theirs("c18.x = -8 AND c18.y = 'a'") == [1]
    assert t.ids() == [0, 1, 2, 3, 4]


def test_a_consumer_is_told_their_rows_once(share: Callable[..., Shared]) -> None:
    t = share()
    t.append(1, 2)
    t.duckdb(f"INSERT INTO {T} VALUES (7)")
    assert t.scene.sql("CREATE TABLE other (x bigint);").succeeded
    ids, version = t.read()
    assert ids == [1, 2, 7]
    assert t.ids(start_version=version) == []
    t.append(9)
    t.duckdb(f"INSERT INTO {T} VALUES (10)")
    assert t.ids(start_version=version) == [9, 10]


def test_versions_expire_where_others_may_have_changed_the_table(share: Callable[..., Shared]) -> None:
    t = share()
    t.append(1, 2)
    _, version = t.read()
    t.duckdb(f"INSERT INTO {T} VALUES (7)")
    assert t.scene.sql("CREATE TABLE other (x bigint);").succeeded
    t.expire()
    with pytest.raises(ConflictError, match="expired") as failed:
        t.ids(start_version=version)
    assert failed.value.code is ErrorCode.VERSION_EXPIRED
    ids, version = t.read()
    assert ids == [1, 2, 7]
    for number in range(3):
        assert t.scene.sql(f"CREATE TABLE o{number} (x bigint);").succeeded
    t.expire()
    assert t.ids(start_version=version) == []


def test_merged_files_show_later_rows_in_no_older_version(share: Callable[..., Shared]) -> None:
    t = share()
    for number in range(4):
        t.append(number)
    last = t.newest
    assert t.ids() == [0, 1, 2, 3]
    t.duckdb("CALL lake.merge_adjacent_files()")
    t.duckdb("CALL ducklake_cleanup_old_files('lake', cleanup_all => true)")
    assert t.ids() == t.ids(end_version=last) == t.ids(start_version=1) == [0, 1, 2, 3]
    for options in ({"end_version": last - 1}, {"start_version": last - 1}, {"mode": "cdc"}):
        with raises("merged files"):
            t.ids(**options)
    t.append(9)
    assert t.ids() == [0, 1, 2, 3, 9]
    assert t.ids(start_version=last) == [9]


def test_deleted_rows_are_refused_where_they_are_deleted(share: Callable[..., Shared]) -> None:
    t = share()
    t.append(1, 2)
    before = t.newest
    t.duckdb(f"DELETE FROM {T} WHERE id = 1")
    with raises("deleted"):
        t.ids()
    assert t.ids(end_version=before) == [1, 2]
    deleted = t.newest
    t.duckdb("CALL ducklake_rewrite_data_files('lake', 't', schema => 'default', delete_threshold => 0)")
    assert t.ids() == t.theirs() == [2]
    for options in ({"end_version": deleted}, {"start_version": before}, {"mode": "cdc"}):
        with raises("deleted"):
            t.ids(**options)
    last = t.newest
    t.append(5)
    assert t.ids(start_version=last) == [5]


def test_inlined_rows_are_refused_until_they_are_in_files(share: Callable[..., Shared]) -> None:
    t = share()
    t.append(1, 2)
    before = t.newest
    t.duckdb("CALL lake.set_option('data_inlining_row_limit', 10)")
    t.duckdb(f"INSERT INTO {T} VALUES (7)")
    with raises("keeps rows in the catalog"):
        t.ids()
    with raises("keeps rows in the catalog"):
        t.ids(start_version=before)
    assert t.ids(end_version=before) == [1, 2]
    t.duckdb("CALL ducklake_flush_inlined_data('lake')")
    assert t.ids() == [1, 2, 7]
    t.duckdb(f"DELETE FROM {T} WHERE id = 1")
    with raises("deleted"):
        t.ids()
    assert t.ids(end_version=before) == [1, 2]


def test_opening_a_project_ends_inlining(share: Callable[..., Shared]) -> None:
    t = share()
    t.append(1, 2)
    t.duckdb("CALL lake.set_option('data_inlining_row_limit', 10)")
    t.reopen()
    t.duckdb(f"INSERT INTO {T} VALUES (7)")
    assert t.ids() == [1, 2, 7]


def test_a_catalog_from_before_is_taken_to_be_theirs(share: Callable[..., Shared]) -> None:
    t = share()
    t.append(1, 2)
    with t.scene.project.lake.database.write() as connection:
        connection.execute(delete(snapshots.history))
        connection.execute(
            ducklake.table_column_stats.insert().values(table_id=2, column_id=1, min_value="7", max_value="7")
        )
    t.reopen()
    assert t.read() == ([1, 2], t.newest)
    assert t.theirs("id = 1") == [1]
    assert t.scene.sql("ALTER TABLE t ADD COLUMNS (x bigint);").succeeded
    t.scene.append([3], "")
    assert t.ids() == [1, 2, 3]


def test_a_table_they_drop_is_no_more(share: Callable[..., Shared]) -> None:
    t = share()
    t.append(1, 2)
    session = t.scene.session("")
    address = t.scene.stream(session)
    t.scene.write(address, [3])
    t.scene.close(address)
    t.duckdb(f"DROP TABLE {T}")
    for attempt in (t.ids, lambda: t.append(5)):
        with pytest.raises(NotFoundError) as failed:
            attempt()
        assert failed.value.code is ErrorCode.NO_SUCH_TABLE
    with pytest.raises(MaxlakeError):
        t.scene.commit(session)
    assert not t.scene.sql("DROP TABLE t;").succeeded
    assert t.scene.sql("CREATE TABLE t (id bigint);").succeeded
    t.append(8)
    assert t.ids() == t.theirs() == [8]


def test_a_name_they_took_is_taken(share: Callable[..., Shared]) -> None:
    t = share()
    t.append(1)
    t.duckdb('CREATE TABLE lake."default"."Theirs" (x BIGINT)')
    assert not t.scene.sql("CREATE TABLE theirs (id bigint);").succeeded
    assert not t.scene.sql("ALTER TABLE t RENAME TO theirs;").succeeded
    assert t.ids() == [1]


CHANGES = {
    f"ALTER TABLE {T} ADD COLUMN z INTEGER": "added the column 'z'",
    f"ALTER TABLE {T} DROP COLUMN x": "dropped the column 'x'",
    f"ALTER TABLE {T} RENAME COLUMN x TO y": "changed the column 'x'",
    f"ALTER TABLE {T} ALTER COLUMN x TYPE BIGINT": "changed the column 'x'",
    f"ALTER TABLE {T} ADD COLUMN s.b INTEGER": "added the column 'b'",
    f"ALTER TABLE {T} SET PARTITIONED BY (x)": "changed the partitioning",
    f"ALTER TABLE {T} RENAME TO u": "renamed the table to default.u",
}


@pytest.mark.parametrize("sql", CHANGES)
def test_definitions_they_change_are_refused(share: Callable[..., Shared], sql: str) -> None:
    t = share("id bigint, x int, s struct<a:int>")
    t.append(1)
    t.duckdb(sql)
    for attempt in (t.ids, lambda: t.append(2)):
        with raises(re.escape(CHANGES[sql])) as failed:
            attempt()
        assert failed.value.code is ErrorCode.CHANGED_ELSEWHERE


def test_what_they_change_of_other_tables_is_no_matter(share: Callable[..., Shared]) -> None:
    t = share("id bigint, x int, s struct<a:int, b:array<string>>", "p bigint, q string", "p=1,q=a")
    t.append(1)
    assert t.scene.sql("ALTER TABLE t ADD COLUMNS (d decimal(9,2), m map<string,int>);").succeeded
    assert t.scene.sql("ALTER TABLE t CHANGE COLUMN x y bigint;").succeeded
    assert t.scene.sql("ALTER TABLE t DROP COLUMNS (s);").succeeded
    t.duckdb('CREATE TABLE lake."default".other (x BIGINT)')
    assert t.ids() == t.theirs() == [1]
    t.duckdb(f"INSERT INTO {T} (id, p, q) VALUES (5, 2, 'b')")
    t.append(2)
    assert t.ids() == t.theirs() == [1, 2, 5]
    assert t.ids(start_version=1) == [1, 2, 5]
    assert t.theirs("id = 1") == [1]
    assert t.theirs("p = 1") == [1, 2]


def test_rows_without_a_partition_are_refused(share: Callable[..., Shared]) -> None:
    t = share("id bigint", "pt string", "pt=a")
    t.append(1)
    t.duckdb(f"INSERT INTO {T} VALUES (7, NULL)")
    with raises("wrote rows with no value"):
        t.ids()
    t.duckdb(f"DELETE FROM {T} WHERE pt IS NULL")
    assert t.ids() == [1]


def test_files_from_elsewhere_are_refused(share: Callable[..., Shared], tmp_path: Path) -> None:
    t = share()
    t.append(1)
    file = tmp_path / "elsewhere.parquet"
    t.duckdb(f"COPY (SELECT 77::BIGINT id) TO '{file}'")
    t.duckdb(f"CALL ducklake_add_data_files('lake', 't', '{file}', schema => 'default')")
    with raises(f"added the file {file}"):
        t.ids()


def test_paths_lead_out_of_no_directory(share: Callable[..., Shared]) -> None:
    t = share()
    t.duckdb(f"INSERT INTO {T} VALUES (7)")
    file = ducklake.data_file
    with t.scene.project.lake.database.write() as connection:
        path = connection.execute(select(file.c.path)).scalar_one()
        connection.execute(file.update().values(path=f"../t-2/{path}"))
    with raises("added the file"):
        t.ids()


def test_a_version_they_expired_is_no_range(share: Callable[..., Shared]) -> None:
    t = share()
    for number in range(4):
        t.append(number)
    last = t.newest
    t.duckdb(f"CALL ducklake_expire_snapshots('lake', versions => [{last - 1}])")
    for options in ({"mode": "cdc"}, {"start_version": last - 2}, {"end_version": last - 1}):
        with pytest.raises(ConflictError, match="expired") as failed:
            t.ids(**options)
        assert failed.value.code is ErrorCode.VERSION_EXPIRED
    assert t.ids() == [0, 1, 2, 3]
    assert t.ids(end_version=last - 2) == [0, 1]
