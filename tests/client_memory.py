"""A client in a process of its own, which moves many times what it may hold."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from benchmarks.processes import HighWater, resident
from maxlake.client import BlobWriteItem, SplitOptions, StorageApiArrowClient
from maxlake.client.connected import ODPS
from maxlake.testing import LocalServer

#: A batch of rows such as these is some MB: large beside what most streams carry.
ROW_BYTES = 400
BATCH_ROWS = 16_384
BATCH_BYTES = ROW_BYTES * BATCH_ROWS
BLOB_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Task:
    """What to move, in so many streams, splits or workers at once."""

    action: str
    byte_count: int
    parallel: int
    max_memory: int


@dataclass(frozen=True)
class Moved:
    """Bytes: what was moved, what the client held before it began, and at most meanwhile."""

    byte_count: int
    before: int
    highest: int
    samples: int


class Mover:
    """The client; each task is done by a method of its name, which returns the bytes it moved."""

    def __init__(self, server: dict[str, str]) -> None:
        odps = ODPS(**server)
        self._client = StorageApiArrowClient(odps, odps.get_table("moved"))
        self._references: list[str] = []
        payload = pa.array([os.urandom(ROW_BYTES - 8) for _ in range(BATCH_ROWS)])
        self._batch = pa.record_batch({"id": pa.array(range(BATCH_ROWS)), "payload": payload})

    def perform(self, task: Task) -> int:
        self._client.max_memory = task.max_memory
        return getattr(self, task.action)(task.byte_count, task.parallel)

    def write(self, byte_count: int, streams: int) -> int:
        """Write rows in streams that are ended when they are full."""
        session = self._client.create_write_session(flags={"overwrite": "true"}).session_id
        share = byte_count // streams // BATCH_BYTES + 1

        def upload(number: int) -> list[tuple[str, int]]:
            done: list[tuple[str, int]] = []
            left = share
            while left:
                with self._client.upload_stream(session, f"{number}-{len(done)}") as stream:
                    while left and not stream.is_full:
                        stream.write(self._batch)
                        left -= 1
                done.append((stream.stream_id, stream.stream_version))
            return done

        with ThreadPoolExecutor(streams) as pool:
            done = [each for part in pool.map(upload, range(streams)) for each in part]
        self._client.commit_write_session(session, [each for each, _ in done], [each for _, each in done])
        return share * streams * BATCH_BYTES

    def read(self, _: int, splits: int) -> int:
        """Read what was written; each batch is kept until the next of its split is there."""
        parallel = SplitOptions(split_mode=SplitOptions.SplitMode.PARALLELISM, split_number=splits)
        session = self._client.create_read_session(split_options=parallel)

        def download(split: int) -> int:
            reader = self._client.read_rows_arrow(session.session_id, split, max_batch_rows=BATCH_ROWS)
            return sum(batch.num_rows for batch in iter(reader.read, None)) * ROW_BYTES

        with ThreadPoolExecutor(splits) as pool:
            return sum(pool.map(download, range(splits)))

    def write_blobs(self, byte_count: int, _: int) -> int:
        session = self._client.create_write_session().session_id
        self._client.create_write_stream(session, 0)
        blob = os.urandom(BLOB_BYTES)
        count = byte_count // BLOB_BYTES + 1
        items = [BlobWriteItem(blob) for _ in range(count)]
        self._references = (
            self._client.write_blob_batch(items, session, 0, column_index=2).blob_references or []
        )
        return count * BLOB_BYTES

    def read_blobs(self, _: int, workers: int) -> int:
        """Read what was written, all requests at once."""
        return sum(len(data) for data, _ in self._client.read_blobs_parallel(self._references, workers))


def moved_by(server: LocalServer, tasks: list[Task]) -> Iterator[Moved]:
    """What each task took, done one after the other by one client."""
    server.odps().create_table("moved", "id bigint, payload binary, picture blob")
    spawn: Any = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    entry = {
        "access_id": server.access_id,
        "secret_access_key": server.secret,
        "project": server.project,
        "endpoint": server.endpoint,
    }
    client = spawn.Process(target=_serve, args=(theirs, entry), daemon=True)
    client.start()
    theirs.close()
    try:
        assert ours.recv() == "ready"
        for task in tasks:
            before = resident(client.pid)
            with HighWater(client=client.pid) as high:
                ours.send(task)
                byte_count = ours.recv()
            yield Moved(byte_count, before, high.bytes["client"], high.samples)
    finally:
        client.kill()
        client.join()


def _serve(connection: Any, entry: dict[str, str]) -> None:
    mover = Mover(entry)
    connection.send("ready")
    while True:
        connection.send(mover.perform(connection.recv()))
