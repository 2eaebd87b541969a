"""P7: after every kind of change, our read path and DuckDB's DuckLake reader see what was written."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from maxlake.lake import commits, definitions, partitions, plans, snapshots, tables
from maxlake.lake.database import Database
from maxlake.lake.lake import Lake
from maxlake.lake.parts import Upload, storage_schema
from maxlake.lake.plans import Wanted
from maxlake.lake.scans import BatchLimits, Projection, scan
from maxlake.lake.splits import split_by_count, split_by_size, split_range
from maxlake.lake.tables import Table, TableOptions
from maxlake.protocol.columns import Column, TableSchema
from maxlake.protocol.errors import MaxlakeError
from maxlake.protocol.partitions import parse_partition_filter
from maxlake.protocol.types.arrow import ReadUnits
from maxlake.protocol.types.ingest import to_storage
from maxlake.protocol.types.storage import check_storable, to_read
from maxlake.protocol.types.text import parse_type
from tests.budget import in_proportion
from tests.lake.duckdb_reader import DuckdbReader
from tests.postgresql import Postgresql
from tests.protocol.types.strategies import TYPES, arrays


def storable(t) -> bool:
    try:
        check_storable(t)
    except MaxlakeError:
        return False
    return True


#: Shrinking would run the databases for minutes; a failing example is small as it is.
PHASES = [phase for phase in Phase if phase is not Phase.shrink]

EVERYTHING = Wanted(parse_partition_filter([], ()))

PARTITION_VALUES = {
    "string": st.sampled_from(["a", "B b", "ü%/", "x=1", ".."]),
    "bigint": st.sampled_from(["0", "-7", "12345678901"]),
    "date": st.sampled_from(["2024-02-29", "0001-01-01"]),
}
SCHEMAS = st.builds(
    lambda types, keys: TableSchema(
        tuple(Column(f"c{i}", t) for i, t in enumerate(types)),
        tuple(Column(f"p{i}", parse_type(t)) for i, t in enumerate(keys)),
    ),
    st.lists(TYPES.filter(storable), min_size=1, max_size=4),
    st.lists(st.sampled_from(sorted(PARTITION_VALUES)), max_size=2),
)


@dataclass(frozen=True)
class Catalogs:
    """Where new lakes keep their catalogs: a SQLite file each, or a schema each of a PostgreSQL server."""

    postgresql: Postgresql | None

    @contextmanager
    def new_lake(self) -> Iterator[tuple[Lake, DuckdbView]]:
        with tempfile.TemporaryDirectory() as directory:
            data = Path(directory) / "data"
            if self.postgresql is None:
                file = Path(directory) / "lake.sqlite"
                database, view = Database.sqlite(file), DuckdbView(f"sqlite:{file}", "READ_ONLY")
            else:
                namespace = f"lake_{uuid.uuid4().hex}"
                database = Database.postgresql(self.postgresql.url, namespace)
                options = f"READ_ONLY, METADATA_SCHEMA '{namespace}'"
                view = DuckdbView(self.postgresql.duckdb_catalog, options)
            lake = Lake.open(database, data)
            try:
                yield lake, view
            finally:
                lake.close()


@dataclass(frozen=True)
class DuckdbView:
    """How DuckDB attaches a catalog."""

    catalog: str
    options: str


@pytest.fixture(scope="module")
def catalogs(database: Postgresql | None) -> Catalogs:
    return Catalogs(database)


def draw_batch(data: st.DataObject, table: Table) -> pa.RecordBatch:
    """Random rows of a table, as stored."""
    count = data.draw(st.integers(1, 12), label="rows")
    columns: list[pa.Array] = []
    for column in table.columns.columns:
        drawn = data.draw(arrays(column.type), label=column.name)
        padded = pa.concat_arrays([drawn, pa.nulls(max(0, count - len(drawn)), drawn.type)]).slice(0, count)
        columns.append(to_storage(padded, column.type, where=column.name))
    schema = storage_schema(table)
    for key in table.columns.partition_columns:
        values = st.lists(PARTITION_VALUES[str(key.type)], min_size=count, max_size=count)
        drawn = pa.array(data.draw(values, label=key.name)).cast(schema.field(key.name).type)
        columns.append(drawn)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def multiset(rows: pa.Table) -> list[str]:
    return sorted(repr(row) for row in rows.to_pylist())


def ours(lake: Lake, name: str) -> tuple[pa.Table, plans.Plan, Projection]:
    with lake.database.read() as connection:
        table = tables.get(connection, "default", name)
        plan = plans.plan(lake, connection, table, EVERYTHING, snapshots.latest(connection))
    projection = Projection(tuple(table.stored.values()), ReadUnits())
    batches = scan(lake.data, plan.slices(0, plan.record_count), projection, BatchLimits(5))
    return pa.Table.from_batches(batches, projection.schema), plan, projection


def check(lake: Lake, view: DuckdbView, reader: DuckdbReader, table: Table, model: pa.Table) -> None:
    read, plan, projection = ours(lake, table.name)
    expected = pa.table(
        [
            pa.chunked_array(
                [
                    to_read(chunk, column.column.type, ReadUnits())
                    for chunk in model.column(column.name).chunks
                ],
                field.type,
            )
            for column, field in zip(projection.columns, projection.schema, strict=True)
        ],
        schema=projection.schema,
    )
    assert multiset(read) == multiset(expected)
    assert plan.record_count == model.num_rows
    theirs = reader.rows(view.catalog, "default", table.name, view.options)
    assert multiset(theirs.cast(model.schema)) == multiset(model)
    check_splits(lake, read, plan, projection)


def check_splits(lake: Lake, read: pa.Table, plan: plans.Plan, projection: Projection) -> None:
    """Splits of any kind, in order, are the session's rows in order."""
    for ends in (
        split_by_count(plan, 3),
        split_by_size(plan, 200, cross_partition=True, max_files=0),
        split_by_size(plan, 1000, cross_partition=False, max_files=2),
    ):
        batches = [
            batch
            for index in range(len(ends))
            for batch in scan(
                lake.data, plan.slices(*split_range(ends, index)), projection, BatchLimits(100, 64)
            )
        ]
        joined = pa.Table.from_batches(batches, projection.schema)
        assert repr(joined.to_pylist()) == repr(read.to_pylist())


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "examples", [12, pytest.param(in_proportion(300), marks=pytest.mark.slow, id="whole")]
)
def test_everything_accepted_reads_back_equal(
    examples: int, catalogs: Catalogs, duckdb_reader: DuckdbReader
) -> None:
    @given(st.data())
    @settings(max_examples=examples, phases=PHASES)
    def run(data: st.DataObject) -> None:
        with catalogs.new_lake() as (lake, view):
            schema = data.draw(SCHEMAS, label="schema")
            with lake.database.write() as connection:
                table = definitions.create_table(connection, "default", "t", schema, TableOptions(), "owner")
            model = storage_schema(table).empty_table()
            check(lake, view, duckdb_reader, table, model)
            for number in range(data.draw(st.integers(1, 4), label="changes")):
                model = change(data, lake, table, model, number)
                check(lake, view, duckdb_reader, table, model)

    run()


