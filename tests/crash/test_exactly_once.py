"""kill -9 while an exactly-once stream is written: whatever was cut or repeated, no row is lost or doubled.

After each death the client does not look at what it was promised: it asks the stream for its offset, or
simply says again what it has said before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import pyarrow as pa
import pytest

from maxlake.client import StorageApiArrowClient
from maxlake.failpoints import Failpoint
from maxlake.testing import LocalServer
from tests.crash.lives import FEWEST_DEATHS, GONE, Home, assert_killed, failpoints, killed_after

pytestmark = pytest.mark.crash

TABLE = "rows"
POINTS = [
    Failpoint.BEFORE_PART_SYNC,
    Failpoint.AFTER_PART_SYNC,
    Failpoint.AFTER_PART_RENAME,
    Failpoint.AFTER_DIRECTORY_SYNC,
    Failpoint.BEFORE_PART_TRANSACTION,
    Failpoint.AFTER_PART_TRANSACTION,
    Failpoint.BEFORE_WRITE_ANSWER,
]
#: Seconds: the start of the work, and some ten uploads.
LONGEST_LIFE = 0.4
MOST_ROWS = 100


@dataclass
class Writer:
    """The client's one stream. ``batches`` were sent, all but the last for certain taken."""

    rng: Random
    session: str = ""
    batches: list[pa.RecordBatch] = field(default_factory=list[pa.RecordBatch])
    rows: int = 0

    def client(self, server: LocalServer) -> StorageApiArrowClient:
        """A client that has found its way, so that only our own errors follow."""
        odps = server.odps()
        client = StorageApiArrowClient(odps, odps.get_table(TABLE))
        if self.session:
            client.get_write_session(self.session)
        return client

    def begin(self, server: LocalServer) -> None:
        server.odps().create_table(TABLE, "id bigint")
        client = self.client(server)
        self.session = client.create_write_session().session_id
        client.create_write_stream(self.session, 0)

    def starts(self) -> list[int]:
        starts = [0]
        for batch in self.batches:
            starts.append(starts[-1] + batch.num_rows)
        return starts

    def live(self, client: StorageApiArrowClient) -> None:
        """Take the stream up, repeat some, and write on until the server is gone."""
        token = self.resume(client)
        for number in range(self.rng.randint(0, len(self.batches)), len(self.batches)):
            self.send(client, token, number)
        while True:
            count = self.rng.randint(1, MOST_ROWS)
            self.batches.append(pa.RecordBatch.from_pydict({"id": range(self.rows, self.rows + count)}))
            self.rows += count
            self.send(client, token, len(self.batches) - 1)

    def resume(self, client: StorageApiArrowClient) -> str:
        state = client.get_write_stream(self.session, "0", 0, exactly_once_mode=True)
        starts = self.starts()
        assert state.row_offset in starts[-2:], "an acknowledged upload was lost, or one stored twice"
        if self.batches and state.row_offset == starts[-2]:
            self.send(client, state.access_token or "", len(self.batches) - 1)
        return state.access_token or ""

    def send(self, client: StorageApiArrowClient, token: str, number: int) -> None:
        start, end = self.starts()[number : number + 2]
        writer = client.write_rows_arrow(self.session, 0, row_offset=start, access_token=token)
        writer.write(self.batches[number])
        _, done = writer.finish()
        assert done
        answer = writer.get_write_stream_response()
        assert answer is not None
        assert answer.exactly_once_row_offset == end

    def finish(self, server: LocalServer) -> list[int]:
        """Commit, and return the rows of the table in their order."""
        client = self.client(server)
        self.resume(client)
        client.close_write_stream(self.session, 0)
        client.commit_write_session(self.session)
        reading = client.create_read_session()
        reader = client.read_rows_arrow(reading.session_id)
        return [number for batch in iter(reader.read, None) for number in batch["id"].to_pylist()]


@pytest.fixture
def writer(home: Home, rng: Random) -> Writer:
    writer = Writer(rng)
    with home.life() as server:
        writer.begin(server)
    return writer


def test_kill_at_failpoints(writer: Writer, home: Home, budget) -> None:
    for failpoint in failpoints(POINTS, budget(8), writer.rng):
        with home.life(f"{failpoint}:{writer.rng.randint(1, 4)}") as server:
            with pytest.raises(GONE):
                writer.live(writer.client(server))
            assert_killed(server)
    with home.life() as server:
        assert writer.finish(server) == list(range(writer.rows))


def test_kill_at_random_times(writer: Writer, home: Home, budget) -> None:
    for _ in budget(8).points(at_least=FEWEST_DEATHS):
        with home.life() as server:
            client, seconds = writer.client(server), writer.rng.uniform(0, LONGEST_LIFE)
            with killed_after(server, seconds), pytest.raises(GONE):
                writer.live(client)
            assert_killed(server)
    with home.life() as server:
        assert writer.finish(server) == list(range(writer.rows))
