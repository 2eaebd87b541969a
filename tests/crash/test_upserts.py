"""kill -9 while a table with a primary key is changed: no change is lost, none half visible, no key doubled.

Sessions, overwrites and streamed uploads meet in the same files, which another process merges and cleans up
meanwhile. What the dead servers left behind is collected.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from random import Random

import pytest

from maxlake.failpoints import Failpoint
from maxlake.service import maintenance
from tests.crash.keyed import CREATE, TABLE, KeyedWriter
from tests.crash.lives import COMMIT_POINTS, FEWEST_DEATHS, Home, assert_killed, failpoints, killed_after
from tests.crash.test_maintenance import in_catalog, on_disk
from tests.crash.workload import in_parallel
from tests.lake.duckdb_reader import DuckdbReader

pytestmark = pytest.mark.crash

WRITERS = 3
#: A change passes points of files several times, and all writers pass the same ones.
LAST_PASS, LAST_COMMIT = 12, 5
#: Seconds: the start of the work, and some ten changes.
LONGEST_LIFE = 1.0
#: Seconds in which somebody should have come by any failpoint.
PATIENCE = 60.0


class World:
    """The writers of a home, and ways to look at it without a server."""

    def __init__(self, home: Home, rng: Random, duckdb_reader: DuckdbReader) -> None:
        self.home = home
        self.rng = rng
        self.writers = [
            KeyedWriter(number, Random(rng.random()), overwrites=number == 0) for number in range(WRITERS)
        ]
        self._duckdb = duckdb_reader
        with home.life() as server:
            server.odps().execute_sql(CREATE)

    def live(self, failpoint: str = "", seconds: float = PATIENCE) -> None:
        """Work until the server is killed, here or by itself; then look at what is left."""
        with self.home.life(failpoint) as server:
            started = time.monotonic()
            with killed_after(server, seconds):
                in_parallel(
                    lambda work: work(),
                    [self._maintain, *(partial(writer.live, server) for writer in self.writers)],
                )
            assert_killed(server)
            assert time.monotonic() - started < PATIENCE, f"nobody came by {failpoint}"
        self.check()

    def _maintain(self) -> None:
        """Merge and clean up in this process, which nobody kills."""
        with self.home.opened() as project:
            impatient = replace(project, settings=replace(project.settings, snapshot_retention=0))
            assert not maintenance.maintain(impatient, datetime.now(UTC)).errors

    def check(self) -> None:
        seen = self.home.rows(self._duckdb, TABLE)
        for writer in self.writers:
            writer.check(seen)

    def finish(self) -> None:
        """Repeat what was cut last; then nothing is missing, and no file is left that has no row."""
        with self.home.life() as server:
            for writer in self.writers:
                client = writer.client(server)
                writer.finish(client)
                writer.check(writer.read(server))
                writer.change(client, streamed=False)
        self.home.check_nothing_is_left_over()
        with self.home.opened() as project:
            assert on_disk(project) == in_catalog(project)
        self.check()


@pytest.fixture
def world(home: Home, rng: Random, duckdb_reader: DuckdbReader) -> World:
    return World(home, rng, duckdb_reader)


def test_kill_at_failpoints(world: World, budget) -> None:
    for failpoint in failpoints(list(Failpoint), budget(10), world.rng):
        last = LAST_COMMIT if failpoint in COMMIT_POINTS else LAST_PASS
        world.live(f"{failpoint}:{world.rng.randint(1, last)}")
    world.finish()


def test_kill_at_random_times(world: World, budget) -> None:
    for _ in budget(6).points(at_least=FEWEST_DEATHS):
        world.live(seconds=world.rng.uniform(0, LONGEST_LIFE))
    world.finish()
