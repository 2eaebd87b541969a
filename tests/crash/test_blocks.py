"""kill -9 while blocks are written and committed: the listed attempts are visible, all or none, once.

After each death the client repeats the attempt, or the commit, that was cut, with the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec
import pyarrow as pa
import pytest
import requests

from maxlake.client import StorageApiArrowClient, builders
from maxlake.client.endpoint import StorageEndpoint
from maxlake.client.errors import BrokenConnectionError, ConnectFailedError
from maxlake.client.exchange import HttpRequest
from maxlake.client.retry_budget import RetryBudget
from maxlake.client.transport import Transport
from maxlake.failpoints import Failpoint
from maxlake.testing import LocalServer
from tests.budget import Budget
from tests.crash.lives import Home, assert_killed, killed_after
from tests.lake.duckdb_reader import DuckdbReader

pytestmark = pytest.mark.crash

TABLE = "rows"
BLOCKS = 3
MOST_ROWS = 50
#: Seconds: the start of the work, and some two sessions.
LONGEST_LIFE = 0.4
#: A session passes these once, the others once a block.
COMMIT_POINTS = (
    Failpoint.BEFORE_COMMIT_TRANSACTION,
    Failpoint.AFTER_COMMIT_TRANSACTION,
    Failpoint.BEFORE_COMMIT_ANSWER,
)
POINTS = list(Failpoint)
GONE = (BrokenConnectionError, ConnectFailedError, requests.ConnectionError)


class BlockClient:
    """The calls of the block protocol (wire.md §8.2), which the documented client does not have."""

    def __init__(self, server: LocalServer) -> None:
        odps = server.odps()
        rest = StorageApiArrowClient(odps, odps.get_table(TABLE)).tunnel_rest
        self._transport = Transport(StorageEndpoint(rest, {}, {}))
        self._target = builders.Target.table(server.project, None, TABLE).path

    def create(self) -> str:
        return self._call("TableCreateWriteSession", {"PartitionSpec": ""})["SessionId"]

    def write(self, session_id: str, block: int, attempt: int, rows: pa.RecordBatch) -> dict[str, Any]:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_batch(rows)
        params = {"SessionId": session_id, "BlockNumber": str(block), "AttemptNumber": str(attempt)}
        return self._call("TableWrite", sink.getvalue().to_pybytes(), **params)

    def commit(self, session_id: str, messages: list[str]) -> None:
        self._call("TableCommitWriteSession", {"CommitMessages": messages}, SessionId=session_id)

    def _call(self, action: str, body: dict[str, Any] | bytes, **params: str) -> dict[str, Any]:
        params |= {"Action": action, "Target": self._target, "WriteMode": "BatchCompatible"}
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        request = HttpRequest("POST", builders.URL_PREFIX, params, {}, data)
        return msgspec.json.decode(self._transport.call(request, RetryBudget(0)).body)


@dataclass
class Session:
    """What one session writes: of each block an attempt that is given up, sometimes, and one that counts."""

    blocks: list[list[int]]
    session_id: str = ""
    messages: dict[int, str] = field(default_factory=dict[int, str])
    commit_sent: bool = False

    @property
    def rows(self) -> list[int]:
        return [row for block in self.blocks for row in block]


class World:
    """A home, and a client that outlives its servers. ``visible`` are the rows of acknowledged commits."""

    def __init__(self, home: Home, rng: Random, duckdb_reader: DuckdbReader) -> None:
        self.home = home
        self.rng = rng
        self.visible: list[int] = []
        self.session = self.new_session(0)
        self._duckdb = duckdb_reader
        with home.life() as server:
            server.odps().create_table(TABLE, "id bigint")

    def new_session(self, first: int) -> Session:
        blocks: list[list[int]] = []
        for _ in range(BLOCKS):
            blocks.append(list(range(first, first + self.rng.randint(1, MOST_ROWS))))
            first = blocks[-1][-1] + 1
        return Session(blocks)

    def live(self, failpoint: str = "", seconds: float = 60) -> None:
        with self.home.life(failpoint) as server:
            with killed_after(server, seconds), pytest.raises(GONE):
                self.work(server)
            assert_killed(server)
        self.check()

    def work(self, server: LocalServer) -> None:
        client = BlockClient(server)
        while True:
            self.finish(client)

    def finish(self, client: BlockClient) -> None:
        """Bring the session to its commit, and begin another."""
        session = self.session
        if not session.session_id:
            session.session_id = client.create()
        for number, block in enumerate(session.blocks):
            if number in session.messages:
                continue
            if self.rng.random() < 0.3:
                client.write(session.session_id, number, 1, pa.record_batch({"id": [-1]}))
            answer = client.write(session.session_id, number, 0, pa.record_batch({"id": block}))
            assert answer["RecordCount"] == len(block)
            session.messages[number] = answer["CommitMessage"]
        session.commit_sent = True
        client.commit(session.session_id, list(session.messages.values()))
        self.visible += session.rows
        self.session = self.new_session(session.rows[-1] + 1)

    def check(self) -> None:
        seen = self.home.rows(self._duckdb, TABLE)["id"].to_pylist()
        cut = self.session.rows if self.session.commit_sent else []
        assert sorted(seen) in (self.visible, self.visible + cut)

    def end(self) -> None:
        """Commit what was cut last; then no row is missing, and no file is left that has no row."""
        with self.home.life() as server:
            self.finish(BlockClient(server))
        self.check()
        self.home.check_nothing_is_left_over()
        self.check()


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
