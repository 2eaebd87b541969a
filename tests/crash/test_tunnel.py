"""kill -9 while PyODPS uploads through the tunnel: blocks are visible all or none, once.

After each death the client goes on with its upload: it asks which blocks are there, writes those that are
not, sometimes one that is, and completes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pyarrow as pa
import pytest
import requests
from odps.tunnel import TableTunnel

from maxlake.failpoints import Failpoint
from maxlake.testing import LocalServer
from odps import errors, options
from tests.budget import Budget
from tests.crash.lives import Home, assert_killed, killed_after
from tests.lake.duckdb_reader import DuckdbReader

pytestmark = pytest.mark.crash

TABLE = "rows"
BLOCKS = 3
MOST_ROWS = 50
#: Seconds: the start of the work, and some two uploads.
LONGEST_LIFE = 0.6
#: An upload passes these once, the others once a block.
COMMIT_POINTS = (
    Failpoint.BEFORE_COMMIT_TRANSACTION,
    Failpoint.AFTER_COMMIT_TRANSACTION,
    Failpoint.BEFORE_COMMIT_ANSWER,
)
POINTS = list(Failpoint)
GONE = (requests.ConnectionError, errors.ConnectTimeout)


@pytest.fixture(autouse=True)
def impatient() -> Iterator[None]:
    """A client that does not try again on a server that is gone."""
    before, options.retry_times = options.retry_times, 0
    yield
    options.retry_times = before


@dataclass
class Upload:
    """What one upload writes: which blocks were acknowledged, and which of them are as they are to be."""

    blocks: list[list[int]]
    upload_id: str | None = None
    kept: set[int] = field(default_factory=set[int])
    right: set[int] = field(default_factory=set[int])
    complete_sent: bool = False

    @property
    def rows(self) -> list[int]:
        return [row for block in self.blocks for row in block]


class World:
    """A home, and a client that outlives its servers. ``visible`` are the rows of completed uploads."""

    def __init__(self, home: Home, rng: Random, duckdb_reader: DuckdbReader) -> None:
        self.home = home
        self.rng = rng
        self.visible: list[int] = []
        self.upload = self.new_upload(0)
        self._duckdb = duckdb_reader
        with home.life() as server:
            server.odps().create_table(TABLE, "id bigint")

    def new_upload(self, first: int) -> Upload:
        blocks: list[list[int]] = []
        for _ in range(BLOCKS):
            blocks.append(list(range(first, first + self.rng.randint(1, MOST_ROWS))))
            first = blocks[-1][-1] + 1
        return Upload(blocks)

    def live(self, failpoint: str = "", seconds: float = 60) -> None:
        with self.home.life(failpoint) as server:
            with killed_after(server, seconds), pytest.raises(GONE):
                self.work(server)
            assert_killed(server)
        self.check()

    def work(self, server: LocalServer) -> None:
        tunnel, table = TableTunnel(server.odps()), server.odps().get_table(TABLE)
        while True:
            self.finish(tunnel, table)

    def finish(self, tunnel: TableTunnel, table: Any) -> None:
        """Bring the upload to its end, and begin another."""
        upload = self.upload
        session = tunnel.create_upload_session(table, upload_id=upload.upload_id)
        upload.upload_id = session.id
        if session.status.value != "CLOSED":  # it was completed, and the answer was lost
            self.write(session)
            upload.complete_sent = True
            session.commit(list(range(BLOCKS)))
        else:
            assert upload.complete_sent
        self.visible += upload.rows
        self.upload = self.new_upload(upload.rows[-1] + 1)

    def write(self, session: Any) -> None:
        there = set(map(int, session.get_block_list()))
        assert self.upload.kept <= there, "a block that was acknowledged is gone"
        for number, block in enumerate(self.upload.blocks):
            if number in self.upload.right and self.rng.random() < 0.8:
                continue
            if self.rng.random() < 0.3:
                self.upload.right.discard(number)
                write_block(session, number, [-1], arrow=False)
                self.upload.kept.add(number)
            write_block(session, number, block, arrow=self.rng.random() < 0.5)
            self.upload.kept.add(number)
            self.upload.right.add(number)

    def check(self) -> None:
        seen = self.home.rows(self._duckdb, TABLE)["id"].to_pylist()
        cut = self.upload.rows if self.upload.complete_sent else []
        assert sorted(seen) in (self.visible, self.visible + cut)

    def end(self) -> None:
        """Complete what was cut last; then no row is missing, and no file is left that has no row."""
        with self.home.life() as server:
            self.finish(TableTunnel(server.odps()), server.odps().get_table(TABLE))
        self.check()
        self.home.check_nothing_is_left_over()
        self.check()


def write_block(session: Any, number: int, rows: list[int], *, arrow: bool) -> None:
    if arrow:
        with session.open_arrow_writer(number) as writer:
            writer.write(pa.record_batch({"id": rows}))
    else:
        with session.open_record_writer(number) as writer:
            for row in rows:
                writer.write(session.new_record([row]))


@pytest.fixture
def world(home: Home, rng: Random, duckdb_reader: DuckdbReader) -> World:
    return World(home, rng, duckdb_reader)


def test_kill_at_failpoints(world: World, budget: Callable[[float], Budget]) -> None:
    for point in budget(6).points(at_least=len(POINTS)):
        failpoint = POINTS[point % len(POINTS)]
        world.live(f"{failpoint}:{world.rng.randint(1, 2 if failpoint in COMMIT_POINTS else BLOCKS)}")
    world.end()


def test_kill_at_random_times(world: World, budget: Callable[[float], Budget]) -> None:
    for _ in budget(3).points(at_least=2):
        world.live(seconds=world.rng.uniform(0, LONGEST_LIFE))
    world.end()
