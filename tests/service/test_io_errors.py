"""Full and broken disks: each call of each kind of write fails once; nothing is lost, half visible or stuck.

What is repeated afterwards as a client would repeat it ends as if nothing had happened.
"""

from __future__ import annotations

import errno
import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import ClassVar

import pyarrow as pa
import pytest

from maxlake.protocol.enums import StreamState
from maxlake.protocol.errors import ErrorCode, InternalError
from maxlake.protocol.messages.blocks import BlockAddress, CreateBlockSessionRequest
from maxlake.protocol.messages.write import CommitRequest, StreamAddress, WriteRowsRequest
from maxlake.service import blocks, maintenance, streaming, uploads, write_streams
from maxlake.service.service import Service
from tests.budget import Budget
from tests.service.faulty_disk import FaultyDisk
from tests.service.scene import ME, Scene

ERRORS = (errno.EIO, errno.ENOSPC)
ROWS = [1, 2, 3]


def body(columns: dict[str, object]) -> io.BytesIO:
    sink, table = io.BytesIO(), pa.table(columns)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return io.BytesIO(sink.getvalue())


class Write(ABC):
    """One write to a partition of its own. ``act`` may be repeated until it has succeeded."""

    before: ClassVar[list[int]] = []
    after: ClassVar[list[int]] = ROWS

    def __init__(self, scene: Scene, partition: str) -> None:
        self.scene = scene
        self.project, self.target = scene.project, scene.target
        self.partition = partition
        self.spec = f"pt={partition}"
        self.prepare()

    def prepare(self) -> None:
        """Do what comes before."""
        assert self.ids() == self.before

    @abstractmethod
    def act(self) -> None: ...

    def finish(self) -> None:
        """Make visible what was written, if it is not."""
        assert self.ids() == self.after

    def ids(self) -> list[int]:
        return sorted(self.scene.ids(self.spec))


class StreamUpload(Write):
    def prepare(self) -> None:
        self.session = self.scene.session(self.spec)
        self.address = self.scene.stream(self.session)

    def act(self) -> None:
        self.scene.write(self.address, ROWS, "retry")

    def finish(self) -> None:
        state = write_streams.get(self.project, self.target, self.address, ME)
        assert (state.status, state.record_count) == (StreamState.OPEN, len(ROWS))
        self.scene.close(self.address)
        self.scene.commit(self.session)


class ExactlyOnce(StreamUpload):
    def prepare(self) -> None:
        super().prepare()
        claimed = write_streams.get(self.project, self.target, self.address, ME, exactly_once=True)
        self.token = claimed.access_token

    def act(self) -> None:
        request = WriteRowsRequest(stream=self.address, row_offset=0, access_token=self.token)
        uploads.write(self.project, self.target, request, body({"id": ROWS}), ME)


class Commit(StreamUpload):
    flags: ClassVar[dict[str, object]] = {}

    def prepare(self) -> None:
        self.session = self.scene.session(self.spec, **self.flags)
        self.address = self.scene.stream(self.session)
        self.scene.write(self.address, ROWS)
        self.scene.close(self.address)

    def act(self) -> None:
        self.scene.commit(self.session)

    def finish(self) -> None:
        Write.finish(self)


class Overwrite(Commit):
    before: ClassVar[list[int]] = [7]
    flags: ClassVar[dict[str, object]] = {"overwrite": True}

    def prepare(self) -> None:
        self.scene.append(self.before, self.spec)
        super().prepare()


class Block(Write):
    def prepare(self) -> None:
        request = CreateBlockSessionRequest(partition_spec=self.spec)
        self.session = blocks.create(self.project, self.target, request, ME).session_id

    def act(self) -> None:
        address = BlockAddress(session_id=self.session, block_number=0, attempt_number=0)
        answer = blocks.write(self.project, self.target, address, body({"id": ROWS}), ME)
        self.message = answer.commit_message

    def finish(self) -> None:
        request = CommitRequest(commit_messages=(self.message,))
        blocks.commit(self.project, self.target, self.session, request, ME)


class Flush(Write):
    def act(self) -> None:
        address = StreamAddress(session_id="default", stream_id="s", stream_version=1)
        request = WriteRowsRequest(stream=address, retry_id=self.partition)
        rows = body({"id": ROWS, "pt": [self.partition] * len(ROWS)})
        streaming.write(self.project, self.target, request, rows)


class Compaction(Write):
    before: ClassVar[list[int]] = [1, 2, 3, 4]
    after = before

    def prepare(self) -> None:
        for number in self.before:
            self.scene.append([number], self.spec)

    def act(self) -> None:
        report = maintenance.maintain(self.project, datetime.now(UTC))
        if report.errors:
            raise InternalError(ErrorCode.INTERNAL_SERVER_ERROR, report.errors[0])


KINDS = (StreamUpload, ExactlyOnce, Commit, Overwrite, Block, Flush, Compaction)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> FaultyDisk:
    return FaultyDisk(monkeypatch)


@pytest.fixture
def scene(tmp_path: Path, disk: FaultyDisk) -> Iterator[Scene]:
    service = Service.open(tmp_path, project="p")
    yield Scene(service.project("p"))
    service.close()


@pytest.mark.parametrize("kind", KINDS)
def test_each_call_fails_once(
    kind: type[Write], scene: Scene, disk: FaultyDisk, rng: Random, budget: Callable[[float], Budget]
) -> None:
    """In the time there is; what is left out is another matter each time."""
    with disk.watching():
        kind(scene, "clean").act()
    first = kind(scene, "counted")
    with disk.watching():
        first.act()
    count = len(disk.calls)
    assert count >= 5, disk.calls
    faults = [(number, error) for number in range(count) for error in ERRORS]
    rng.shuffle(faults)
    for point in budget(2).points(at_least=10):
        number, error = faults[point % len(faults)]
        _fail_once(kind(scene, f"p{point}"), disk, number, error)
    _nothing_is_left_over(scene)


def _fail_once(write: Write, disk: FaultyDisk, number: int, error: int) -> None:
    raised: Exception | None = None
    with disk.watching(fails_at=number, error=error):
        try:
            write.act()
        except InternalError as problem:
            raised = problem
    where = f"{type(write).__name__}: {disk.failed}, call {number} of {disk.calls}; {raised!r}"
    assert disk.failed, where
    seen = write.ids()
    assert seen in (write.before, write.after), where
    write.act()
    write.finish()
    assert write.ids() == write.after, where


def _nothing_is_left_over(scene: Scene) -> None:
    rows = sorted(scene.ids())
    later = datetime.now(UTC) + timedelta(days=9)
    assert not maintenance.maintain(scene.project, later).errors
    assert maintenance.survey(scene.project, later).orphans == []
    assert sorted(scene.ids()) == rows
