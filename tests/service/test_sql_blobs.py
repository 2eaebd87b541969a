"""References in rows that statements write lead to blobs of the very table, or nothing is written."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from maxlake.lake import snapshots
from maxlake.service.service import Service
from tests.service.blob_scene import BlobScene
from tests.service.sql import Sql

BLOBS = [b"first", b"second", b"third"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service.open(tmp_path_factory.mktemp("root"), project="demo")
    yield service
    service.close()


@pytest.fixture(scope="module")
def sql(service: Service) -> Sql:
    """Tables ``t`` and ``keyed``, each with three blobs, and one that nobody uploaded to."""
    project = service.project("demo")
    uploaded(BlobScene(service, project, partitions=""))
    keyed = "id bigint not null, data blob, note string, primary key (id)"
    uploaded(BlobScene(service, project, keyed, partitions="", name="keyed"))
    sql = Sql(project)
    sql.run("create table other (id bigint, data blob, note string)")
    sql.run("create table nested (id bigint, many array<blob>)")
    sql.run("insert into other (id) values (1)")
    return sql


def uploaded(scene: BlobScene) -> None:
    session = scene.session("")
    scene.append_references(session, [scene.blob(session, data) for data in BLOBS])


def references(sql: Sql, table: str) -> list[bytes]:
    return [row[0] for row in sql.rows(f"select data from {table} order by id")]


def version(sql: Sql) -> int:
    with sql.project.lake.database.read() as connection:
        return snapshots.latest(connection)


def data_files(sql: Sql) -> set[Path]:
    return set(sql.project.lake.data.rglob("*.parquet"))


@pytest.mark.parametrize(
    ("statement", "mention"),
    [
        ("insert into other select id, data, 'x' from t", "column data"),
        (
            "insert overwrite table other (data) select a.data from t a join other b on a.id = b.id",
            "blob of an",
        ),
        ("insert into other (id, data) select id, max(data) from t group by id", "blob of another table"),
        ("insert into other (data) select data from t union all select data from keyed", "column data"),
        ("insert into nested select id, array(data) from t", "blob of another table"),
        ("insert into t select 9, 'maxlake-blob:1:demo:x:y:z'", "no reference"),
        ("insert into t select 9, 'hello'", "no reference"),
        ("update keyed set data = 'maxlake-blob:1:demo:x:y:z' where id = 1", "no reference"),
        (
            "merge into keyed k using t on k.id = t.id when matched then update set data = t.data",
            "blob of another table",
        ),
        (
            "merge into keyed k using t on k.id = t.id + 10 "
            "when not matched then insert (id, data) values (t.id + 10, t.data)",
            "blob of another table",
        ),
        ("create table made as select * from t", "column 2 of the query"),
        (
            "create table made as with x as (select many from nested) select many from x",
            "column 1 of the query",
        ),
    ],
)
def test_references_to_blobs_of_other_tables_are_not_written(sql: Sql, statement: str, mention: str) -> None:
    before, files = version(sql), data_files(sql)
    assert mention in sql.fail(statement)
    assert (version(sql), data_files(sql)) == (before, files)


def test_references_go_on_within_their_table(sql: Sql, service: Service) -> None:
    scene = BlobScene(service, sql.project, partitions="", name="own")
    uploaded(scene)
    own = references(sql, "own")
    sql.run("insert into own select id + 3, data from own")
    sql.run("insert into own select id, null from t")
    assert references(sql, "own where data is not null") == own * 2
    sql.run("insert overwrite table own select id, data from own where id in (1, 4) and data is not null")
    assert scene.read_blobs(references(sql, "own")) == [BLOBS[1]] * 2
    kept = references(sql, "keyed")
    sql.run("update keyed set note = 'x' where id > 0")
    sql.run(
        "merge into keyed using t on keyed.id = t.id when matched and t.id = 2 then update set note = 'y'"
    )
    sql.run("delete from keyed where id = 1")
    assert references(sql, "keyed") == [kept[0], kept[2]]


def test_references_are_read_as_text_and_kept_as_bytes(sql: Sql) -> None:
    """Nobody takes a text or binary for a reference, which is what else a query can make of one."""
    assert sql.types("select data from t") == ["blob"]
    sql.run("create table texts as select id, cast(data as string) as data from t")
    assert sql.types("select * from texts") == ["bigint", "string"]
