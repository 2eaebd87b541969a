"""Schemas that must stay, and partition values that cannot be."""

from pathlib import Path

import pytest

from maxlake.lake import definitions, partitions
from maxlake.lake.database import Database
from maxlake.lake.lake import Lake
from maxlake.lake.tables import TableOptions
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
