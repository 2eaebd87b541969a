"""kill -9 while statements run: each is visible wholly or not at all, and its instance says which.

Rows are computed and written by worker processes, which end with their server, whatever they are at. What
they leave behind is collected.
"""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import select, update

from maxlake.failpoints import Failpoint
from maxlake.service import instances, store, tables
from maxlake.service.instances import Instance
from maxlake.service.project import Project
from tests.crash.lives import DEATH_TIME, FEWEST_DEATHS, Home, assert_killed, failpoints, killed_after
from tests.crash.statements import SET_UP, Client, Kind, Tables
from tests.crash.test_maintenance import in_catalog, on_disk
from tests.crash.workload import in_parallel
from tests.lake.duckdb_reader import DuckdbReader

pytestmark = pytest.mark.crash

#: Workers inherit it, which tells them from those of other tests.
HOME = "MAXLAKE_TEST_HOME"
#: Those of files kill the worker that comes by, but for MERGE, of which the server makes files, too.
POINTS = [
    Failpoint.AFTER_PART_SYNC,
    Failpoint.AFTER_DIRECTORY_SYNC,
    Failpoint.BEFORE_COMMIT_TRANSACTION,
    Failpoint.AFTER_COMMIT_TRANSACTION,
]
LAST_PASS = 6
#: Seconds: the start of two workers, and some statements of each kind.
LONGEST_LIFE = 4.0
#: Seconds after which a server whose failpoint kills its workers is killed, too.
PATIENCE = 6.0


class World:
    """The clients of a home, and ways to look at it without a server."""

    def __init__(self, home: Home, rng: Random, duckdb_reader: DuckdbReader) -> None:
        self.home = home
        self.rng = rng
        self.clients = [Client(kind) for kind in Kind]
        self.found: list[Instance] = []
        self._duckdb = duckdb_reader
        self._principal = ""
        with home.life() as server:
            for text in SET_UP:
                server.odps().execute_sql(text)

    def live(self, seconds: float, failpoint: str = "") -> None:
        """Work until the server is killed, here or by itself; then look at what is left."""
        with self.home.life(failpoint) as server:
            self._principal = server.access_id
            with killed_after(server, seconds):
                in_parallel(lambda work: work(), [partial(client.live, server) for client in self.clients])
            assert_killed(server)
        self.check()

    def check(self) -> None:
        """No worker goes on, what its server had begun has failed, and tables show what instances tell."""
        self.assert_no_workers()
        with self.home.opened() as project:
            names = [
                table.name for table in tables.list_tables(project, "default", prefix="", after="", limit=999)
            ]
            rows = {name: self.home.rows(self._duckdb, name) for name in names}
            self.found = self._told(project)
            for client in self.clients:
                Tables(project, rows).check(client.kind, client.succeeded(self.found))

    def _told(self, project: Project) -> list[Instance]:
        """Return all instances, after the leases of those that have not ended ran out."""
        row = store.instance.c
        with project.lake.database.write() as connection:
            connection.execute(
                update(store.instance)
                .where(row.ended_at.is_(None))
                .values(lease_until=datetime.now(UTC) - timedelta(seconds=1))
            )
        return instances.list_instances(
            project, self._principal, first=None, last=None, status=(), before="", limit=10_000
        )

    def assert_no_workers(self) -> None:
        deadline = time.monotonic() + DEATH_TIME
        while living := self._workers():
            assert time.monotonic() < deadline, f"workers {living} outlive their server"
            time.sleep(0.01)

    def _workers(self) -> list[Path]:
        mark = f"{HOME}={self.home.root}\0".encode()
        found: list[Path] = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it ended meanwhile
                if b"sql.worker" in (process / "cmdline").read_bytes():
                    found += [process] if mark in (process / "environ").read_bytes() else []
        return found

    def finish(self) -> None:
        """Let a server live: each client succeeds once more, and nothing is left that is not named."""
        with self.home.life() as server:
            odps = server.odps()
            assert all(client.run(odps) for client in self.clients)
            assert self._workers()
        self.check()
        for client in self.clients:
            assert client.begun in client.succeeded(self.found)
        self.home.check_nothing_is_left_over()
        with self.home.opened() as project:
            assert on_disk(project) == in_catalog(project)
            assert not any(project.results.iterdir())
            assert not any(project.spill.iterdir())
            with project.lake.database.read() as connection:
                assert connection.execute(select(store.read_session)).all() == []


@pytest.fixture
def world(home: Home, rng: Random, duckdb_reader: DuckdbReader, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv(HOME, str(home.root))
    return World(home, rng, duckdb_reader)


def test_kill_at_failpoints(world: World, budget) -> None:
    for failpoint in failpoints(POINTS, budget(20), world.rng):
        world.live(PATIENCE, f"{failpoint}:{world.rng.randint(1, LAST_PASS)}")
    world.finish()


def test_kill_at_random_times(world: World, budget) -> None:
    for _ in budget(15).points(at_least=FEWEST_DEATHS):
        world.live(world.rng.uniform(0, LONGEST_LIFE))
    world.finish()
