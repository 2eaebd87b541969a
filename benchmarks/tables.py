"""Tables for ``benchmarks.reads`` and ``benchmarks.writes``, written by the lake itself in this process."""

import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from benchmarks.lineitem import COLUMNS, lineitem
from maxlake.lake import commits, tables
from maxlake.lake.parts import Part, Upload, storage_schema
from maxlake.protocol.messages.read import CreateReadSessionRequest
from maxlake.protocol.targets import TableTarget
from maxlake.service import instances, read_sessions, rows
from maxlake.service.project import Project

#: The principal of all calls without HTTP.
ME = "benchmark"
#: Rows of each of many small files.
SMALL_ROWS = 20
#: A predicate or partition of a table of many files picks one of this many parts of it.
SHARES = 100
REGIONS = 10
#: Rows written at a time.
BATCH_ROWS = 131_072


@dataclass(frozen=True)
class BenchTable:
    """A table and a predicate that leaves about a hundredth of its files, or of its rows."""

    project: Project
    name: str
    predicate: str = ""

    @property
    def target(self) -> TableTarget:
        return TableTarget(self.project.name, "default", self.name)

    @property
    def table(self) -> tables.Table:
        with self.project.lake.database.read() as connection:
            return tables.get(connection, "default", self.name)

    @property
    def directory(self) -> Path:
        """Where its files are, and nothing else."""
        return self.project.lake.data / self.table.path

    def create_session(self, **asked: Any) -> str:
        """Create a read session without HTTP and return its id."""
        request = CreateReadSessionRequest(**asked)
        return read_sessions.create(self.project, self.target, request, ME).session_id

    def read(self, address: Any, request: Any) -> rows.RowStream:
        """Read rows without HTTP."""
        return rows.read(self.project, self.target, address, request, ME)


def create(project: Project, name: str, columns: str, keys: str = "") -> BenchTable:
    """Create an empty table, as CREATE TABLE takes its columns."""
    partitioned = f" PARTITIONED BY ({keys})" if keys else ""
    done = instances.submit(
        project,
        task_name="SQL",
        query=f"CREATE TABLE {name} ({columns}){partitioned};",
        settings={},
        uuid="",
        priority=9,
        principal=ME,
    )
    assert done.succeeded, done
    return BenchTable(project, name)


def _upload(made: BenchTable, table: pa.Table) -> list[Part]:
    stored = made.table
    schema = storage_schema(stored)
    with Upload(made.project.lake.data, stored, uuid.uuid4().hex) as upload:
        for batch in table.select(schema.names).cast(schema).to_batches(max_chunksize=BATCH_ROWS):
            upload.write(batch)
        return upload.finish()


def upload(made: BenchTable, table: pa.Table) -> None:
    """Add rows as one file a partition, in a commit of their own."""
    _commit(made, _upload(made, table))


def many_commits(project: Project, name: str, commits_: int) -> BenchTable:
    """Write a table by so many commits of a small file each: hard links to the first."""
    made = create(project, name, COLUMNS)
    parts = _linked(made, _upload(made, lineitem(SMALL_ROWS, 1)), commits_)
    with made.project.lake.database.write() as connection:
        for part in parts:
            commits.commit(connection, tables.get(connection, "default", made.name), [part])
    return made


def keyed(project: Project, name: str, row_count: int, files: int) -> BenchTable:
    """Write a table keyed by ``id``, with two more columns; ids ascend through the files."""
    made = create(project, name, "id bigint, a bigint, b double, PRIMARY KEY (id)")
    size = row_count // files
    parts: list[Part] = []
    for first in range(0, row_count, size):
        ids = np.arange(first, first + size)
        parts += _upload(made, pa.table({"id": ids, "a": ids * 2, "b": ids / 2}))
    _commit(made, parts)
    return made


def _commit(made: BenchTable, parts: list[Part]) -> None:
    with made.project.lake.database.write() as connection:
        commits.commit(connection, tables.get(connection, "default", made.name), parts)


def large(project: Project, name: str, row_count: int, files: int, seed: int) -> BenchTable:
    """Write ``lineitem`` in ``files`` files; ``l_orderkey`` ascends through all of them."""
    made = create(project, name, COLUMNS)
    data = lineitem(row_count, seed)
    size = -(-row_count // files)
    _commit(
        made, [part for start in range(0, row_count, size) for part in _upload(made, data.slice(start, size))]
    )
    return made


def wide(project: Project, name: str, columns: int, row_count: int, seed: int) -> BenchTable:
    """Write a table of many columns, integers and doubles in turns, into one file."""
    names = [f"c{number}" for number in range(columns)]
    kinds = ["bigint", "double"] * columns
    made = create(project, name, ", ".join(f"{c} {kind}" for c, kind in zip(names, kinds, strict=False)))
    random = np.random.default_rng(seed)
    arrays = [
        pa.array(random.integers(0, 1_000_000, row_count) if kind == "bigint" else random.random(row_count))
        for _, kind in zip(names, kinds, strict=False)
    ]
    _commit(made, _upload(made, pa.table(arrays, names)))
    return made


def many_files(project: Project, name: str, files: int, seed: int) -> BenchTable:
    """Write an unpartitioned table of ``files`` small files.

    A hundred are written, each with its own range of ``l_orderkey``; the others are hard links to those.
    """
    made = create(project, name, COLUMNS)
    shares = min(SHARES, files)
    data = _with_keys(lineitem(shares * SMALL_ROWS, seed))
    parts: list[Part] = []
    for share in range(shares):
        parts += _upload(made, data.slice(share * SMALL_ROWS, SMALL_ROWS))
    _commit(made, _linked(made, parts, files // shares))
    first = shares // 2 * SMALL_ROWS
    return BenchTable(project, name, f"l_orderkey BETWEEN {first} AND {first + SMALL_ROWS - 1}")


def many_partitions(project: Project, name: str, files: int, seed: int) -> BenchTable:
    """Write a table of ``files`` small files in partitions of two keys: up to a hundred days, ten regions.

    One file a partition is written; the others are hard links to it.
    """
    made = create(project, name, COLUMNS, "ds string, region string")
    days = min(SHARES, files)
    regions = min(REGIONS, files // days)
    number = np.arange(days * regions * SMALL_ROWS) // SMALL_ROWS
    data = (
        _with_keys(lineitem(len(number), seed))
        .append_column("ds", pa.array(number // regions).cast(pa.string()))
        .append_column("region", pa.array(number % regions).cast(pa.string()))
    )
    _commit(made, _linked(made, _upload(made, data), files // (days * regions)))
    return BenchTable(project, name, f"ds = '{days // 2}'")


def _linked(made: BenchTable, parts: list[Part], times: int) -> list[Part]:
    """Make so many parts of each, by hard links beside it: real files, cheaply."""
    every = list(parts)
    for part in parts:
        for copy in range(1, times):
            path = str(Path(part.path).with_suffix(f".{copy}.parquet"))
            os.link(made.directory / part.path, made.directory / path)
            every.append(msgspec.structs.replace(part, path=path))
    return every


def _with_keys(table: pa.Table) -> pa.Table:
    """Number the orders one by one: no two files share one."""
    return table.set_column(0, "l_orderkey", pa.array(np.arange(table.num_rows)))
