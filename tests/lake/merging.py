"""A table that is written file by file, merged and cleaned up, and looked at version by version."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from maxlake.lake import cleanup, commits, compaction, definitions, plans, snapshot_expiry, snapshots, tables
from maxlake.lake.cleanup import CatalogFile, Pin
from maxlake.lake.compaction import Merge
from maxlake.lake.lake import Lake
from maxlake.lake.parts import Upload, storage_schema
from maxlake.lake.plans import Plan, Wanted
from maxlake.lake.scans import BatchLimits, Projection, scan
from maxlake.lake.tables import Table, TableOptions
from maxlake.protocol.columns import Column, TableSchema
from maxlake.protocol.partitions import parse_partition_filter
from maxlake.protocol.types.arrow import ReadUnits
from maxlake.protocol.types.text import parse_type

EVERYTHING = Wanted(parse_partition_filter([], ()))
NAME = "t"


@dataclass
class Place:
    """The table ``t`` with columns ``id`` and ``text``, partitioned by ``pt``, in a lake."""

    lake: Lake
    uploads: int = 0

    def __post_init__(self) -> None:
        self.create()

    def create(self, **options: object) -> None:
        columns = (Column("id", parse_type("bigint")), Column("text", parse_type("string")))
        schema = TableSchema(columns, (Column("pt", parse_type("string")),))
        with self.lake.database.write() as connection:
            definitions.create_table(connection, "default", NAME, schema, TableOptions(**options), "me")

    @property
    def table(self) -> Table:
        with self.lake.database.read() as connection:
            return tables.get(connection, "default", NAME)

    @property
    def latest(self) -> int:
        with self.lake.database.read() as connection:
            return snapshots.latest(connection)

    @property
    def oldest(self) -> int:
        with self.lake.database.read() as connection:
            return snapshots.oldest_kept(connection)

    def batch(self, ids: Iterable[int], pt: str | list[str]) -> pa.RecordBatch:
        ids = list(ids)
        values = {
            "id": ids,
            "text": [f"row {i}" for i in ids],
            "pt": [pt] * len(ids) if isinstance(pt, str) else pt,
        }
        schema = storage_schema(self.table)
        rows = [
            pa.array(values[field.name], field.type)
            if field.name in values
            else pa.nulls(len(ids), field.type)
            for field in schema
        ]
        return pa.RecordBatch.from_arrays(rows, schema=schema)

    def append(self, ids: Iterable[int], pt: str | list[str] = "a", *, replaced: Iterable[str] = ()) -> None:
        self.uploads += 1
        table = self.table
        with Upload(self.lake.data, table, f"s-{self.uploads}") as upload:
            upload.write(self.batch(ids, pt))
            parts = upload.finish()
        with self.lake.database.write() as connection:
            commits.commit(connection, table, parts, replaced={(value,) for value in replaced})

    def merges(self) -> list[Merge]:
        with self.lake.database.read() as connection:
            return compaction.find_merges(connection, self.table)

    def compact(self) -> int:
        return sum(compaction.perform(self.lake, merge, lambda: False) is not None for merge in self.merges())

    def expire(self, oldest: int | None = None) -> int:
        return snapshot_expiry.expire(self.lake.database, self.latest if oldest is None else oldest)

    def clean(self, *pins: Pin) -> list[CatalogFile]:
        with self.lake.database.read() as connection:
            unneeded = cleanup.unneeded(connection, snapshots.oldest_kept(connection), pins)
        return cleanup.remove(self.lake, unneeded)

    def plan(self, version: int | None = None) -> Plan:
        with self.lake.database.read() as connection:
            at = snapshots.latest(connection) if version is None else version
            return plans.plan(self.lake, connection, self.table, EVERYTHING, at)

    def rows(self, plan: Plan | None = None) -> pa.Table:
        plan = plan or self.plan()
        projection = Projection(tuple(self.table.stored.values()), ReadUnits())
        batches = scan(self.lake.data, plan.slices(0, plan.record_count), projection, BatchLimits(1000))
        return pa.Table.from_batches(batches, projection.schema)

    def ids(self, version: int | None = None) -> list[int]:
        return self.rows(self.plan(version)).column("id").to_pylist()

    def files(self) -> set[str]:
        return {
            path.relative_to(self.lake.data).as_posix()
            for path in self.lake.data.rglob("*")
            if path.is_file()
        }
