"""What statements do to the tables of a project: SELECT, INSERT, CREATE TABLE AS, UPDATE, DELETE, MERGE."""

import re
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from maxlake.service.project import Project
from maxlake.service.service import Service
from tests.clients.scripts.every_type import INTERVALS, LISTS, SCALARS, STRUCTS, VARIANTS
from tests.service.scene import Scene
from tests.service.sql import Sql


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One project for all tests, and so one worker process; each uses tables of its own."""
    service = Service.open(tmp_path_factory.mktemp("root"), project="demo")
    yield service.project("demo")
    service.close()


@pytest.fixture
def sql(project: Project) -> Sql:
    return Sql(project)


def test_rows_go_to_static_and_dynamic_partitions(sql: Sql) -> None:
    sql.run("create table ins (id bigint, name string default 'none') partitioned by (pt string, r bigint)")
    sql.run("insert into ins partition (pt='a', r=1) values (1, 'x'), (2, null)")
    sql.run("insert into ins partition (pt='a', r) select 3, 'y', 2")
    sql.run("insert into table ins select 4, 'z', 'b', 3")
    sql.run("insert into ins partition (pt='c', r='7') (id) values (5)")
    assert sql.rows("select * from ins order by id") == [
        (1, "x", "a", 1),
        (2, None, "a", 1),
        (3, "y", "a", 2),
        (4, "z", "b", 3),
        (5, "none", "c", 7),
    ]
    assert sql.run("show partitions ins").result == "pt=a/r=1\npt=a/r=2\npt=b/r=3\npt=c/r=7\n"


def test_overwrite_replaces_what_it_names_or_writes(sql: Sql) -> None:
    sql.run("create table ow (id bigint) partitioned by (pt string)")
    sql.run("insert into ow select 1, 'a' union all select 2, 'b'")
    sql.run("insert overwrite table ow partition (pt) select id + 10, pt from ow where pt = 'a'")
    assert sql.rows("select * from ow order by id") == [(2, "b"), (11, "a")]
    sql.run("insert overwrite table ow partition (pt='b') select 1 where false")
    assert sql.rows("select * from ow") == [(11, "a")]
    sql.run("create table plain (id bigint)")
    sql.run("insert into plain values (1), (2)")
    sql.run("with more as (select id * 10 as id from plain) insert overwrite table plain select * from more")
    assert sql.rows("select * from plain order by id") == [(10,), (20,)]
    sql.run("truncate table plain")
    assert sql.rows("select count(*) from plain") == [(0,)]


@pytest.mark.parametrize("key", ["", ", primary key (id)"])
def test_a_renamed_partition_keeps_its_rows(sql: Sql, key: str) -> None:
    table = "renamed_keyed" if key else "renamed"
    properties = 'tblproperties ("transactional"="true")' if key else ""
    columns = f"id bigint not null, n string{key}"
    sql.run(f"create table {table} ({columns}) partitioned by (pt string, r int) {properties}")
    rows = ("select 1, 'x', 'a', 1", "select 2, null, 'a', 1", "select 1, 'z', 'a', 2")
    sql.run(f"insert into {table} {' union all '.join(rows)}")
    if key:
        sql.run(f"delete from {table} where id = 2 and r = 1")
        sql.run(f"insert into {table} partition (pt='a', r=1) values (3, 'new')")
    sql.run(f"alter table demo.{table} partition (pt='a', r='01') rename to  partition (pt='b', r=7)")
    moved = [(1, "x", "b", 7), (3, "new", "b", 7) if key else (2, None, "b", 7)]
    assert sql.rows(f"select * from {table} order by pt, id") == [(1, "z", "a", 2), *moved]
    assert sql.run(f"show partitions {table}").result == "pt=a/r=2\npt=b/r=7\n"
    sql.run(f"alter table {table} add partition (pt='none', r=0)")
    sql.run(f"alter table {table} partition (pt='none', r=0) rename to partition (pt='nothing', r=0)")
    assert sql.run(f"show partitions {table}").result == "pt=a/r=2\npt=b/r=7\npt=nothing/r=0\n"
    for old, new, mention in (("none", "x", "does not exist"), ("nothing", "nothing", "exists already")):
        statement = f"alter table {table} partition (pt='{old}', r=0) rename to partition (pt='{new}', r=0)"
        assert mention in sql.fail(statement)
    assert len(sql.rows(f"select * from {table}")) == 3


def test_a_partition_that_changes_while_it_is_renamed_loses_no_row(
    sql: Sql, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql.run("create table busy (id bigint) partitioned by (pt string)")
    sql.run("insert into busy partition (pt='a') values (1)")
    run, late = project.queries.workers.run, ["insert into busy partition (pt='a') values (2)"]

    def run_late(*arguments: Any) -> Any:
        done = run(*arguments)
        if late:
            sql.run(late.pop())
        return done

    monkeypatch.setattr(project.queries.workers, "run", run_late)
    sql.run("alter table busy partition (pt='a') rename to partition (pt='b')")
    assert sql.rows("select * from busy order by id") == [(1, "b"), (2, "b")]


def test_joins_windows_and_grouping(sql: Sql) -> None:
    sql.run("create table left_ (id bigint, v string)")
    sql.run("create table right_ (id bigint, w bigint)")
    sql.run("insert into left_ values (1, 'a'), (2, 'b'), (3, 'c')")
    sql.run("insert into right_ values (1, 10), (1, 11), (4, 40)")
    assert sql.rows("select l.id, w from left_ l join right_ r on l.id = r.id order by w") == [
        (1, 10),
        (1, 11),
    ]
    left = "select l.id, r.w from left_ l left outer join right_ r on l.id = r.id and r.w > 10 order by 1, 2"
    assert sql.rows(left) == [(1, 11), (2, None), (3, None)]
    assert sql.rows("select id from left_ left semi join right_ on left_.id = right_.id") == [(1,)]
    assert sql.rows("select id from left_ left anti join right_ on left_.id = right_.id order by id") == [
        (2,),
        (3,),
    ]
    assert sql.rows("select id from left_ where id not in (select id from right_) order by id") == [
        (2,),
        (3,),
    ]
    assert sql.rows("select l.id from left_ l full outer join right_ r on l.id = r.id order by 1")[0] == (
        None,
    )
    assert sql.rows(
        "select id, w, row_number() over (partition by id order by w desc) n from right_ order by id, n"
    ) == [(1, 11, 1), (1, 10, 2), (4, 40, 1)]
    rollup = "select id, sum(w) from right_ group by id with rollup order by id"
    assert sql.rows(rollup) == [(None, 61), (1, 21), (4, 40)]
    assert sql.rows("select /*+ mapjoin(r) */ count(*) from left_ l join right_ r on l.id < r.id") == [(3,)]
    nested = (
        "with a as (select id from left_), b as (select id from a where id > 1) select max(id) as m from b"
    )
    assert sql.rows(nested) == [(3,)]


def test_an_outer_join_is_not_pruned_by_what_comes_after_it(sql: Sql) -> None:
    sql.run("create table one (id bigint)")
    sql.run("create table two (id bigint, x bigint)")
    sql.run("insert into one values (1), (2)")
    sql.run("insert into two values (1, 5)")
    sql.run("insert into two select 2, null")
    missing = "select one.id from one left join two on one.id = two.id where two.x is null"
    assert sql.rows(missing) == [(2,)]


def test_created_as_its_query_is(sql: Sql) -> None:
    sql.run("create table origin (id bigint, c char(3), j json, d decimal(10,2))")
    sql.run("insert into origin values (1, 'abc', '{}', 1.5)")
    sql.run("create table copied lifecycle 3 as select *, id + 1 as next, 'x' as t from origin")
    assert sql.types("select * from copied") == [
        "bigint",
        "char(3)",
        "json",
        "decimal(10,2)",
        "bigint",
        "string",
    ]
    assert sql.rows("select * from copied") == [(1, "abc", "{}", Decimal("1.50"), 2, "x")]
    assert sql.fail("create table copied as select 1 as x").startswith("ODPS-0130071:")
    sql.run("create table if not exists copied as select 2 as y")
    assert sql.rows("select count(*) from copied") == [(1,)]
    sql.run("create table alike like origin")
    assert sql.rows("select * from alike") == []
    assert Scene(sql.project, name="copied", exists=True).ids() == [1]


def test_every_type_through_sql_and_storage_api_agrees(sql: Sql) -> None:
    columns = [*SCALARS, *INTERVALS, *LISTS, *STRUCTS, *VARIANTS]
    definition = ", ".join(f"{column.name} {column.odps}" for column in columns)
    scene = Scene(sql.project, definition, "", name="every")
    session = scene.session("")
    address = scene.stream(session)
    uploaded = pa.table({column.name: column.array for column in columns})
    scene.write_table(address, uploaded)
    scene.close(address)
    scene.commit(session)
    assert sql.types("select * from every") == [str(column.odps) for column in columns]
    assert _same(sql.table("select * from every"), scene.rows())
    copy = Scene(sql.project, definition, "", name="every_copy")
    sql.run("insert into every_copy select * from every")
    assert _same(copy.rows(), scene.rows())
    sql.run("create table every_made as select * from every")
    made = Scene(sql.project, "", "", name="every_made", exists=True)
    assert _same(made.rows(), scene.rows())


def _same(one: pa.Table, other: pa.Table) -> bool:
    """Compare by text: NaN is equal to itself there."""
    return one.schema.equals(other.schema) and str(one.to_pylist()) == str(other.to_pylist())


def test_columns_added_renamed_widened_and_dropped(sql: Sql) -> None:
    sql.run("create table evolved (a int, b string, c bigint)")
    sql.run("insert into evolved values (1, 'old', 7)")
    sql.run(
        "alter table evolved add columns "
        "(d decimal(5,1) default 2.5, e datetime default '2020-01-02 03:04:05')"
    )
    sql.run("alter table evolved change column b rename to bb")
    sql.run("alter table evolved change column a a bigint")
    sql.run("alter table evolved drop columns c")
    sql.run("insert into evolved (a, bb) values (5000000000, 'new')")
    moment = datetime(2020, 1, 2, 3, 4, 5)
    assert sql.rows("select * from evolved order by a") == [
        (1, "old", Decimal("2.5"), moment),
        (5_000_000_000, "new", Decimal("2.5"), moment),
    ]


def test_results_have_the_types_of_odps(sql: Sql) -> None:
    query = (
        "select 1 a, 1L b, 1.5 c, 'x' d, true e, date'2020-01-01' f, datetime'2020-01-01 00:00:00' g, "
        "cast('2020-01-01 00:00:00.123456789' as timestamp) h, array(1, 2) i, map('a', 1L) j, "
        "named_struct('a', 1, 'b', 'x') k, sum(1L) l, count(*) m, 1 / 2 n, interval '1' day o, 1 a"
    )
    instance = sql.run(query)
    assert [(column.name, column.type) for column in instance.columns] == [
        ("a", "int"),
        ("b", "bigint"),
        ("c", "decimal(2,1)"),
        ("d", "string"),
        ("e", "boolean"),
        ("f", "date"),
        ("g", "datetime"),
        ("h", "timestamp"),
        ("i", "array<int>"),
        ("j", "map<string,bigint>"),
        ("k", "struct<a:int,b:string>"),
        ("l", "bigint"),
        ("m", "bigint"),
        ("n", "double"),
        ("o", "interval_day_time"),
        ("a_2", "int"),
    ]
    assert sql.rows("select date'2020-01-01', 1.5, 'x''y'")[0] == (date(2020, 1, 1), Decimal("1.5"), "xy")


def test_a_table_with_a_primary_key_is_updated_deleted_from_and_merged_into(sql: Sql) -> None:
    sql.run("create table keyed (id bigint not null, v string, n bigint, primary key (id))")
    sql.run("insert into keyed values (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)")
    sql.run("insert into keyed values (1, 'A', 10)")
    sql.run("update keyed set v = concat(v, '!'), n = n + 1 where id <= 2")
    sql.run("delete from keyed where id = 3")
    assert sql.rows("select * from keyed order by id") == [(1, "A!", 11), (2, "b!", 3)]
    sql.run("create table changes (id bigint, v string)")
    sql.run("insert into changes values (1, 'x'), (2, 'gone'), (9, 'new')")
    sql.run(
        "merge into keyed t using changes s on t.id = s.id "
        "when matched and s.v = 'gone' then delete when matched then update set v = s.v "
        "when not matched then insert (id, v) values (s.id, s.v)"
    )
    assert sql.rows("select * from keyed order by id") == [(1, "x", 11), (9, "new", None)]
    sql.run("insert overwrite table keyed select 5, 'five', 5")
    assert sql.rows("select * from keyed") == [(5, "five", 5)]
    assert "primary key" in sql.fail("update changes set v = 'x'")
    assert "cannot be changed" in sql.fail("update keyed set id = 1")


AMBIGUOUS = "several rows of the source match one row"


@pytest.mark.parametrize(
    ("source", "branches", "error"),
    [
        ("(1, 'x'), (1, 'y')", "when matched then update set v = s.v", AMBIGUOUS),
        ("(2, 'x'), (1, 'y'), (2, 'x')", "when matched then delete", AMBIGUOUS),
        (
            "(1, 'x'), (1, 'y')",
            "when matched and s.v = 'x' then delete when matched then update set v = s.v",
            AMBIGUOUS,
        ),
        ("(1, 'x'), (1, 'y')", "when matched and s.v = 'x' then update set v = s.v", None),
        ("(1, 'x'), (2, 'x')", "when matched then update set v = s.v", None),
        ("(3, 'x'), (3, 'y')", "when not matched then insert values (s.id, 'x', s.v)", None),
    ],
)
def test_a_row_is_merged_into_once_or_nothing_is(
    sql: Sql, source: str, branches: str, error: str | None
) -> None:
    sql.run("drop table if exists once")
    sql.run("create table once (ID bigint not null, v string, primary key (id)) partitioned by (pt string)")
    sql.run("insert into once partition (pt='a') values (1, 'a'), (2, 'b')")
    statement = (
        f"merge into once t using (select * from values {source} as s(id, v)) s on t.id = s.id {branches}"
    )
    if error is None:
        sql.run(statement)
        assert sql.rows("select * from once") != [(1, "a", "a"), (2, "b", "a")]
    else:
        message = sql.fail(statement)
        assert message.startswith("ODPS-0121095:")
        assert error in message
        assert "ID=1, pt=a" in message or "ID=2, pt=a" in message
        assert sql.rows("select * from once order by id") == [(1, "a", "a"), (2, "b", "a")]


@pytest.mark.parametrize(
    ("statement", "code", "mention"),
    [
        ("select nope from bad", "ODPS-0130071", "nope"),
        ("select * from missing", "ODPS-0130131", "missing"),
        ("select * from no_schema.nope.t", "ODPS-0420411", "no_schema"),
        ("insert into bad select 1", "ODPS-0130071", "2 are inserted"),
        ("insert into bad (zz) select 1", "ODPS-0130071", "zz"),
        ("insert into bad select 'x', 'y'", "ODPS-0121095", "Could not convert"),
        ("insert into bad values (1, 'toolong')", "ODPS-0420411", "char(3)"),
        ("insert into bad values (null, 'x')", "ODPS-0121095", "NOT NULL"),
        ("insert into bad partition (pt='a') values (1, 'x')", "ODPS-0420411", "pt"),
        ("select sum(9223372036854775807) from (values (1), (2)) as t(x)", "ODPS-0121095", "Conversion"),
        ("update bad set c = 'x'", "ODPS-0130071", "primary key"),
        ("delete from bad where id = 1", "ODPS-0130071", "INSERT OVERWRITE"),
        (
            "merge into bad using t2 on bad.id = t2.id when matched then delete",
            "ODPS-0130071",
            "INSERT OVERWRITE",
        ),
    ],
)
def test_a_bad_statement_is_an_error_that_says_why(sql: Sql, statement: str, code: str, mention: str) -> None:
    sql.run("create table if not exists bad (id bigint not null, c char(3))")
    error = sql.fail(statement)
    assert error.startswith(f"{code}:")
    assert mention in error
    assert sql.rows("select count(*) from bad") == [(0,)]


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("select 1,\n  nope from bad", "[2,3]"),
        ("select 'é', `no pe` from bad", "[1,13]"),
        ("select id from bad where\n\tid = 1 and b.c = 'x'", "[2,13]"),
        ("select id from (select id, nope from bad where id in (1, 2)) t where nope = 1", "[1,28]"),
        ("select x.id, x.nope from (select id, 1 as nope from bad) y join bad x on x.id = y.id", "[1,14]"),
        ("select id, c, count(*) from bad group by id", "[1,12]"),
        ("insert into bad (id) select nope + 1 from bad", "[1,29]"),
        ("create table worse as select id from bad union all\nselect zz from bad", "[2,8]"),
        ("select * from bad join\n demo.missing m on bad.id = m.id", "[2,2]"),
        ("merge into bad using missing on bad.id = missing.id when matched then delete", "primary key"),
        ("desc missing", "[1,6]"),
        ("drop table missing", "[1,12]"),
        ("alter table\nmissing drop columns x", "[2,1]"),
        ("select instr(id, 1, 'x') from bad", None),
        ("select id from bad union all select id, c from bad", None),
        ("insert into bad select cast('x' as bigint), 1 / 0", None),
    ],
)
def test_an_error_has_its_place_where_that_is_known(sql: Sql, statement: str, place: str | None) -> None:
    sql.run("create table if not exists bad (id bigint not null, c char(3))")
    error = sql.fail(statement)
    if place is None:
        assert re.match(r"ODPS-\d+: ", error), error
    else:
        assert place in error


def test_questions_are_answered_as_text(sql: Sql) -> None:
    sql.run(
        "create table asked (id bigint comment 'the id') comment 'a table' "
        "partitioned by (pt string) lifecycle 5"
    )
    described = sql.run("desc asked").result
    assert all(
        text in described for text in ("id | bigint", "the id", "a table", "Lifecycle: 5", "pt | string")
    )
    again = sql.run("show create table asked").result
    sql.run("drop table asked")
    sql.run(again)
    assert sql.run("show create table asked").result == again
    assert "me:asked\n" in sql.run("show tables").result
    assert sql.run("show tables like 'ask*'").result == "me:asked\n"
    assert "default" in sql.run("show schemas").result
    sql.run("alter table asked add partition (pt='x')")
    assert "RecordNum: 0" in sql.run("desc asked partition (pt='x')").result
    assert sql.fail("desc asked partition (pt='y')")


def test_settings_may_stand_before_a_statement(sql: Sql) -> None:
    sql.run("create schema other")
    sql.run("set odps.default.schema=other; create table there (i int)")
    sql.run("insert into demo.other.there values (3)")
    assert sql.rows(
        "set odps.sql.type.system.odps2=true; set odps.default.schema=other; select i from there"
    ) == [(3,)]
