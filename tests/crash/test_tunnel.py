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
from odps.tunnel import TableTunnel

from maxlake.testing import LocalServer
from odps import options
from tests.budget import Budget
from tests.crash.block_world import BLOCKS, TABLE, BlockWorld, kill_at_failpoints, kill_at_random_times
from tests.crash.lives import Home
from tests.lake.duckdb_reader import DuckdbReader

pytestmark = pytest.mark.crash

#: Seconds: the start of the work, and some two uploads.
LONGEST_LIFE = 0.6


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


class World(BlockWorld):
    """Blocks through PyODPS's tunnel."""

    def __init__(self, home: Home, rng: Random, duckdb_reader: DuckdbReader) -> None:
        super().__init__(home, rng, duckdb_reader)
        self.upload = Upload(self.new_blocks(0))

    @property
    def cut(self) -> list[int]:
        return self.upload.rows if self.upload.complete_sent else []

    def steps(self, server: LocalServer) -> Callable[[], None]:
        tunnel, table = TableTunnel(server.odps()), server.odps().get_table(TABLE)
        return lambda: self.finish(tunnel, table)

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
        self.upload = Upload(self.new_blocks(upload.rows[-1] + 1))

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
    kill_at_failpoints(world, budget)


def test_kill_at_random_times(world: World, budget: Callable[[float], Budget]) -> None:
    kill_at_random_times(world, budget, LONGEST_LIFE)
