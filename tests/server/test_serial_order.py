"""Many writers at once, at two servers: the table is what its commits make of it, one after the other."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import select

from maxlake.client import StorageApiArrowClient
from maxlake.lake import ducklake
from maxlake.lake.compaction import PREFIX
from maxlake.protocol.columns import OPERATION_COLUMN
from maxlake.protocol.enums import Operation
from maxlake.service.service import Service
from maxlake.testing import LocalServer, local_server
from tests.budget import Budget
from tests.lake.duckdb_reader import DuckdbReader

PROJECT = "demo"
TABLE = "t"
CLAUSES = {
    "keyed": 'primary key (id)) PARTITIONED BY (pt string) TBLPROPERTIES ("transactional"="true")',
    "without a key": "more string) PARTITIONED BY (pt string)",
}
WRITERS = 8
#: Commits of each writer: at least, and at most however much time there is.
FEWEST, MOST = 3, 200
#: Seconds: small files are merged while others are written.
BETWEEN_MERGES = 2
IDS = range(40)
PARTITIONS = ("a", "b")
ROWS = 12


@dataclass(frozen=True)
class Commit:
    """One that was acknowledged. ``replaced`` is the partition it overwrote, or empty; times in seconds."""

    session: str
    rows: list[dict[str, Any]]
    replaced: str
    began: float
    ended: float


class Writer:
    """Commits one session after the other; each has rows of its own."""

    def __init__(self, server: LocalServer, number: int, rng: Random, *, keyed: bool) -> None:
        self._number = number
        self._rng = rng
        self._keyed = keyed
        odps = server.odps()
        self._client = StorageApiArrowClient(odps, odps.get_table(TABLE))
        self.commits: list[Commit] = []

    def work(self, budget: Budget) -> None:
        while len(self.commits) < FEWEST or (budget.left and len(self.commits) < MOST):
            self._commit()

    def _commit(self) -> None:
        client, replaced = self._client, self._rng.choice(PARTITIONS) if self._rng.random() < 0.15 else ""
        rows = self._rows(replaced)
        flags = {"overwrite": True} if replaced else {}
        session = client.create_write_session(flags=flags).session_id
        client.create_write_stream(session, 0)
        writer = client.write_rows_arrow(session, 0)
        writer.write(self._arrow(rows))
        assert writer.finish()[1]
        client.close_write_stream(session, 0)
        began = time.monotonic()
        client.commit_write_session(session)
        self.commits.append(Commit(session, rows, replaced, began, time.monotonic()))

    def _rows(self, replaced: str) -> list[dict[str, Any]]:
        """Return rows of which the last is no deletion, so that every commit makes a version."""
        text = f"{self._number}.{len(self.commits)}"
        return [
            {
                "id": self._rng.choice(IDS),
                "text": f"{text}.{number}",
                "pt": replaced or self._rng.choice(PARTITIONS),
                OPERATION_COLUMN: self._operation() if number else Operation.UPSERT.value,
            }
            for number in reversed(range(self._rng.randint(1, ROWS)))
        ]

    def _operation(self) -> int:
        return self._rng.choice([Operation.UPSERT.value, Operation.DELETE.value])

    def _arrow(self, rows: list[dict[str, Any]]) -> pa.RecordBatch:
        operations = (OPERATION_COLUMN, pa.int8())
        fields = [("id", pa.int64()), ("text", pa.string()), ("pt", pa.string())]
        return pa.RecordBatch.from_pylist(rows, pa.schema([*fields, operations] if self._keyed else fields))


def order_of(root: Path) -> list[str]:
    """Return the sessions in the order of the versions they made, by the names of their files.

    Files that maintenance merged meanwhile are nobody's.
    """
    service = Service.open(root, project=PROJECT)
    with service.project(PROJECT).lake.database.read() as connection:
        files = {
            (begin, Path(path).name.partition("-")[0])
            for kind in (ducklake.data_file, ducklake.delete_file)
            for path, begin in connection.execute(select(kind.c.path, kind.c.begin_snapshot))
            if PREFIX not in path
        }
    service.close()
    return [session for _, session in sorted(files)]


def check_times(commits: list[Commit]) -> None:
    """What was acknowledged before another was asked for comes before it."""
    latest_beginning = 0.0
    for commit in commits:
        assert commit.ended >= latest_beginning, commit
        latest_beginning = max(latest_beginning, commit.began)


def replayed(commits: list[Commit], *, keyed: bool) -> list[tuple[str, int, str]]:
    """Return the rows of the table after these commits."""
    rows: list[tuple[str, int, str]] = []
    by_key: dict[tuple[str, int], str] = {}
    for commit in commits:
        if commit.replaced:
            rows = [row for row in rows if row[0] != commit.replaced]
            by_key = {key: text for key, text in by_key.items() if key[0] != commit.replaced}
        rows += [(row["pt"], row["id"], row["text"]) for row in commit.rows]
        for row in commit.rows:
            by_key[row["pt"], row["id"]] = row["text"]
            if row[OPERATION_COLUMN] == Operation.DELETE.value:
                del by_key[row["pt"], row["id"]]
    return sorted((*key, text) for key, text in by_key.items()) if keyed else sorted(rows)


@pytest.fixture(scope="module")
def duckdb_reader() -> Any:
    with DuckdbReader() as reader:
        yield reader


@pytest.mark.parametrize("keyed", [True, False], ids=["keyed", "without a key"])
def test_some_order_of_the_commits_explains_the_table(
    tmp_path: Path, rng: Random, budget: Callable[[float], Budget], duckdb_reader: DuckdbReader, keyed: bool
) -> None:
    clauses = CLAUSES["keyed" if keyed else "without a key"]
    merging = {"arguments": ("--maintenance-interval", str(BETWEEN_MERGES))}
    with local_server(tmp_path, PROJECT, **merging) as first, local_server(tmp_path, PROJECT) as second:
        first.odps().execute_sql(f"CREATE TABLE {TABLE} (id bigint, text string, {clauses}")
        writers = [
            Writer((first, second)[number % 2], number, Random(rng.random()), keyed=keyed)
            for number in range(WRITERS)
        ]
        limit = budget(5)
        with ThreadPoolExecutor(WRITERS) as pool:
            for done in [pool.submit(writer.work, limit) for writer in writers]:
                done.result()
        odps = second.odps()
        client = StorageApiArrowClient(odps, odps.get_table(TABLE))
        reader = client.read_rows_arrow(client.create_read_session().session_id)
        seen = pa.Table.from_batches(iter(reader.read, None))
    commits = {commit.session: commit for writer in writers for commit in writer.commits}
    limit.reached = len(commits)
    order = order_of(tmp_path)
    assert Counter(order) == Counter(commits.keys())
    serial = [commits[session] for session in order]
    check_times(serial)
    stored = duckdb_reader.rows(f"sqlite:{tmp_path}/projects/{PROJECT}/lake.sqlite", "default", TABLE)
    for table in (seen, stored):
        rows = zip(*(table.column(name).to_pylist() for name in ("pt", "id", "text")), strict=True)
        assert sorted(rows) == replayed(serial, keyed=keyed)
