"""kill -9 while several writers stream: what was acknowledged is visible, what was cut wholly or not at all.

After each death every writer repeats its cut upload under the same retry id: then it is there once. What the
dead servers left behind is collected.
"""

from __future__ import annotations

import dataclasses
import uuid
from dataclasses import dataclass
from random import Random

import pyarrow as pa
import pytest

from maxlake.client import ArrowWriter, StorageApiArrowClient, StreamWriter, builders
from maxlake.client.endpoint import StorageEndpoint
from maxlake.client.requests import WriteStreamRequest
from maxlake.client.transport import Transport
from maxlake.failpoints import Failpoint
from maxlake.testing import LocalServer
from tests.crash.lives import FEWEST_DEATHS, GONE, Home, assert_killed, failpoints, killed_after
from tests.crash.workload import RETRY_HEADER, in_parallel
from tests.lake.duckdb_reader import DuckdbReader

pytestmark = pytest.mark.crash

TABLE = "rows"
WRITERS = 4
POINTS = [
    Failpoint.BEFORE_PART_SYNC,
    Failpoint.AFTER_PART_SYNC,
    Failpoint.AFTER_PART_RENAME,
    Failpoint.AFTER_DIRECTORY_SYNC,
    Failpoint.BEFORE_COMMIT_TRANSACTION,
    Failpoint.AFTER_COMMIT_TRANSACTION,
    Failpoint.BEFORE_WRITE_ANSWER,
]
#: Seconds: the start of the work, and some ten uploads.
LONGEST_LIFE = 0.4
MOST_ROWS = 50


@dataclass
class Upload:
    """The latest upload of a writer."""

    rows: pa.RecordBatch
    retry_id: str
    kept: bool = False


class Writer:
    """One of those who stream. Its rows are numbered; those below ``acknowledged`` must be visible."""

    def __init__(self, project: str, number: int, rng: Random) -> None:
        self.project = project
        self.number = number
        self.acknowledged = self.sent = 0
        self._rng = rng
        self._upload: Upload | None = None

    def live(self, server: LocalServer) -> None:
        """Repeat what was cut, and write on until the server is gone."""
        try:
            odps = server.odps()
            client = StorageApiArrowClient(odps, odps.get_table(TABLE))
            while True:
                self.write(client, self.latest())
        except GONE:
            return

    def latest(self) -> Upload:
        """The upload to send now: that which was cut, or else the next."""
        if self._upload is None or self._upload.kept:
            count = self._rng.randint(1, MOST_ROWS)
            rows = pa.RecordBatch.from_pydict(
                {
                    "writer": pa.array([self.number] * count, pa.int64()),
                    "row": pa.array(range(self.sent, self.sent + count), pa.int64()),
                    "pt": self._rng.choices("ab", k=count),
                }
            )
            self.sent += count
            self._upload = Upload(rows, uuid.uuid4().hex)
        return self._upload

    def write(self, client: StorageApiArrowClient, upload: Upload) -> None:
        """Upload under a retry id, as MaxStorage and Java do."""
        target = builders.Target.table(self.project, None, TABLE)
        arguments = WriteStreamRequest("default", f"s{self.number % 2}", 1, upload.rows.num_rows)
        request = builders.write_rows(target, arguments, None)
        request = dataclasses.replace(request, headers=request.headers | {RETRY_HEADER: upload.retry_id})
        transport = Transport(StorageEndpoint(client.tunnel_rest, {}, {}))
        try:
            writer = ArrowWriter(StreamWriter(lambda: transport.upload(request)), None)
            writer.write(upload.rows)
            _, upload.kept = writer.finish()
            assert upload.kept
        finally:
            transport.close()
        self.acknowledged = self.sent

    def finish(self, client: StorageApiArrowClient) -> None:
        if self.acknowledged < self.sent:
            self.write(client, self.latest())

    def check(self, rows: list[int]) -> None:
        """All that was acknowledged is there once, the latest upload whole or not at all."""
        assert sorted(rows) in (list(range(self.acknowledged)), list(range(self.sent)))


class World:
    """A root directory, its writers, and their way to look at it without a server."""

    def __init__(self, home: Home, rng: Random, duckdb_reader: DuckdbReader) -> None:
        self.home = home
        self.rng = rng
        self.writers = [Writer(home.project, number, Random(rng.random())) for number in range(WRITERS)]
        self._duckdb = duckdb_reader
        with home.life() as server:
            server.odps().create_table(TABLE, ("writer bigint, row bigint", "pt string"))

    def live(self, failpoint: str = "", seconds: float | None = None) -> None:
        with self.home.life(failpoint) as server:
            if seconds is None:
                in_parallel(lambda writer: writer.live(server), self.writers)
            else:
                with killed_after(server, seconds):
                    in_parallel(lambda writer: writer.live(server), self.writers)
            assert_killed(server)
        self.check()

    def check(self) -> None:
        seen = self.home.rows(self._duckdb, TABLE)
        for writer in self.writers:
            writer.check(seen.filter(pa.compute.field("writer") == writer.number)["row"].to_pylist())

    def finish(self) -> None:
        """Repeat what was cut last; then no row is missing, and no file is left that has no row."""
        with self.home.life() as server:
            odps = server.odps()
            client = StorageApiArrowClient(odps, odps.get_table(TABLE))
            for writer in self.writers:
                writer.finish(client)
        assert all(writer.acknowledged == writer.sent for writer in self.writers)
        assert any(writer.sent for writer in self.writers)
        self.home.check_nothing_is_left_over()
        self.check()


@pytest.fixture
def world(home: Home, rng: Random, duckdb_reader: DuckdbReader) -> World:
    return World(home, rng, duckdb_reader)


def test_kill_at_failpoints(world: World, budget) -> None:
    for failpoint in failpoints(POINTS, budget(10), world.rng):
        world.live(f"{failpoint}:{world.rng.randint(1, 6)}")
    world.finish()


def test_kill_at_random_times(world: World, budget) -> None:
    for _ in budget(6).points(at_least=FEWEST_DEATHS):
        world.live(seconds=world.rng.uniform(0, LONGEST_LIFE))
    world.finish()
