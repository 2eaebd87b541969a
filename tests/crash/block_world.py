"""A table that one client after the other writes in numbered blocks, while its server is killed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from random import Random

import pytest

from maxlake.failpoints import Failpoint
from maxlake.testing import LocalServer
from tests.budget import Budget
from tests.crash.lives import (
    COMMIT_POINTS,
    FEWEST_DEATHS,
    GONE,
    Home,
    assert_killed,
    failpoints,
    killed_after,
)
from tests.lake.duckdb_reader import DuckdbReader

TABLE = "rows"
BLOCKS = 3
MOST_ROWS = 50


class BlockWorld(ABC):
    """A home, and a client that outlives its servers. ``visible`` are the rows of acknowledged commits."""

    def __init__(self, home: Home, rng: Random, duckdb_reader: DuckdbReader) -> None:
        self.home = home
        self.rng = rng
        self.visible: list[int] = []
        self.duckdb = duckdb_reader
        with home.life() as server:
            server.odps().create_table(TABLE, "id bigint")

    def new_blocks(self, first: int) -> list[list[int]]:
        """Return the ids of some blocks, from ``first`` on."""
        blocks: list[list[int]] = []
        for _ in range(BLOCKS):
            blocks.append(list(range(first, first + self.rng.randint(1, MOST_ROWS))))
            first = blocks[-1][-1] + 1
        return blocks

    def live(self, failpoint: str = "", seconds: float = 60) -> None:
        with self.home.life(failpoint) as server:
            with killed_after(server, seconds), pytest.raises(GONE):
                self.work(server)
            assert_killed(server)
        self.check()

    def work(self, server: LocalServer) -> None:
        step = self.steps(server)
        while True:
            step()

    @abstractmethod
    def steps(self, server: LocalServer) -> Callable[[], None]:
        """Return what brings a write that is begun to its commit, and begins another."""

    @property
    @abstractmethod
    def cut(self) -> list[int]:
        """The rows of a commit that was asked for and not acknowledged."""

    def check(self) -> None:
        seen = self.home.rows(self.duckdb, TABLE)["id"].to_pylist()
        assert sorted(seen) in (self.visible, self.visible + self.cut)

    def end(self) -> None:
        """Commit what was cut last; then no row is missing, and no file is left that has no row."""
        with self.home.life() as server:
            self.steps(server)()
        self.check()
        self.home.check_nothing_is_left_over()
        self.check()


def kill_at_failpoints(world: BlockWorld, budget: Callable[[float], Budget]) -> None:
    for failpoint in failpoints(list(Failpoint), budget(6), world.rng):
        world.live(f"{failpoint}:{world.rng.randint(1, 2 if failpoint in COMMIT_POINTS else BLOCKS)}")
    world.end()


def kill_at_random_times(world: BlockWorld, budget: Callable[[float], Budget], longest_life: float) -> None:
    for _ in budget(3).points(at_least=FEWEST_DEATHS):
        world.live(seconds=world.rng.uniform(0, longest_life))
    world.end()