def change(data: st.DataObject, lake: Lake, table: Table, model: pa.Table, number: int) -> pa.Table:
    """Make one change of a random kind to the table and to the model."""
    kind = data.draw(st.sampled_from(["append", "append", "replace", "drop partition"]), label="change")
    with lake.database.read() as connection:
        keys = [tuple(p.values.values()) for p in partitions.list_partitions(connection, table)]
    if not table.partition_keys:
        keys = [()]
    gone = {data.draw(st.sampled_from(keys), label="partition")} if keys and kind != "append" else set()
    if kind == "drop partition":
        if gone and table.partition_keys:
            with lake.database.write() as connection:
                commits.drop_partitions(connection, table, gone)
            return without(model, table, gone)
        return model
    batch = draw_batch(data, table)
    with Upload(lake.data, table, f"s-{number}") as upload:
        upload.write(batch)
        parts = upload.finish()
    with lake.database.write() as connection:
        commits.commit(connection, table, parts, replaced=gone)
    return pa.concat_tables([without(model, table, gone), pa.Table.from_batches([batch])])


def without(model: pa.Table, table: Table, gone: set[tuple[str, ...]]) -> pa.Table:
    kept = [
        tuple(str(row[key]) for key in table.partition_keys) not in gone
        for row in model.select(table.partition_keys).to_pylist()
    ]
    if not table.partition_keys:
        return model.slice(0, 0) if gone else model
    return model.filter(pa.array(kept, pa.bool_()))
