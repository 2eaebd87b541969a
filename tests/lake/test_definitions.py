"""Schemas that must stay, and partition values, defaults and clustering that cannot be."""

from pathlib import Path

import pytest
from sqlalchemy import select

from maxlake.lake import definitions, ducklake, partitions
from maxlake.lake.database import Database
from maxlake.lake.lake import Lake
from maxlake.lake.tables import Table, TableOptions
from maxlake.protocol.columns import Column, TableSchema
from maxlake.protocol.errors import BadRequestError
from maxlake.protocol.types.text import parse_type


@pytest.fixture
def lake(tmp_path: Path):
    opened = Lake.open(Database.sqlite(tmp_path / "lake.sqlite"), tmp_path / "data")
    yield opened
    opened.close()


def test_the_default_schema_stays(lake: Lake) -> None:
    with pytest.raises(BadRequestError, match="cannot be dropped"), lake.database.write() as connection:
        definitions.drop_schema(connection, "Default")


@pytest.mark.parametrize(
    ("kind", "text"),
    [("date", "0000-01-01"), ("bigint", "x"), ("varchar(2)", "toolong"), ("char(3)", "abcd")],
)
def test_values_that_cannot_be(lake: Lake, kind: str, text: str) -> None:
    columns = TableSchema((Column("a", parse_type("bigint")),), (Column("k", parse_type(kind)),))
    with lake.database.write() as connection:
        table = definitions.create_table(connection, "default", "t", columns, TableOptions(), "me")
    with pytest.raises(BadRequestError):
        partitions.canonical(table, {"k": text})


def create(lake: Lake, options: TableOptions, *columns: Column) -> Table:
    with lake.database.write() as connection:
        return definitions.create_table(connection, "default", "t", TableSchema(columns), options, "me")


def test_defaults_stand_in_the_catalog_as_duckdb_reads_them(lake: Lake) -> None:
    table = create(
        lake,
        TableOptions(),
        Column("a", parse_type("bigint"), default="007"),
        Column("b", parse_type("binary"), default="\\ü"),
        Column("c", parse_type("array<int>")),
    )
    column = ducklake.column
    with lake.database.read() as connection:
        rows = connection.execute(
            select(column.c.column_id, column.c.initial_default, column.c.default_value).order_by(
                column.c.column_id
            )
        ).all()
    assert [tuple(row) for row in rows] == [
        (1, "7", "7"),
        (2, "\\x5C\\xC3\\xBC", "\\x5C\\xC3\\xBC"),
        (3, None, "NULL"),
        (4, None, "NULL"),
    ]
    assert {name: (c.default, c.initial_default) for name, c in table.stored.items()} == {
        "a": ("7", None),
        "b": ("\\ü", None),
        "c": (None, None),
    }


@pytest.mark.parametrize(
    ("column", "options", "message"),
    [
        (Column("a", parse_type("int"), default="x"), TableOptions(), "'x' is no int"),
        (Column("a", parse_type("decimal(39,0)")), TableOptions(), "cannot be stored"),
        (
            Column("a", parse_type("double")),
            TableOptions(clustered_by=("a",), buckets=4),
            "cannot be in CLUSTERED BY",
        ),
    ],
)
def test_tables_that_cannot_be(lake: Lake, column: Column, options: TableOptions, message: str) -> None:
    with pytest.raises(BadRequestError, match=message):
        create(lake, options, column)
