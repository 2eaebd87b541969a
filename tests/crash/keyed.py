"""Clients that change a table with a primary key through all the deaths of its server.

Each has keys of its own, in files that all share. What it was promised, and the change that was cut, tell
what the table may hold of it.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import pyarrow as pa

from maxlake.client import ArrowWriter, StorageApiArrowClient, StreamWriter, builders
from maxlake.client.endpoint import StorageEndpoint
from maxlake.client.requests import WriteStreamRequest
from maxlake.client.transport import Transport
from maxlake.protocol.columns import OPERATION_COLUMN
from maxlake.protocol.enums import Operation
from maxlake.testing import LocalServer
from tests.crash.lives import GONE
from tests.crash.workload import RETRY_HEADER

TABLE = "rows"
CREATE = (
    f"CREATE TABLE {TABLE} (writer bigint, id bigint, text string, PRIMARY KEY (writer, id)) "
    'PARTITIONED BY (pt string) TBLPROPERTIES ("transactional"="true")'
)
KEYS = range(20)
SHARED = ("a", "b")
MOST_ROWS = 30
#: A session's change takes this many streams.
STREAMS = 2

#: A writer's rows: text by partition and id.
State = dict[tuple[str, int], str]


@dataclass
class Change:
    """One commit of a writer: an upload a stream, or one that is streamed under a retry id."""

    uploads: Sequence[pa.RecordBatch]
    streamed: bool
    overwrites: str = ""
    retry_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    session: str = ""
    commit_sent: bool = False

    def applied(self, state: State) -> State:
        after = {key: text for key, text in state.items() if key[0] != self.overwrites}
        for row in pa.Table.from_batches(self.uploads).to_pylist():
            key = row["pt"], row["id"]
            if row[OPERATION_COLUMN] == Operation.DELETE.value:
                after.pop(key, None)
            else:
                after[key] = row["text"]
        return after


class KeyedWriter:
    """One of those who write; ``partitions`` may be others', too, unless it overwrites them."""

    def __init__(self, number: int, rng: Random, *, overwrites: bool = False) -> None:
        self.number = number
        self.acknowledged: State = {}
        self.changes = 0
        self._rng = rng
        self._partitions = (f"own{number}",) if overwrites else SHARED
        self._overwrites = overwrites
        self._cut: Change | None = None

    def live(self, server: LocalServer) -> None:
        """Repeat what was cut, and go on until the server is gone."""
        try:
            client = self.client(server)
            while True:
                self.finish(client)
                self._cut = self._new_change(self._rng.random() < 0.5)
        except GONE:
            return

    def change(self, client: StorageApiArrowClient, *, streamed: bool) -> None:
        """Change the table once."""
        self._cut = self._new_change(streamed)
        self.finish(client)

    def client(self, server: LocalServer) -> StorageApiArrowClient:
        odps = server.odps()
        return StorageApiArrowClient(odps, odps.get_table(TABLE))

    def read(self, server: LocalServer) -> pa.Table:
        """The whole table, as the server shows it."""
        client = self.client(server)
        reader = client.read_rows_arrow(client.create_read_session().session_id)
        return pa.Table.from_batches(iter(reader.read, None))

    def finish(self, client: StorageApiArrowClient) -> None:
        """Bring the change that was cut, if any, to its end."""
        if self._cut is None:
            return
        if self._cut.streamed:
            self._stream(client, self._cut)
        else:
            self._commit(client, self._cut)
        self.acknowledged, self._cut = self._cut.applied(self.acknowledged), None
        self.changes += 1

    def check(self, rows: pa.Table) -> None:
        """All that was acknowledged is there, what was cut wholly or not at all, and each key once."""
        mine = rows.filter(pa.compute.field("writer") == self.number).to_pylist()
        seen = {(row["pt"], row["id"]): row["text"] for row in mine}
        assert len(seen) == len(mine), "a key occurs twice"
        possible = [self.acknowledged]
        if self._cut is not None and (self._cut.streamed or self._cut.commit_sent):
            possible.append(self._cut.applied(self.acknowledged))
        assert seen in possible, f"writer {self.number} after {self.changes} changes"

    def _new_change(self, streamed: bool) -> Change:
        streamed = streamed and not self._overwrites
        overwrites = self._partitions[0] if self._overwrites and self._rng.random() < 0.5 else ""
        return Change([self._upload() for _ in range(1 if streamed else STREAMS)], streamed, overwrites)

    def _upload(self) -> pa.RecordBatch:
        count = self._rng.randint(1, MOST_ROWS)
        operations = self._rng.choices([each.value for each in Operation], [2, 1], k=count)
        columns = {
            "writer": pa.array([self.number] * count, pa.int64()),
            "id": pa.array(self._rng.choices(KEYS, k=count), pa.int64()),
            "text": [self._rng.randbytes(4).hex() for _ in range(count)],
            "pt": self._rng.choices(self._partitions, k=count),
            OPERATION_COLUMN: pa.array(operations, pa.int8()),
        }
        return pa.RecordBatch.from_pydict(columns)

    def _stream(self, client: StorageApiArrowClient, change: Change) -> None:
        """Upload under a retry id, as MaxStorage and Java do."""
        (rows,) = change.uploads
        target = builders.Target.table(client.table.project.name, None, TABLE)
        arguments = WriteStreamRequest("default", f"s{self.number}", 1, rows.num_rows)
        request = builders.write_rows(target, arguments, None)
        request = dataclasses.replace(request, headers=request.headers | {RETRY_HEADER: change.retry_id})
        transport = Transport(StorageEndpoint(client.tunnel_rest, {}, {}))
        try:
            writer = ArrowWriter(StreamWriter(lambda: transport.upload(request)), None)
            writer.write(rows)
            assert writer.finish()[1]
        finally:
            transport.close()

    def _commit(self, client: StorageApiArrowClient, change: Change) -> None:
        """Begin again with another session, unless this one was to be committed."""
        if not change.commit_sent:
            flags = {"overwrite": True} if change.overwrites else {}
            spec = f"pt={change.overwrites}" if change.overwrites else None
            change.session = client.create_write_session(spec, flags).session_id
            for number, rows in enumerate(change.uploads):
                client.create_write_stream(change.session, number)
                writer = client.write_rows_arrow(change.session, number)
                writer.write(rows)
                assert writer.finish()[1]
                client.close_write_stream(change.session, number)
        change.commit_sent = True
        client.commit_write_session(change.session)
