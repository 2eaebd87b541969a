"""DDL: what PyODPS 0.13.0 and 0.13.2 generate is understood whole, all else is a parse error."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.limits import MAX_XML_BODY
from maxlake.protocol.partitions import PartitionSpec
from maxlake.protocol.sql.model import (
    AddColumns,
    AddPartitions,
    ChangeColumn,
    ColumnDefinition,
    CreateSchema,
    CreateTable,
    DropColumns,
    DropPartitions,
    DropSchema,
    DropTable,
    RenameTable,
    SchemaName,
    SetComment,
    SetLifecycle,
    SetOwner,
    SortKey,
    Statement,
    TableName,
    Touch,
)
from maxlake.protocol.sql.statements import parse_statement
from maxlake.protocol.types.text import parse_type

T = TableName("p", None, "t")
PARSE_EXCEPTION = re.compile(r"ODPS-0130161:\[[1-9][0-9]*,[1-9][0-9]*\] Parse exception - .+", re.DOTALL)

TYPES = [
    "TINYINT",
    "SMALLINT",
    "INT",
    "BIGINT",
    "FLOAT",
    "DOUBLE",
    "BOOLEAN",
    "STRING",
    "BINARY",
    "DATE",
    "DATETIME",
    "TIMESTAMP",
    "TIMESTAMP_NTZ",
    "INTERVAL_DAY_TIME",
    "INTERVAL_YEAR_MONTH",
    "DECIMAL",
    "DECIMAL(10,2)",
    "JSON",
    "BLOB",
    "VARIANT",
    "CHAR(3)",
    "VARCHAR(9)",
    "vector(float, 3)",
    "ARRAY<INT>",
    "MAP<STRING,ARRAY<BIGINT>>",
    "STRUCT<`A`:INT,`B`:ARRAY<MAP<STRING,DECIMAL(10,2)>>>",
    "struct<timestamp:timestamp, `b c`:interval_day_time, list:array<variant>>",
]


def column(name: str, type_text: str, nullable: bool = True, comment: str | None = None) -> ColumnDefinition:
    return ColumnDefinition(name, parse_type(type_text), nullable, comment)


ID, NAME = column("Id", "bigint"), column("select", "string")
COLUMNS = "(\n  `Id` BIGINT,\n  `select` STRING\n)"

UNDERSTOOD: list[tuple[str, Statement]] = [
    (f"CREATE TABLE `t` {COLUMNS}", CreateTable(TableName(None, None, "t"), (ID, NAME))),
    (f"CREATE TABLE IF NOT EXISTS p.`t` {COLUMNS};", CreateTable(T, (ID, NAME), if_not_exists=True)),
    (f"CREATE TABLE p.s1.`select` {COLUMNS}", CreateTable(TableName("p", "s1", "select"), (ID, NAME))),
    (f"create table p.`s1`.`t` {COLUMNS}", CreateTable(TableName("p", "s1", "t"), (ID, NAME))),
    (
        "CREATE TABLE p.`t` (\nid bigint not null, name string,\n  PRIMARY KEY (`id`)\n)",
        CreateTable(T, (column("id", "bigint", False), column("name", "string")), primary_key=("id",)),
    ),
    (
        "CREATE TABLE p.`t` (\nid bigint, name string\n)\nCOMMENT 'c'\n"
        "PARTITIONED BY (\npt string\n)\nLIFECYCLE 3;",
        CreateTable(
            T,
            (column("id", "bigint"), column("name", "string")),
            (column("pt", "string"),),
            comment="c",
            lifecycle=3,
        ),
    ),
    (
        "CREATE TABLE p.`t` (\n  `c0` TINYINT NOT NULL COMMENT 'it\\'s \\\"q\\\" \\\\ \\n\\t0',\n"
        "  `c3` BIGINT NOT NULL,\n  PRIMARY KEY (`c3`, `c0`)\n)\nCOMMENT 'it\\'s a \\\\ \\\"table\\\"\\n2'\n"
        "PARTITIONED BY (\n  `pt` STRING COMMENT 'day',\n  `region` BIGINT\n)\n"
        "TBLPROPERTIES (\n  'acid.x' = 'y\\'z',\n  'flag' = 'true',\n  'transactional' = 'true'\n)\n"
        "LIFECYCLE 7",
        CreateTable(
            T,
            (column("c0", "tinyint", False, 'it\'s "q" \\ \n\t0'), column("c3", "bigint", False)),
            (column("pt", "string", comment="day"), column("region", "bigint")),
            comment='it\'s a \\ "table"\n2',
            lifecycle=7,
            properties={"acid.x": "y'z", "flag": "true", "transactional": "true"},
            primary_key=("c3", "c0"),
        ),
    ),
    (
        f"CREATE TABLE p.`t` {COLUMNS}\nCLUSTERED BY (`Id`) SORTED BY (`select` DESC) INTO 4 BUCKETS",
        CreateTable(
            T, (ID, NAME), clustered_by=("Id",), sorted_by=(SortKey("select", descending=True),), buckets=4
        ),
    ),
    (
        f"CREATE TABLE p.`t` {COLUMNS}\nCLUSTERED BY (`Id`) SORTED BY (`Id` ASC, `select`) INTO 4 BUCKETS\n"
        "TBLPROPERTIES (\n  'a' = 'b'\n)\nLIFECYCLE 2",
        CreateTable(
            T,
            (ID, NAME),
            lifecycle=2,
            properties={"a": "b"},
            clustered_by=("Id",),
            sorted_by=(SortKey("Id"), SortKey("select")),
            buckets=4,
        ),
    ),
    (
        "create table p.t (a int default -1 comment 'x', b string not null default 'y',"
        " c double default null)",
        CreateTable(
            T,
            (
                ColumnDefinition("a", parse_type("int"), comment="x", default="-1"),
                ColumnDefinition("b", parse_type("string"), nullable=False, default="y"),
                ColumnDefinition("c", parse_type("double")),
            ),
        ),
    ),
    ("DROP TABLE p.`t`", DropTable(T)),
    ("DROP TABLE IF EXISTS p.`t`;", DropTable(T, if_exists=True)),
    ("DROP TABLE p.s1.`t`", DropTable(TableName("p", "s1", "t"))),
    (
        "ALTER TABLE p.`t` ADD  PARTITION (pt='20240101',region='1')",
        AddPartitions(T, (PartitionSpec((("pt", "20240101"), ("region", "1"))),)),
    ),
    (
        "ALTER TABLE p.`t` ADD IF NOT EXISTS  PARTITION (pt='a b') PARTITION (pt='c');",
        AddPartitions(
            T, (PartitionSpec((("pt", "a b"),)), PartitionSpec((("pt", "c"),))), if_not_exists=True
        ),
    ),
    (
        "ALTER TABLE p.`t` DROP IF EXISTS  PARTITION (pt='v');",
        DropPartitions(T, (PartitionSpec((("pt", "v"),)),), if_exists=True),
    ),
    (
        "alter table p.t drop partition (pt=1), partition (pt=-2)",
        DropPartitions(T, (PartitionSpec((("pt", "1"),)), PartitionSpec((("pt", "-2"),)))),
    ),
    (
        "ALTER TABLE p.`t` ADD COLUMNS IF NOT EXISTS (\n    `n` STRING COMMENT 'x'\n)",
        AddColumns(T, (column("n", "string", comment="x"),), if_not_exists=True),
    ),
    (
        "ALTER TABLE p.`t` ADD COLUMNS (\na double, b double\n)",
        AddColumns(T, (column("a", "double"), column("b", "double"))),
    ),
    (
        "alter table p.t add column if not exists d int not null default 7 comment 'x'",
        AddColumns(
            T,
            (ColumnDefinition("d", parse_type("int"), nullable=False, comment="x", default="7"),),
            if_not_exists=True,
        ),
    ),
    ("alter table p.t add columns a array<int>", AddColumns(T, (column("a", "array<int>"),))),
    ("ALTER TABLE p.`t` DROP COLUMNS `a`, `select`", DropColumns(T, ("a", "select"))),
    ("alter table p.t drop column a", DropColumns(T, ("a",))),
    ("alter table p.t drop columns (a, b)", DropColumns(T, ("a", "b"))),
    ("ALTER TABLE p.`t` CHANGE COLUMN order RENAME TO desc", ChangeColumn(T, "order", new_name="desc")),
    ("alter table p.t change a rename to `b`", ChangeColumn(T, "a", new_name="b")),
    ("alter table p.t rename column a to b", ChangeColumn(T, "a", new_name="b")),
    (
        "ALTER TABLE p.`t` CHANGE COLUMN a   `b` decimal(10,2) NOT NULL COMMENT 'it\\'s'",
        ChangeColumn(T, "a", new_name="b", type=parse_type("decimal(10,2)"), nullable=False, comment="it's"),
    ),
    (
        "alter table p.t change a comment string",
        ChangeColumn(T, "a", new_name="comment", type=parse_type("string")),
    ),
    ("alter table p.t change column a comment 'x'", ChangeColumn(T, "a", comment="x")),
    ("alter table p.t change column a null", ChangeColumn(T, "a", nullable=True)),
    ("ALTER TABLE p.`t` RENAME TO `u`", RenameTable(T, "u")),
    ("ALTER TABLE p.`t` SET LIFECYCLE 9;", SetLifecycle(T, 9)),
    ("ALTER TABLE p.`t` SET COMMENT 'it\\'s';", SetComment(T, "it's")),
    ("ALTER TABLE p.`t` CHANGEOWNER TO 'it\\'s';", SetOwner(T, "it's")),
    ("ALTER TABLE p.`t` TOUCH;", Touch(T)),
    ("ALTER TABLE p.`t` TOUCH  PARTITION (pt='a')", Touch(T, PartitionSpec((("pt", "a"),)))),
    ("CREATE SCHEMA p.s1;", CreateSchema(SchemaName("p", "s1"))),
    ("create schema if not exists s1", CreateSchema(SchemaName(None, "s1"), if_not_exists=True)),
    ("DROP SCHEMA p.s1;", DropSchema(SchemaName("p", "s1"))),
    ("drop schema if exists p.s1", DropSchema(SchemaName("p", "s1"), if_exists=True)),
]

REFUSED = [
    "",
    ";",
    "t",
    "set a=b;",
    "create table t (a int); drop table t",
    "touch t",
    "add jar x",
    "create view v as select 1",
    "create function f as 'x'",
    "create external table t (a int) location 'x'",
    "create temporary table t (a int)",
    "create or replace table t (a int)",
    "create table function t (a int)",
    "create table t",
    "create table t ()",
    "create table t, (a int)",
    "create table t (a int",
    "create table t (a int))",
    "create table t (a)",
    "create table t (a foo)",
    "create table t (a integer)",
    "create table t (a char)",
    "create table t (a decimal(10,2)",
    "create table t (a array<int)",
    "create table t (a struct<x>)",
    "create table t (a 'x')",
    "create table t (a int, A string)",
    "create table t (a int) partitioned by (A string)",
    "create table t (a int) partitioned by (pt)",
    "create table t (a int) partitioned by (pt string default 'x')",
    "create table t (a int) auto partitioned by (pt string)",
    "create table t (`a b` int)",
    "create table t (`a/b` int)",
    "create table `../t` (a int)",
    "create table a.b.c.d (x int)",
    "create table t (a int) as",
    "create table t (a int) as select 1",
    "create table t (a int) as lifecycle 1",
    "create table t (a int) 'a'='b'",
    "create table t (a int) external",
    "create table t (a int) stored as parquet",
    "create table t (a int) lifecycle",
    "create table t (a int) lifecycle 0",
    "create table t (a int) lifecycle 1.5",
    "create table t (a int) lifecycle '3'",
    "create table t (a int) lifecycle 99999999999999999999",
    "create table t (a int) lifecycle 3 lifecycle 4",
    "create table t (a int) comment 'a' comment 'b'",
    "create table t (a int) comment 3",
    "create table t (a int) comment 'open",
    "create table t (a int comment 'a' comment 'b')",
    "create table t (a int unique)",
    "create table t (a int primary key)",
    "create table t (a int check (a > 0))",
    "create table t (a int default f(1))",
    "create table t (a int default 1 + 1)",
    "create table t (a int, primary key (b))",
    "create table t (a int, primary key (a, A))",
    "create table t (a int, primary key (a), primary key (a))",
    "create table t (a int) tblproperties ('a'='b','a'='c')",
    "create table t (a int) tblproperties (a='b')",
    "create table t (a int) tblproperties ('a'=1)",
    "create table t (a int) tblproperties ('a')",
    "create table t (a int) clustered by (a)",
    "create table t (a int) clustered by (a) into 4",
    "create table t (a int) clustered by (a) into 0 buckets",
    "create table t (a int) clustered by (a) into 4097 buckets",
    "create table t (a int) clustered by (b) into 4 buckets",
    "create table t (a int) clustered by (a) sorted by (a nulls last) into 4 buckets",
    "create table t (a int) range clustered by (a) into 4 buckets",
    "drop table a, b",
    "drop table t purge",
    "drop table t cascade",
    "drop view v",
    "drop schema p.s cascade",
    "drop schema a.b.c",
    "alter table t",
    "alter table t touch x",
    "alter table t touch partition",
    "alter table t changeowner 'x'",
    "alter table t changeowner to x",
    "alter table t changeowner to",
    "alter table t drop columns",
    "alter table t drop columns ()",
    "alter table t drop columns a b",
    "alter table t drop columns a, A",
    "alter table t drop columns (a",
    "alter table t drop column if exists a",
    "alter table t drop column 'a'",
    "alter table t drop column 1",
    "alter table t drop a",
    "alter table t drop column `a/b`",
    "alter table t change",
    "alter table t change column a",
    "alter table t change column a b",
    "alter table t change column a b foo",
    "alter table t change column a b int first",
    "alter table t change column a b int after c",
    "alter table t change column a b int null",
    "alter table t change column a b int default 1",
    "alter table t change column a b int unique",
    "alter table t change column a b int cascade",
    "alter table t change column a comment",
    "alter table t change column a comment 3",
    "alter table t change column a not null",
    "alter table t change column a rename b",
    "alter table t change column 'a' rename to b",
    "alter table t change column a rename to 'b'",
    "alter table t change column a null, change column b null",
    "alter table t alter column a type bigint",
    "alter table t replace columns (a int)",
    "alter table t rename u",
    "alter table t rename to u v",
    "alter table t rename column a b",
    "alter table t rename column a to",
    "alter table t add a int",
    "alter table t add column a",
    "alter table t add column a int, b int",
    "alter table t add columns ()",
    "alter table t add columns (a int, A int)",
    "alter table t add columns (a int) (b int)",
    "alter table t add columns (a int, primary key (a))",
    "alter table t add column 'a' int",
    "alter table t add column a int default f(1)",
    "alter table t add column a int after b",
    "alter table t add columns (a int) cascade",
    "alter table t add columns",
    "alter table t add partition",
    "alter table t add partition (pt>'1')",
    "alter table t add partition (pt)",
    "alter table t add partition (pt='')",
    "alter table t add partition (pt=null)",
    "alter table t add partition (pt='1', PT='2')",
    "alter table t add partition (pt='1') location 'x'",
    "alter table t partition (pt='1') rename to u",
    "alter table t partition (pt='1') rename to partition (pt)",
    "alter table t partition (pt='1') set lifecycle 1",
    "alter table t not clustered",
    "alter table t range clustered by (id)",
    "alter table t clustered by (id) into 4 buckets",
    "alter table t rename to p.u",
    "alter table t set lifecycle 1 comment 'x'",
    "alter table t set tblproperties ('a'='b')",
    "alter view v rename to w",
    "(" * 5000,
    "create table t (a " + "array<" * 500 + "int" + ">" * 500 + ")",
    " " * (MAX_XML_BODY + 1),
]


def refusal(text: str) -> str:
    with pytest.raises(BadRequestError) as caught:
        parse_statement(text)
    assert caught.value.code is ErrorCode.PARSE_ERROR
    assert PARSE_EXCEPTION.fullmatch(str(caught.value))
    return str(caught.value)


@pytest.mark.parametrize(("text", "expected"), UNDERSTOOD)
def test_understood(text: str, expected: Statement):
    assert parse_statement(text) == expected


VECTORS = Path(__file__).parent.parent.parent / "vectors"
HELPER_TASK = re.compile(
    r"<Name>SQL\w+Task</Name>.*<Query>(?:<!\[CDATA\[)?(.*?)(?:\]\]>)?</Query>", re.DOTALL
)


def test_captured_statements_of_the_helpers_are_understood():
    bodies = [
        exchange["request"].get("body", "")
        for path in sorted(VECTORS.glob("rest-*/*.json"))
        for exchange in json.loads(path.read_text())["exchanges"]
    ]
    statements = [found[1] for body in bodies if (found := HELPER_TASK.search(body))]
    kinds = {type(parse_statement(text)) for text in statements}
    assert kinds == {CreateTable, DropTable, AddPartitions, DropPartitions}


@pytest.mark.parametrize("type_text", TYPES)
def test_every_type_as_column(type_text: str):
    found = parse_statement(f"CREATE TABLE t (`c` {type_text} NOT NULL, d {type_text}) LIFECYCLE 1")
    assert isinstance(found, CreateTable)
    assert [definition.type for definition in found.columns] == [parse_type(type_text)] * 2
    assert [definition.nullable for definition in found.columns] == [False, True]


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:60])
def test_refused(text: str):
    refusal(text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("create table t (a int) stored by 'x'", "[1,24]"),
        ("create table t (\n  a int,\n  b foo)", "[3,3]"),
        ("alter table t\nadd partition (pt>'1')", "[2,16]"),
        ("drop table t cascade", "[1,14]"),
    ],
)
def test_the_place_of_the_error(text: str, place: str):
    assert place in refusal(text)


WORDS = re.findall(
    r"\S+",
    """as like cascade restrict purge external temporary location stored range auto if not exists null
    unique primary key comment lifecycle 3 'x' "y" `z` x , ( ) = - . ; partition partitioned by columns
    first after asc default tblproperties column change rename to
    clustered into buckets with no data select from where function
    or replace""",
)
# What may stand there and says nothing: NULL is what a column is anyhow, ASC is the order anyhow, and an
# empty statement is none.
IDLE = {"null", "asc", ";"}


def says_nothing(before: str, word: str) -> bool:
    """Tell of such a word; COLUMN is one where it may be left out, after CHANGE."""
    return word in IDLE or (word == "column" and before.rstrip().lower().endswith(" change"))


def understood(text: str) -> Statement | None:
    try:
        return parse_statement(text)
    except BadRequestError as error:
        if error.code is not ErrorCode.PARSE_ERROR:
            raise
        return None


def insertions(text: str) -> list[tuple[str, str, str]]:
    """Every word at every gap outside of strings: what stands before it, the word, the whole."""
    gaps = [gap.start() for gap in re.finditer(r"(?<=[\s,()])(?=[\w`'])|\Z", text)]
    outside = [gap for gap in gaps if text[:gap].replace("\\'", "").count("'") % 2 == 0]
    return [(text[:gap], word, f"{text[:gap]} {word} {text[gap:]}") for gap in outside for word in WORDS]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from([text for text, _ in UNDERSTOOD]), st.data())
def test_an_inserted_word_is_never_overlooked(text: str, data: st.DataObject):
    before, word, changed = data.draw(st.sampled_from(insertions(text)))
    assert understood(changed) != parse_statement(text) or says_nothing(before, word), changed


@pytest.mark.slow
def test_no_inserted_word_is_overlooked_anywhere() -> None:
    """All of what the test above draws from."""
    for text, expected in UNDERSTOOD:
        for before, word, changed in insertions(text):
            assert understood(changed) != expected or says_nothing(before, word), changed


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([text for text, _ in UNDERSTOOD]), st.data())
def test_a_truncated_statement_is_another_or_an_error(text: str, data: st.DataObject):
    cut = text[: data.draw(st.integers(0, len(text.rstrip(";")) - 1))]
    assert understood(cut) != parse_statement(text)


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_comments_escaped_as_pyodps_does_read_back(comment: str):
    escapes = {"\b": r"\b", "\t": r"\t", "\n": r"\n", "\r": r"\r", "'": r"\'", '"': r"\"", "\\": r"\\"}
    written = "".join(escapes.get(character, character) for character in comment)
    assert parse_statement(f"alter table t set comment '{written}'") == SetComment(
        TableName(None, None, "t"), comment
    )
