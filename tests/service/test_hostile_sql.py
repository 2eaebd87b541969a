"""Hostile statements: files, databases, settings, internals, other projects, bombs. Each is an error."""

import time
from collections.abc import Iterator

import pytest

from maxlake.protocol.limits import MAX_SQL_NESTING, MAX_SQL_TOKENS
from maxlake.service.project import Project
from maxlake.service.service import Service
from tests.service.sql import Sql

FILES = [
    "select * from read_parquet('/etc/passwd')",
    "select * from read_csv('/etc/passwd')",
    "select * from read_csv_auto('/etc/passwd')",
    "select * from read_text('/etc/passwd')",
    "select * from read_blob('/etc/passwd')",
    "select * from read_json('/etc/passwd')",
    "select * from read_json_auto('/etc/passwd')",
    "select * from read_ndjson('/etc/passwd')",
    "select * from parquet_scan('/etc/passwd')",
    "select * from parquet_metadata('/etc/passwd')",
    "select * from parquet_schema('/etc/passwd')",
    "select * from sniff_csv('/etc/passwd')",
    "select * from glob('/*')",
    "select * from '/etc/passwd'",
    'select * from "/etc/passwd"',
    "select * from `/etc/passwd`",
    "select * from `x.parquet`",
    "select * from 'https://example.com/x.parquet'",
    "select * from `s3://bucket/x.parquet`",
    "select * from sqlite_scan('lake.sqlite', 'maxlake_instance')",
    "select * from postgres_scan('', '', '')",
    "select * from iceberg_scan('/x')",
    "select * from delta_scan('/x')",
    "select read_text('/etc/passwd')",
    "select content from read_text('/etc/passwd') t(content)",
    "copy t to '/tmp/x.csv'",
    "copy (select 1) to '/tmp/x.csv'",
    "copy t from '/etc/passwd'",
    "export database '/tmp/x'",
    "import database '/tmp/x'",
    "load data inpath '/etc/passwd' into table t",
    "unload from t into location 'oss://x'",
    "insert overwrite directory '/tmp/x' select 1",
    "insert overwrite local directory '/tmp/x' select 1",
    "insert into read_parquet('/x') select 1",
    "insert into '/tmp/x' select 1",
    "create table x as select * from read_text('/etc/passwd')",
    "create external table x (a string) location '/etc'",
    "create table x (a string) stored as parquet location '/etc'",
    "create table `../../x` (a int)",
    "create table x.`../y`.z (a int)",
    "drop table `../x`",
]
DATABASES = [
    "attach 'lake.sqlite' as x",
    "attach '/tmp/x.db'",
    "attach 'ducklake:sqlite:lake.sqlite' as lake",
    "detach scans",
    "use scans",
    "install httpfs",
    "load httpfs",
    "install sqlite from community",
    "force install spatial",
    "create secret s (type s3)",
    "create macro f(x) as x",
    "create function f as 'x.jar'",
    "create view v as select 1",
    "create type t as int",
    "create sequence s",
    "create index i on t (a)",
    "create trigger t",
    "call pragma_version()",
    "execute s",
    "prepare s as select 1",
    "begin transaction",
    "commit",
    "checkpoint",
    "vacuum",
    "analyze",
    "explain select 1",
    "explain analyze select 1",
    "add jar x.jar",
    "add file /etc/passwd",
    "grant all on t to x",
]
SETTINGS = [
    "pragma database_list",
    "pragma threads=64",
    "reset threads",
    "select current_setting('threads')",
    "select getenv('HOME')",
    "select set_config('x', 'y', false)",
    "set odps.x",
    "set global x=1",
    "select * from duckdb_settings()",
    "select * from duckdb_secrets()",
    "select * from pragma_table_info('t')",
    "select getvariable('x')",
    "select @@version",
    "select ${x}",
    "select :x",
    "select ?",
]
INTERNALS = [
    "select * from information_schema.tables",
    "select * from information_schema.schemata.x",
    "select * from pg_catalog.pg_class",
    "select * from duckdb_tables()",
    "select * from duckdb_functions()",
    "select * from duckdb_extensions()",
    "select * from duckdb_temporary_files()",
    "select * from sqlite_master",
    "select * from maxlake_instance",
    "select * from ducklake_data_file",
    "select * from scans.scan_0",
    "select * from scans.deleted",
    "select * from main.t",
    "select * from system.main.t",
    "with scans as (select 1) select * from scans.scan_0",
    "select * from other.default.t",
    "select * from other.t",
    "insert into other.t select 1",
    "drop table other.t",
    "create table other.t (a int)",
    "select * from demo.no_schema.t",
    "select odps_text(1)",
    "select error('x')",
    "select query('select 1')",
    "select * from query('select 1')",
    "select * from query_table('t')",
    "select nextval('s')",
    "select pg_sleep(100)",
    "select sleep(100)",
    "select java_method('java.lang.System', 'exit', 1)",
    "select reflect('java.lang.System', 'getenv')",
    "select transform(a) using 'sh' as (b) from t",
    "from t select transform(a) using '/bin/sh'",
    "select * from range(1000000000000)",
    "select * from generate_series(1, 10)",
    "select * from unnest(array(1))",
    "select * from repeat('x', 1000)",
    "select 1; drop table t",
    "select 1 -- \n; drop table t",
    "select 1 /* ; */ ; drop table t",
    "drop table t; select 1",
    "select * from t where a = '' or 1=1; delete from t; --'",
]
BOMBS = [
    "(" * 5000 + "select 1" + ")" * 5000,
    "select " + "(" * 5000 + "1" + ")" * 5000,
    "select " + "-" * 2001 + "1",
    "select " + "not " * 5000 + "true",
    "select " + "case when true then " * 1000 + "1" + " end" * 1000,
    "select " + "concat(" * 1000 + "'x'" + ")" * 1000,
    "select " + "array(" * 500 + "1" + ")" * 500,
    "select 1" + " + 1" * (MAX_SQL_NESTING + 5),
    "select 1" + ", 1" * MAX_SQL_TOKENS,
    "select * from t where a in (" + ", ".join(["1"] * (MAX_SQL_TOKENS + 1)) + ")",
    "select * from " + "(select * from " * 300 + "t" + ") x" * 300,
    "select 1" + " union all select 1" * 2000,
    "with " + ", ".join(f"c{n} as (select 1)" for n in range(30_000)) + " select 1",
    "select '" + "x" * (1024 * 1024) + "'",
    "select 'x",
    "select `x",
    "select /* x",
    "select \x00",
    "\x00\x01\x02",
    "select repeat('x', 100000000000)",
    "select length(repeat(repeat('x', 1000000), 100000))",
    "select lpad('x', 2000000000, 'y')",
    "select size(sequence(1, 100000000000))",
    "select size(array_repeat('x', 100000000000))",
    "select collect_list(x) from (select explode(sequence(1, 1000000000)) as x) t",
    "select cast('x' as array<array<array<" + "array<" * 100 + "int" + ">" * 103 + ")",
]
ALL = [*FILES, *DATABASES, *SETTINGS, *INTERNALS, *BOMBS]
#: What a refusal may take, on a machine that does other things, too.
SECONDS = 60.0


@pytest.fixture(scope="module")
def sql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sql]:
    service = Service.open(tmp_path_factory.mktemp("root"), project="demo")
    project: Project = service.project("demo")
    sql = Sql(project)
    sql.run("create table t (a bigint)")
    sql.run("insert into t values (1)")
    yield sql
    service.close()


@pytest.mark.parametrize("statement", ALL, ids=[f"{n}-{text[:40]!r}" for n, text in enumerate(ALL)])
def test_it_is_a_clear_error_and_the_next_statement_works(sql: Sql, statement: str) -> None:
    begin = time.monotonic()
    error = sql.fail(statement)
    assert time.monotonic() - begin < SECONDS
    assert error.startswith("ODPS-")
    assert len(error) < 2000
    assert sql.run("show tables").result == "me:t\n"


def test_all_is_as_before(sql: Sql) -> None:
    assert sql.rows("select * from t") == [(1,)]
    assert len(ALL) > 100
