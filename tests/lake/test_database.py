"""Transactions on SQLite: nothing is lost between processes, threads queue, readers see one state."""

import io
import itertools
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest
from sqlalchemy import Column, Integer, MetaData, insert, select
from sqlalchemy import Table as SqlTable
from sqlalchemy.exc import IntegrityError, OperationalError

from maxlake.lake import database as database_module
from maxlake.lake import definitions
from maxlake.lake.database import Database
from maxlake.lake.tables import TableOptions
from maxlake.protocol.columns import Column as DataColumn
from maxlake.protocol.columns import TableSchema
from maxlake.protocol.enums import WriteSessionState
from maxlake.protocol.errors import BusyError
from maxlake.protocol.messages.read import PreviewRequest
from maxlake.protocol.messages.write import (
    CommitRequest,
    CreateWriteSessionRequest,
    StreamAddress,
    WriteRowsRequest,
)
from maxlake.protocol.targets import TableTarget
from maxlake.protocol.types.text import parse_type
from maxlake.service import rows, store, uploads, write_sessions, write_streams
from maxlake.service.service import Service

PROCESSES = 4
COMMITS = 25
TARGET = TableTarget("demo", "default", "numbers")
number = SqlTable("number", MetaData(), Column("value", Integer, primary_key=True))


@pytest.fixture
def database(tmp_path: Path):
    opened = Database.sqlite(tmp_path / "lake.sqlite")
    with opened.write() as connection:
        number.create(connection)
    yield opened
    opened.close()


def values(connection) -> list[int]:
    return list(connection.execute(select(number.c.value).order_by(number.c.value)).scalars())


# -- processes --------------------------------------------------------------------------------------


def write_and_commit(service: Service, writer: int, commit: int) -> None:
    project = service.project("demo")
    session_id = write_sessions.create(project, TARGET, CreateWriteSessionRequest(), "me").session_id
    stream = StreamAddress(session_id=session_id, stream_id="0", stream_version=0)
    write_streams.create(project, TARGET, stream, "me")
    body = io.BytesIO()
    batch = pa.record_batch(
        {"writer": pa.array([writer], pa.int64()), "round": pa.array([commit], pa.int64())}
    )
    with pa.ipc.new_stream(body, batch.schema) as file:
        file.write_batch(batch)
    body.seek(0)
    uploads.write(project, TARGET, WriteRowsRequest(stream=stream), body, "me")
    write_streams.close(project, TARGET, stream, "me")
    write_sessions.commit(project, TARGET, session_id, CommitRequest(), "me")


def main(root: Path, writer: int) -> None:
    """One of the writing processes."""
    service = Service.open(root, project="demo")
    print("open", flush=True)
    sys.stdin.readline()
    for commit in range(COMMITS):
        write_and_commit(service, writer, commit)
    service.close()


def start(root: Path, writer: int) -> subprocess.Popen[str]:
    code = (
        "import importlib.util as u, sys; from pathlib import Path\n"
        "spec = u.spec_from_file_location('writer', sys.argv[1]); module = u.module_from_spec(spec)\n"
        "spec.loader.exec_module(module); module.main(Path(sys.argv[2]), int(sys.argv[3]))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, __file__, str(root), str(writer)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_processes_that_write_one_project_at_once_lose_nothing(tmp_path: Path) -> None:
    # They create the project at the same time, too.
    writers = [start(tmp_path, writer) for writer in range(PROCESSES)]
    for writer in writers:
        assert writer.stdout.readline() == "open\n", writer.communicate()[1]
    service = Service.open(tmp_path, project="demo")
    project = service.project("demo")
    columns = tuple(DataColumn(name, parse_type("bigint")) for name in ("writer", "round"))
    with project.lake.database.write() as connection:
        definitions.create_table(
            connection, "default", "numbers", TableSchema(columns, ()), TableOptions(), "me"
        )
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors
    stream = rows.preview(project, TARGET, PreviewRequest(limit=10_000))
    seen = pa.Table.from_batches(stream.batches).to_pylist()
    wanted = [(writer, commit) for writer in range(PROCESSES) for commit in range(COMMITS)]
    assert sorted((row["writer"], row["round"]) for row in seen) == wanted
    with project.lake.database.read() as connection:
        states = list(connection.execute(select(store.write_session.c.state)).scalars())
    assert states == [WriteSessionState.COMMITTED] * (PROCESSES * COMMITS)
    service.close()


def test_a_database_another_process_holds_is_busy(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT", 0.1)
    ours, theirs = Database.sqlite(tmp_path / "lake.sqlite"), Database.sqlite(tmp_path / "lake.sqlite")
    with ours.write() as connection:
        number.create(connection)
    with theirs.write(), pytest.raises(BusyError), ours.write():
        pass
    with ours.write() as connection:
        connection.execute(insert(number).values(value=1))
    ours.close()
    theirs.close()


# -- threads ----------------------------------------------------------------------------------------


def test_threads_queue_fairly(database: Database) -> None:
    """While each of several threads writes without a pause, none gets far ahead of another."""
    threads, order, start_together = 4, list[int](), threading.Barrier(4)

    def write(me: int) -> None:
        start_together.wait()
        for turn in range(25):
            with database.write() as connection:
                connection.execute(insert(number).values(value=turn * threads + me))
                order.append(me)
                time.sleep(0.0005)

    writers = [threading.Thread(target=write, args=(me,)) for me in range(threads)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with database.read() as connection:
        assert values(connection) == list(range(threads * 25))
    # Between two turns of one thread, each of the others has one, give or take the moment of asking.
    waits = [later - earlier for me in range(threads) for earlier, later in pairs(order, me)]
    assert max(waits) <= 2 * threads, order


def pairs(order: list[int], me: int) -> list[tuple[int, int]]:
    turns = [position for position, who in enumerate(order) if who == me]
    return list(itertools.pairwise(turns))


# -- transactions -----------------------------------------------------------------------------------


def test_a_reader_sees_one_state(database: Database) -> None:
    with database.write() as connection:
        connection.execute(insert(number).values(value=1))
    with database.read() as reader:
        assert values(reader) == [1]
        with database.write() as connection:
            connection.execute(insert(number).values(value=2))
        assert values(reader) == [1]
        with database.read() as later:
            assert values(later) == [1, 2]


def test_a_reader_does_not_see_what_is_being_written(database: Database) -> None:
    with database.write() as connection:
        connection.execute(insert(number).values(value=1))
        with database.read() as reader:
            assert values(reader) == []
    with database.read() as reader:
        assert values(reader) == [1]


def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    def fail() -> None:
        with database.write() as connection:
            connection.execute(insert(number).values(value=1))
            connection.execute(insert(number).values(value=1))

    with pytest.raises(IntegrityError):
        fail()
    with database.write() as connection:  # and the next writer gets its turn
        assert values(connection) == []


def test_a_transaction_for_reading_that_has_been_overtaken_cannot_write(database: Database) -> None:
    with database.read() as reader:
        assert values(reader) == []
        with database.write() as connection:
            connection.execute(insert(number).values(value=1))
        with pytest.raises(OperationalError):
            reader.execute(insert(number).values(value=2))


def test_every_commit_is_synced(database: Database) -> None:
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2  # FULL
