"""kill -9 at any moment: a session is visible whole or not at all, and nothing acknowledged is lost (P1, P2).

One client writes through all the deaths of the server. After each it first looks at what survived,
through DuckDB and through a read session, and then takes up what was cut: so the next death may find
the server at that, too.
"""

from random import Random

import pytest

from maxlake.failpoints import Failpoint
from tests.crash.lives import COMMIT_POINTS, FEWEST_DEATHS, Home, die, failpoints
from tests.crash.workload import PARTITIONS, TABLE, Ledger, Writer, table_columns
from tests.lake.duckdb_reader import DuckdbReader

pytestmark = pytest.mark.crash

#: A session passes those of a commit so often, the others once an upload or once a part.
LAST_PASS, LAST_COMMIT = 8, 2
#: Seconds: about two pairs of sessions.
LONGEST_LIFE = 0.8


class World:
    """A root directory, what its client remembers, and two ways to look at it."""

    def __init__(self, home: Home, rng: Random, duckdb_reader: DuckdbReader) -> None:
        self.home = home
        self.rng = rng
        self.ledger = Ledger()
        self._duckdb = duckdb_reader
        with home.life() as server:
            server.odps().create_table(TABLE, table_columns())

    def check_with_duckdb(self) -> None:
        self.ledger.check(self.home.rows(self._duckdb, TABLE))

    def live(self, failpoint: str = "", seconds: float | None = None) -> None:
        """Start the server, check what survived, work until it is killed, check again."""
        with self.home.life(failpoint) as server:
            writer = Writer(server.odps(), self.ledger, self.rng)
            writer.check()
            die(server, writer.work_until_killed, seconds)
        self.check_with_duckdb()

    def finish(self) -> None:
        """Let a server live, finish everything, and see every row exactly once."""
        with self.home.life() as server:
            writer = Writer(server.odps(), self.ledger, self.rng)
            writer.check()
            writer.finish_all()
            assert not self.ledger.unfinished
            writer.check()
            self.check_with_duckdb()
        assert set(self.ledger.rows["pt"].to_pylist()) <= set(PARTITIONS)
        assert self.ledger.commits


@pytest.fixture
def world(home: Home, rng: Random, duckdb_reader: DuckdbReader) -> World:
    return World(home, rng, duckdb_reader)


def test_kill_at_failpoints(world: World, budget) -> None:
    for failpoint in failpoints(list(Failpoint), budget(20), world.rng):
        last = LAST_COMMIT if failpoint in COMMIT_POINTS else LAST_PASS
        world.live(f"{failpoint}:{world.rng.randint(1, last)}")
    world.finish()


def test_kill_at_random_times(world: World, budget) -> None:
    for _ in budget(20).points(at_least=FEWEST_DEATHS):
        world.live(seconds=world.rng.uniform(0, LONGEST_LIFE))
    world.finish()
