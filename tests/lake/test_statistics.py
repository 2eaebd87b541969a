"""Statistics may leave out what they do not know; they must never make DuckDB leave out rows."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maxlake.lake import commits, definitions
from maxlake.lake.database import Database
from maxlake.lake.lake import Lake
from maxlake.lake.parts import Part, Upload, storage_schema
from maxlake.lake.tables import TableOptions
from maxlake.protocol.columns import Column, TableSchema
from maxlake.protocol.types.text import parse_type
from tests.lake.duckdb_reader import DuckdbReader

NAN = float("nan")


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    opened = Lake.open(Database.sqlite(tmp_path / "lake.sqlite"), tmp_path / "data")
    yield opened
    opened.close()


def load(lake: Lake, type_text: str, *files: list[object]) -> list[Part]:
    """Make the table ``t`` with one column ``x``, and a file of each list of values."""
    columns = TableSchema((Column("x", parse_type(type_text)),), ())
    with lake.database.write() as connection:
        table = definitions.create_table(connection, "default", "t", columns, TableOptions(), "me")
    parts: list[Part] = []
    for number, values in enumerate(files):
        with Upload(lake.data, table, f"u-{number}") as upload:
            upload.write(pa.RecordBatch.from_pydict({"x": values}, schema=storage_schema(table)))
            parts += upload.finish()
    with lake.database.write() as connection:
        commits.commit(connection, table, parts)
    return parts


def count(lake: Lake, reader: DuckdbReader, condition: str) -> int:
    sql = f'SELECT count(*) AS n FROM lake."default".t WHERE {condition}'
    return reader.query(f"sqlite:{lake.data.parent / 'lake.sqlite'}", sql)["n"][0].as_py()


@pytest.mark.parametrize("kind", ["float", "double"])
def test_not_a_number_is_found(lake: Lake, duckdb_reader: DuckdbReader, kind: str) -> None:
    load(lake, kind, [1.0, NAN], [2.0], [None, 7.0], [None])
    assert count(lake, duckdb_reader, "x > 5") == 2
    assert count(lake, duckdb_reader, "x = 'nan'") == 1
    assert count(lake, duckdb_reader, "x < 5") == 2
    assert count(lake, duckdb_reader, "x IS NULL") == 2
    assert count(lake, duckdb_reader, "x IS NOT NULL") == 4


def test_not_a_number_is_found_in_nested_values(lake: Lake, duckdb_reader: DuckdbReader) -> None:
    load(lake, "struct<y:double,z:array<float>>", [{"y": 1.0, "z": [1.0]}, {"y": NAN, "z": [NAN]}])
    assert count(lake, duckdb_reader, "x.y > 5") == 1
    assert count(lake, duckdb_reader, "x.y = 'nan'") == 1
    assert count(lake, duckdb_reader, "x.z[1] > 5") == 1


def test_other_leaves_keep_their_bounds(lake: Lake) -> None:
    (part,) = load(lake, "struct<y:double,n:bigint>", [{"y": 1.0, "n": 1}])
    (path,) = lake.data.rglob(part.path)
    group = pq.read_metadata(path).row_group(0)
    bounded = {group.column(leaf).path_in_schema: group.column(leaf).is_stats_set for leaf in (0, 1)}
    assert bounded == {"x.y": False, "x.n": True}


def test_bounds_of_integers_reach_the_catalog(lake: Lake) -> None:
    (part,) = load(lake, "bigint", [3, None, -7])
    (found,) = part.statistics
    assert (found.value_count, found.null_count, found.minimum, found.maximum) == (2, 1, "-7", "3")
