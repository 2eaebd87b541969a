"""Transactions on SQLite: nothing is lost between processes, threads queue, readers see one state."""

import io
import itertools
import subprocess
import sys
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
from sqlalchemy import Column, Integer, MetaData, create_engine, insert, select
from sqlalchemy import Table as SqlTable
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError

from maxlake.lake import database as database_module
from maxlake.lake import definitions, ducklake
from maxlake.lake.database import MAX_IDENTIFIER, Database, Instant
from maxlake.lake.tables import TableOptions
from maxlake.lake.turns import Turns
from maxlake.protocol.columns import Column as DataColumn
from maxlake.protocol.columns import TableSchema
from maxlake.protocol.enums import WriteSessionState
from maxlake.protocol.errors import BusyError, ConflictError, ErrorCode, InternalError
from maxlake.protocol.messages.read import PreviewRequest
from maxlake.protocol.messages.write import (
    CommitRequest,
    CreateWriteSessionRequest,
    StreamAddress,
    WriteRowsRequest,
)
from maxlake.protocol.targets import TableTarget
from maxlake.protocol.types.text import parse_type
from maxlake.service import rows, store, uploads, write_commits, write_sessions, write_streams
from maxlake.service.service import Service, namespace
from tests.postgresql import Postgresql

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
    write_commits.commit(project, TARGET, session_id, CommitRequest(), "me")


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


def test_a_broken_disk_is_not_called_busy(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match="unable to open"):
        Database.sqlite(tmp_path / "missing" / "lake.sqlite").create_tables()


def test_a_file_that_is_no_database_is_not_called_busy(tmp_path: Path) -> None:
    (tmp_path / "lake.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(DatabaseError, match="not a database"):
        Database.sqlite(tmp_path / "lake.sqlite").create_tables()


def test_an_id_another_program_took_is_a_conflict(database: Database) -> None:
    database.create_tables()

    def take() -> None:
        with database.write() as connection:
            connection.execute(insert(ducklake.snapshot).values(snapshot_id=1))

    take()
    with pytest.raises(ConflictError, match="another program") as failed:
        take()
    assert failed.value.code is ErrorCode.COMMIT_CONFLICT


def test_a_turn_that_takes_too_long_is_busy(database: Database) -> None:
    database._turn = Turns(patience=0.05)
    with database.write(), pytest.raises(BusyError), database.write():
        pass


# -- PostgreSQL -------------------------------------------------------------------------------------


@pytest.fixture
def remote(postgresql: Postgresql):
    opened = Database.postgresql(postgresql.url, f"lake-{uuid.uuid4().hex}")
    opened.create_tables()
    yield opened
    opened.close()


@pytest.mark.postgresql
def test_readers_are_served_while_many_writers_wait(remote: Database) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with remote.write():
            begun.set()
            go_on.wait(20)

    def wait() -> None:
        with remote.write():
            pass

    writers = [threading.Thread(target=hold), *(threading.Thread(target=wait) for _ in range(40))]
    writers[0].start()
    begun.wait(20)
    for writer in writers[1:]:
        writer.start()
    with remote.read() as connection:
        assert connection.execute(select(1)).scalar_one() == 1
        assert remote.engine.pool.checkedout() == 2
    go_on.set()
    for writer in writers:
        writer.join()


@pytest.mark.postgresql
def test_connections_the_server_ended_are_replaced(remote: Database, postgresql: Postgresql) -> None:
    with psycopg.connect(postgresql.url, autocommit=True) as admin:
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        admin.execute(end)
        with remote.read() as connection:
            assert connection.execute(select(1)).scalar_one() == 1

        def lose() -> None:
            with remote.read() as connection:
                admin.execute(end)
                connection.execute(select(1))

        with pytest.raises(BusyError):
            lose()


@pytest.mark.postgresql
def test_an_unreachable_server_is_busy() -> None:
    with pytest.raises(BusyError):
        Database.postgresql("postgresql://postgres@127.0.0.1:1/postgres", "x")


def test_long_project_names_keep_schemas_of_their_own() -> None:
    names = ["a" * 60 + "_one", "a" * 60 + "_two", "漢" * 70, "short", "a" * 55, "a" * 56]
    schemas = [namespace(name) for name in names]
    assert len(set(schemas)) == len(names)
    assert all(len(schema.encode()) <= MAX_IDENTIFIER for schema in schemas)
    assert schemas[3:5] == ["maxlake_short", "maxlake_" + "a" * 55]


def test_instants_of_any_year_sort_as_they_are() -> None:
    instants = [datetime(year, 1, 1, tzinfo=UTC) for year in (1, 999, 1000, 1970, 9999)]
    dialect = create_engine("sqlite://").dialect
    texts = [Instant().process_bind_param(instant, dialect) for instant in instants]
    assert texts == sorted(texts)
    assert [Instant().process_result_value(text, dialect) for text in texts] == instants
