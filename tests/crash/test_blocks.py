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

from maxlake.client import StorageApiArrowClient, builders
from maxlake.client.endpoint import StorageEndpoint
from maxlake.client.exchange import HttpRequest
from maxlake.client.retry_budget import RetryBudget
from maxlake.client.transport import Transport
from maxlake.testing import LocalServer
from tests.budget import Budget
from tests.crash.block_world import TABLE, BlockWorld, kill_at_failpoints, kill_at_random_times
from tests.crash.lives import Home
from tests.lake.duckdb_reader import DuckdbReader

pytestmark = pytest.mark.crash

#: Seconds: the start of the work, and some two sessions.
LONGEST_LIFE = 0.4


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


class World(BlockWorld):
    """Blocks by their own protocol."""

    def __init__(self, home: Home, rng: Random, duckdb_reader: DuckdbReader) -> None:
        super().__init__(home, rng, duckdb_reader)
        self.session = Session(self.new_blocks(0))

    @property
    def cut(self) -> list[int]:
        return self.session.rows if self.session.commit_sent else []

    def steps(self, server: LocalServer) -> Callable[[], None]:
        client = BlockClient(server)
        return lambda: self.finish(client)

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
        self.session = Session(self.new_blocks(session.rows[-1] + 1))


@pytest.fixture
def world(home: Home, rng: Random, duckdb_reader: DuckdbReader) -> World:
    return World(home, rng, duckdb_reader)


def test_kill_at_failpoints(world: World, budget: Callable[[float], Budget]) -> None:
    kill_at_failpoints(world, budget)


def test_kill_at_random_times(world: World, budget: Callable[[float], Budget]) -> None:
    kill_at_random_times(world, budget, LONGEST_LIFE)
