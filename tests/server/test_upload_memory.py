"""P6, bounded: what all uploads hold together in the real server process, and what goes on meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pyarrow as pa
import pytest

from benchmarks.processes import HighWater, resident
from maxlake.client import StorageApiArrowClient
from maxlake.testing import LocalServer, local_server

MEBIBYTE = 1024 * 1024
#: MiB that uploads may hold: half of them are the pool.
MEMORY = 64
#: Uploads of wide rows, 32 MiB each: all of them would be held for row groups, were there no bound.
WRITERS, BATCHES = 8, 4
COLUMNS, ROWS, CELL = 32, 32, 8192
#: Beside them: one batch beyond the pool, what the encoder takes, and heaps with holes in them.
SLACK = 96 * MEBIBYTE


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with local_server(arguments=("--upload-memory", str(MEMORY))) as server:
        yield server


class Table:
    """A table, and a session to write to it."""

    def __init__(self, server: LocalServer, name: str, columns: str) -> None:
        odps = server.odps()
        odps.create_table(name, columns)
        self.client = StorageApiArrowClient(odps, odps.get_table(name))
        self.session = self.client.create_write_session().session_id

    def upload(self, stream: int, batches: Callable[[], Iterator[pa.RecordBatch]]) -> None:
        self.client.create_write_stream(self.session, stream)
        writer = self.client.write_rows_arrow(self.session, stream)
        for batch in batches():
            writer.write(batch)
        _, done = writer.finish()
        assert done
        self.client.close_write_stream(self.session, stream)

    def commit(self) -> int:
        self.client.commit_write_session(self.session)
        return self.client.create_read_session().record_count


def wide_batch(rng: Random) -> pa.RecordBatch:
    return pa.record_batch(
        {f"c{number}": [rng.randbytes(CELL) for _ in range(ROWS)] for number in range(COLUMNS)}
    )


def test_parallel_uploads_of_wide_rows_stay_within_the_memory_and_small_ones_go_on(
    server: LocalServer, rng: Random
) -> None:
    wide = Table(server, "wide", ", ".join(f"c{number} binary" for number in range(COLUMNS)))
    small = Table(server, "small", "id bigint")
    batch = wide_batch(rng)
    small.upload(0, lambda: iter([pa.record_batch({"id": [0]})]))  # what is loaded at first use
    before = resident(server.pid)
    took = list[float]()

    with ThreadPoolExecutor(WRITERS) as threads, HighWater(server=server.pid) as high:
        writing = [
            threads.submit(wide.upload, stream, lambda: iter([batch] * BATCHES)) for stream in range(WRITERS)
        ]
        while not all(each.done() for each in writing):
            started = time.monotonic()
            small.upload(len(took) + 1, lambda: iter([pa.record_batch({"id": [1]})]))
            took.append(time.monotonic() - started)
        for each in writing:
            each.result()

    assert len(took) >= 3, "no small uploads beside the large ones"
    assert max(took) < 5
    assert high.bytes["server"] - before <= MEMORY * MEBIBYTE + SLACK
    assert wide.commit() == WRITERS * BATCHES * ROWS
    assert small.commit() == len(took) + 1


def test_a_writer_that_stalls_in_a_batch_does_not_keep_others_waiting_for_ever(server: LocalServer) -> None:
    """Its rows that are complete are written out; the others wait only for what does not fit beside it."""
    table = Table(server, "t", "c binary")
    batch = pa.record_batch({"c": [bytes(2 * MEBIBYTE)] * 4})
    table.client.create_write_stream(table.session, 0)
    stalled = table.client.write_rows_arrow(table.session, 0)
    for _ in range(3):
        stalled.write(batch)  # the server holds them for a row group
    others = [
        threading.Thread(target=table.upload, args=(stream, lambda: iter([batch] * 3)))
        for stream in range(1, 5)
    ]
    for other in others:
        other.start()
    for other in others:
        other.join(30)
        assert not other.is_alive()
    _, done = stalled.finish()
    assert done
    table.client.close_write_stream(table.session, 0)
    assert table.commit() == 5 * 3 * 4
