"""Uploads whose programs die: the next goes on, and each row is there once."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from maxlake.client import StorageApiArrowClient
from maxlake.client.connected import ODPS
from maxlake.client.resumable_upload import ResumableUpload
from maxlake.testing import LocalServer, fault_proxy, faults, local_server
from odps import errors
from tests.budget import Budget

ROWS_A_BATCH = 500
REQUEST_BYTES = 10_000
#: Seconds: about as long as an upload takes.
LONGEST_LIFE = 0.5
BATCHES = 40


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with local_server() as server:
        yield server


def client_of(server: LocalServer, table: str, endpoint: str = "") -> StorageApiArrowClient:
    odps = ODPS(server.access_id, server.secret, server.project, endpoint=endpoint or server.endpoint)
    return StorageApiArrowClient(odps, odps.get_table(table), rest_endpoint=endpoint or None)


@pytest.fixture
def table(server: LocalServer, request: pytest.FixtureRequest) -> str:
    name = f"t{abs(hash(request.node.nodeid))}"
    server.odps().create_table(name, "id bigint", if_not_exists=True)
    return name


def batch(number: int, size: int = ROWS_A_BATCH) -> pa.RecordBatch:
    return pa.record_batch({"id": pa.array(range(number * size, (number + 1) * size))})


def upload(client: StorageApiArrowClient, journal: Path, batches: int = BATCHES) -> ResumableUpload:
    with ResumableUpload(client, journal, request_bytes=REQUEST_BYTES) as going_on:
        assert going_on.row_count % ROWS_A_BATCH == 0
        if not going_on.is_committed:
            for number in range(going_on.row_count // ROWS_A_BATCH, batches):
                going_on.write(batch(number))
    return going_on


def ids(client: StorageApiArrowClient) -> list[int]:
    session = client.create_read_session()
    found: list[int] = []
    for split in range(session.splits_count):
        reader = client.read_rows_arrow(session.session_id, split)
        while (rows := reader.read()) is not None:
            found += rows["id"].to_pylist()
    return sorted(found)


def test_an_upload_that_is_not_disturbed(server: LocalServer, table: str, tmp_path: Path) -> None:
    client, journal = client_of(server, table), tmp_path / "journal"
    done = upload(client, journal)
    assert (done.is_committed, done.row_count) == (True, BATCHES * ROWS_A_BATCH)
    assert ids(client) == list(range(BATCHES * ROWS_A_BATCH))
    again = upload(client, journal)
    assert (again.is_committed, again.row_count) == (True, BATCHES * ROWS_A_BATCH)
    assert len(ids(client)) == BATCHES * ROWS_A_BATCH
    with pytest.raises(ValueError, match="committed: it takes no more rows"):
        again.write(batch(0))


def test_nothing_is_visible_before_the_end(server: LocalServer, table: str, tmp_path: Path) -> None:
    client, journal = client_of(server, table), tmp_path / "journal"
    with suppress(KeyError), ResumableUpload(client, journal) as broken:
        broken.write(batch(0))
        broken.flush()
        broken.write(batch(1))
        raise KeyError
    assert ids(client) == []
    with ResumableUpload(client, journal) as going_on:
        assert going_on.row_count == ROWS_A_BATCH
        going_on.write(batch(1))
    assert ids(client) == list(range(2 * ROWS_A_BATCH))


def test_what_failed_is_not_committed_without(server: LocalServer, table: str, tmp_path: Path) -> None:
    with fault_proxy(server.endpoint) as proxy:
        client = client_of(server, table, proxy.endpoint)
        client.retry_seconds = 0
        failing = ResumableUpload(client, tmp_path / "journal")
        with proxy.inject(faults.when(faults.action("TableWrite"), faults.unreachable)):
            failing.write(batch(0))
            with pytest.raises(errors.ODPSError):
                failing.flush()
        for call in (failing.commit, lambda: failing.write(batch(1))):
            with pytest.raises(ValueError, match=r"open .* again"):
                call()
        assert upload(client, tmp_path / "journal", 2).row_count == 2 * ROWS_A_BATCH
        assert ids(client) == list(range(2 * ROWS_A_BATCH))


def test_the_later_of_two_programs_goes_on(server: LocalServer, table: str, tmp_path: Path) -> None:
    client = client_of(server, table)
    earlier = ResumableUpload(client, tmp_path / "journal")
    earlier.write(batch(0))
    later = ResumableUpload(client, tmp_path / "journal")
    with pytest.raises(errors.ODPSError):
        earlier.flush()
    assert later.row_count == 0


def test_journals_are_checked(server: LocalServer, table: str, tmp_path: Path) -> None:
    client, journal = client_of(server, table), tmp_path / "journal"
    ResumableUpload(client, journal)
    server.odps().create_table(f"{table}_other", "id bigint")
    with pytest.raises(ValueError, match="is the journal of an upload to"):
        ResumableUpload(client_of(server, f"{table}_other"), journal)
    journal.write_text("notes")
    with pytest.raises(ValueError, match="is not the journal"):
        ResumableUpload(client, journal)


def test_a_session_that_is_gone_says_what_to_do(server: LocalServer, table: str, tmp_path: Path) -> None:
    client, journal = client_of(server, table), tmp_path / "journal"
    ResumableUpload(client, journal)
    session = journal.read_text().split('"session_id":"')[1].split('"')[0]
    client.abort_write_session(session)
    with pytest.raises(errors.ODPSError) as failed:
        ResumableUpload(client, journal)
    assert any("Delete" in note for note in failed.value.__notes__)


@pytest.mark.long
def test_uploaders_killed_at_random_times(
    server: LocalServer, tmp_path: Path, rng: Random, budget: Callable[[float], Budget]
) -> None:
    """Every upload is killed again and again until it is through; then each row is there once."""
    fork: Any = multiprocessing.get_context("fork")
    table, journal, uploads = f"killed{os.getpid()}", tmp_path / "journal", 0
    server.odps().create_table(table, "id bigint")
    for _ in budget(5).points(at_least=10):
        life = fork.Process(target=lambda: upload(client_of(server, table), journal))
        life.start()
        time.sleep(rng.uniform(0, LONGEST_LIFE))
        life.kill()
        life.join()
        client = client_of(server, table)
        seen = ids(client)
        assert len(seen) in (uploads * BATCHES * ROWS_A_BATCH, (uploads + 1) * BATCHES * ROWS_A_BATCH)
        if life.exitcode == 0 or len(seen) > uploads * BATCHES * ROWS_A_BATCH:
            assert upload(client, journal).is_committed
            uploads += 1
            journal.unlink()
            assert ids(client) == sorted(list(range(BATCHES * ROWS_A_BATCH)) * uploads)
    assert upload(client_of(server, table), journal).is_committed
    assert ids(client_of(server, table)) == sorted(list(range(BATCHES * ROWS_A_BATCH)) * (uploads + 1))
