"""P4: while four clients commit and maintenance merges and deletes, a session shows exactly its snapshot.

Each writer owns a partition and numbers its commits; three append, one replaces. What a session may show is
then known: of an appending writer its first n commits, whole; of the replacing one exactly its n-th; where n
is at least the last commit acknowledged before the session was asked for, and at most the last one begun
before it was there.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from maxlake.client import SplitOptions, StorageApiArrowClient
from maxlake.testing import LocalServer, local_server
from tests.budget import Budget

APPENDING, REPLACING = ("a", "b", "c"), "d"
ROWS = 20
TABLE = "commits"
#: Merges every moment, and forgets versions as soon as there is another.
RESTLESS = ("--maintenance-interval", "0.5", "--snapshot-retention", "1")
#: How long a session is held and read again and again.
HELD = 3.0
#: How long a merge may take to come on a busy machine, in seconds.
PATIENCE = 60.0


class Progress:
    """The commits of each writer: how many were begun, how many acknowledged."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()
        self.acknowledged: Counter[str] = Counter()


def write(client: StorageApiArrowClient, key: str, progress: Progress, stop: threading.Event) -> None:
    while not stop.is_set():
        progress.begun[key] += 1
        number = progress.begun[key]
        session = client.create_write_session(
            partial_partition_spec=f"pt={key}", flags={"overwrite": key == REPLACING}
        ).session_id
        client.create_write_stream(session, stream_id="0")
        writer = client.write_rows_arrow(session, stream_id="0")
        writer.write(pa.record_batch({"number": [number] * ROWS, "row": list(range(ROWS))}))
        _, done = writer.finish()
        assert done
        client.close_write_stream(session, stream_id="0")
        client.commit_write_session(session)
        progress.acknowledged[key] = number


def read_all(client: StorageApiArrowClient, session: Any) -> list[tuple[str, int, int]]:
    rows: list[tuple[str, int, int]] = []
    for index in range(session.splits_count):
        reader = client.read_rows_arrow(session.session_id, split_index=index)
        while (batch := reader.read()) is not None:
            rows.extend(zip(*(batch[name].to_pylist() for name in ("pt", "number", "row")), strict=True))
    return rows


def living_files(server: LocalServer) -> int:
    """How many files the newest version has: without merges, one for each commit."""
    with closing(sqlite3.connect(server.root / "projects" / "demo" / "lake.sqlite")) as catalog:
        query = "SELECT count(*) FROM ducklake_data_file WHERE end_snapshot IS NULL"
        return catalog.execute(query).fetchone()[0]


def check(rows: list[tuple[str, int, int]], before: Counter[str], after: Counter[str]) -> None:
    found = Counter(rows)
    assert not found or max(found.values()) == 1
    for key in APPENDING:
        commits = {commit for pt, commit, _ in found if pt == key}
        last = len(commits)
        assert commits == set(range(1, last + 1))
        assert sum(pt == key for pt, _, _ in found) == last * ROWS
        assert before[key] <= last <= after[key]
    commits = {commit for pt, commit, _ in found if pt == REPLACING}
    assert len(commits) <= 1
    assert sum(pt == REPLACING for pt, _, _ in found) == len(commits) * ROWS
    assert before[REPLACING] <= max(commits, default=0) <= after[REPLACING]


def read(client: StorageApiArrowClient, progress: Progress, budget: Budget, rng: Random) -> None:
    options = SplitOptions()
    options.split_mode = SplitOptions.SplitMode.PARALLELISM
    options.split_number = 3
    for _ in budget.points(at_least=3):
        before = progress.acknowledged.copy()
        session = client.create_read_session(split_options=options)
        after = progress.begun.copy()
        rows = read_all(client, session)
        check(rows, before, after)
        assert session.record_count == len(rows)
        held_until = time.monotonic() + rng.random() * HELD
        while time.monotonic() < held_until:
            if rng.random() < 0.5:
                client.get_read_session(session.session_id, refresh=True)
            assert read_all(client, session) == rows


@pytest.mark.long
def test_every_session_sees_exactly_its_snapshot(budget: Callable[[float], Budget], seed: int) -> None:
    limit = budget(10)
    with local_server(arguments=RESTLESS) as server:
        odps = server.odps()
        table = odps.create_table(TABLE, ("number bigint, row bigint", "pt string"))
        progress, stop = Progress(), threading.Event()
        with ThreadPoolExecutor() as threads:
            writers = [
                threads.submit(write, StorageApiArrowClient(server.odps(), table), key, progress, stop)
                for key in (*APPENDING, REPLACING)
            ]
            try:
                readers = [
                    threads.submit(
                        read,
                        StorageApiArrowClient(server.odps(), table),
                        progress,
                        limit,
                        Random(f"{seed} {n}"),
                    )
                    for n in range(2)
                ]
                for reader in readers:
                    reader.result()
            finally:
                stop.set()
            for writer in writers:
                writer.result()
        session = StorageApiArrowClient(odps, table).create_read_session()
        check(
            read_all(StorageApiArrowClient(odps, table), session),
            progress.acknowledged,
            progress.acknowledged,
        )
        appended = sum(progress.acknowledged[key] for key in APPENDING)
        until = time.monotonic() + PATIENCE
        while living_files(server) >= appended and time.monotonic() < until:
            time.sleep(0.2)
        assert living_files(server) < appended, "maintenance has merged no file"
