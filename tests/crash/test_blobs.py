"""kill -9 while blobs and the rows that refer to them are written: no reference is given out and lost.

What dead uploads and sessions leave is collected in the end, and nothing else (P1, P2).
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from maxlake.client import BlobWriteItem, ChecksumType, StorageApiArrowClient
from maxlake.failpoints import BlobPoint, Failpoint
from maxlake.service.maintenance import maintain
from maxlake.testing import LocalServer
from tests.crash.lives import FEWEST_DEATHS, GONE, Home, die, failpoints

pytestmark = pytest.mark.crash

TABLE = "pictures"
DATA = 1
#: What the rows and their commit pass, beside what blobs do.
POINTS = [
    *BlobPoint,
    Failpoint.AFTER_PART_TRANSACTION,
    Failpoint.BEFORE_COMMIT_TRANSACTION,
    Failpoint.AFTER_COMMIT_TRANSACTION,
    Failpoint.BEFORE_COMMIT_ANSWER,
]
#: Seconds: about two sessions.
LONGEST_LIFE = 0.6
#: Sessions are forgotten by then, and blobs past their grace.
LONG_AFTER = timedelta(days=9)


@dataclass
class Ledger:
    """What the client was promised: blobs by their references, and which of these are in committed rows."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    rows: set[str] = field(default_factory=set)
    #: In a commit that was not answered: there or not, but all of them.
    doubtful: list[set[str]] = field(default_factory=list)


class Writer:
    """Uploads blobs one by one and in batches, writes rows that refer to them, and commits these."""

    def __init__(self, server: LocalServer, ledger: Ledger, rng: Random) -> None:
        self.client = StorageApiArrowClient(server.odps(), server.odps().get_table(TABLE))
        self.ledger = ledger
        self.rng = rng

    def work_until_killed(self) -> None:
        with pytest.raises(GONE):
            self.work_on()

    def work_on(self) -> None:
        while True:
            self.work()

    def work(self) -> None:
        session = self.client.create_write_session().session_id
        self.client.create_write_stream(session, 0)
        references = [self.single(session) for _ in range(2)] + self.batch(session)
        if self.rng.random() < 0.2:
            return  # left to itself
        writer = self.client.write_rows_arrow(session, 0)
        writer.write(pa.record_batch({"id": pa.array(range(len(references))), "data": references}))
        writer.finish()
        self.client.close_write_stream(session, 0)
        self.ledger.doubtful.append(set(references))
        self.client.commit_write_session(session)
        self.ledger.rows |= self.ledger.doubtful.pop()

    def leave(self) -> None:
        """Upload a blob that no row will refer to."""
        session = self.client.create_write_session().session_id
        self.client.create_write_stream(session, 0)
        self.single(session)

    def single(self, session: str) -> str:
        data = self.data()
        writer = self.client.write_blob_stream(session, 0, column_index=DATA)
        writer.write(data)
        response = writer.finish()
        assert response
        self.ledger.blobs[response.blob_reference] = data
        return response.blob_reference

    def batch(self, session: str) -> list[str]:
        blobs = [self.data() for _ in range(self.rng.randint(1, 4))]
        items = [BlobWriteItem(data, column_index=DATA, checksum_type=ChecksumType.CRC32) for data in blobs]
        references = self.client.write_blob_batch(items, session, 0).blob_references
        assert references
        self.ledger.blobs |= dict(zip(references, blobs, strict=True))
        return references

    def data(self) -> bytes:
        return self.rng.randbytes(self.rng.choice([0, 10, 3000, 200_000, 1_500_000]))

    def check(self) -> None:
        """Everything acknowledged is there, and every row leads to its blob."""
        references = list(self.ledger.blobs)
        if not references:
            return
        found = [data for data, _ in self.client.read_blobs_parallel(references, 2)]
        assert found == list(self.ledger.blobs.values())
        cells = self.cells()
        assert self.ledger.rows <= cells
        for doubtful in self.ledger.doubtful:
            assert not doubtful & cells or doubtful <= cells
        self.ledger.rows |= cells
        self.ledger.doubtful.clear()

    def cells(self) -> set[str]:
        """Return the references that rows have, in the form that uploads return."""
        session = self.client.create_read_session()
        values: set[Any] = set()
        for split in range(session.splits_count):
            reader = self.client.read_rows_arrow(session.session_id, split_index=split)
            while (rows := reader.read()) is not None:
                values.update(rows["data"].to_pylist())
        return {b64encode(value).decode() for value in values}


@dataclass
class World:
    home: Home
    rng: Random
    ledger: Ledger = field(default_factory=Ledger)

    def live(self, failpoint: str = "", seconds: float | None = None) -> None:
        with self.home.life(failpoint) as server:
            writer = Writer(server, self.ledger, self.rng)
            die(server, writer.work_until_killed, seconds)

    def finish(self) -> None:
        with self.home.life() as server:
            writer = Writer(server, self.ledger, self.rng)
            writer.check()
            writer.work()
            writer.leave()
            writer.check()
        self.collect()
        with self.home.life() as server:
            writer = Writer(server, self.ledger, self.rng)
            assert writer.cells() == self.ledger.rows
            kept = {name: data for name, data in self.ledger.blobs.items() if name in self.ledger.rows}
            assert [data for data, _ in writer.client.read_blobs(list(kept))] == list(kept.values())

    def collect(self) -> None:
        """Let a week pass; of the files only those are left that rows refer to."""
        with self.home.opened() as project:
            impatient = replace(project, settings=replace(project.settings, snapshot_retention=0))
            report = maintain(impatient, datetime.now(UTC) + LONG_AFTER)
            assert not report.errors
            root = project.lake.blobs.root
            left = {str(path.relative_to(root)) for path in root.rglob("*.*")}
        used = {decoded_object(reference) for reference in self.ledger.rows}
        assert left == {f"{name}.pack" for name in used}
        assert report.blobs_removed


def decoded_object(reference: str) -> str:
    return b64decode(reference).decode().split(":")[3]


@pytest.fixture
def world(tmp_path: Path, rng: Random) -> World:
    home = Home(tmp_path)
    with home.life() as server:
        server.odps().create_table(TABLE, "id bigint, data blob")
    return World(home, rng)


def test_kill_at_failpoints(world: World, budget: Any) -> None:
    for point in failpoints(POINTS, budget(8), world.rng):
        last = 6 if isinstance(point, BlobPoint) else 2
        world.live(f"{point}:{world.rng.randint(1, last)}")
    world.finish()


def test_kill_at_random_times(world: World, budget: Any) -> None:
    for _ in budget(4).points(at_least=FEWEST_DEATHS):
        world.live(seconds=world.rng.uniform(0, LONGEST_LIFE))
    world.finish()
