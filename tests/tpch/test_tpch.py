"""TPC-H: its 22 queries in ODPS SQL, on data loaded through the client, give what DuckDB gives by itself."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maxlake.storage_api_v2 import StorageApiArrowClient
from maxlake.testing import local_server
from odps import ODPS
from tests.tpch.queries import QUERIES

pytestmark = pytest.mark.slow

TABLES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")
SCALE = "0.1"
UNITS = {"dd": "day", "mm": "month", "yyyy": "year"}


@dataclass(frozen=True)
class Loaded:
    """The data as the generator wrote it, and as a server has it."""

    odps: ODPS
    database: duckdb.DuckDBPyConnection

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        client = StorageApiArrowClient(self.odps, self.odps.execute_sql(query))
        session = client.create_read_session()
        found: list[tuple[Any, ...]] = []
        for split in range(session.splits_count):
            reader = client.read_rows_arrow(session.session_id, split_index=split)
            while (batch := reader.read()) is not None:
                found += [tuple(row.values()) for row in batch.to_pylist()]
        assert len(found) == session.record_count
        return found


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    data = tmp_path_factory.mktemp("tpch")
    generator = Path(sys.executable).with_name("tpchgen-cli")
    arguments = ["parquet", "--scale-factor", SCALE, "--output-dir", str(data)]
    subprocess.run([generator, *arguments], check=True, capture_output=True)
    with local_server() as server, duckdb.connect() as database:
        odps = server.odps()
        for name in TABLES:
            table = pq.read_table(data / f"{name}.parquet")
            _load(odps, name, table)
            database.execute(f"create view {name} as select * from read_parquet('{data / name}.parquet')")
        yield Loaded(odps, database)


def _load(odps: ODPS, name: str, table: pa.Table) -> None:
    columns = ", ".join(f"{field.name} {_type(field.type)}" for field in table.schema)
    client = StorageApiArrowClient(odps, odps.create_table(name, columns))
    session = client.create_write_session().session_id
    client.create_write_stream(session, stream_id=0)
    writer = client.write_rows_arrow(session, stream_id=0)
    for batch in table.to_batches(max_chunksize=65_536):
        writer.write(batch)
    writer.finish()
    client.close_write_stream(session, stream_id=0)
    client.commit_write_session(session)


def _type(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    names = {pa.int64(): "bigint", pa.int32(): "int", pa.date32(): "date"}
    return names.get(kind, "string")


def _for_duckdb(query: str) -> str:
    """Return a query in DuckDB's own words: nothing else in it is ODPS's."""
    return re.sub(
        r"dateadd\((date'[-0-9]+'), (-?[0-9]+), '([a-z]+)'\)",
        lambda call: f"({call[1]} + interval ({call[2]}) {UNITS[call[3]]})",
        query,
    )


def _comparable(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Sums of doubles differ in their last digits, by the order of the rows."""
    return [tuple(_rounded(value) for value in row) for row in rows]


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return pytest.approx(value, rel=1e-9)
    return float(value) if isinstance(value, Decimal) else value


@pytest.mark.parametrize("number", QUERIES)
def test_a_query_gives_what_duckdb_gives(loaded: Loaded, number: int) -> None:
    expected = loaded.database.execute(_for_duckdb(QUERIES[number])).fetchall()
    found = loaded.rows(QUERIES[number])
    assert _comparable(found) == _comparable(expected)


def test_some_queries_have_rows(loaded: Loaded) -> None:
    assert len(loaded.rows(QUERIES[1])) == 4
