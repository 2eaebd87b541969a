"""A real service beside the model of what it must do, and how the two are compared."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import pyarrow as pa
from sqlalchemy import func, select, update

from maxlake.lake import ducklake, partitions, tables
from maxlake.protocol.errors import (
    BadRequestError,
    ConflictError,
    DeniedError,
    ErrorCode,
    MaxlakeError,
    NotFoundError,
)
from maxlake.protocol.messages.read import CreateReadSessionRequest, ReadAddress, ReadRowsRequest
from maxlake.protocol.messages.write import StreamAddress
from maxlake.protocol.targets import TableTarget
from maxlake.service import instances, maintenance, read_sessions, rows, store, write_sessions, write_streams
from maxlake.service.project import Project
from maxlake.service.service import Service, ServiceSettings, namespace
from tests.lake.duckdb_reader import DuckdbReader
from tests.postgresql import Postgresql
from tests.service.model.expected import KEYS, Contents, Key, Session, Stream, Table
from tests.service.model.uploads import new_rows

T = TypeVar("T")

ME = "me"
#: Finished sessions are remembered for longer, everything else is forgotten by then.
LATER = timedelta(days=3)
SETTINGS = (ServiceSettings(), ServiceSettings(snapshot_retention=0, orphan_age=0))

CLASSES: dict[ErrorCode, type[MaxlakeError]] = {
    ErrorCode.INVALID_ARGUMENT: BadRequestError,
    ErrorCode.SCHEMA_MISMATCH: BadRequestError,
    ErrorCode.DATA_ERROR: BadRequestError,
    ErrorCode.NO_PERMISSION: DeniedError,
    ErrorCode.NO_SUCH_OBJECT: NotFoundError,
    ErrorCode.INVALID_SESSION_STATUS: ConflictError,
    ErrorCode.INVALID_STREAM_STATUS: ConflictError,
    ErrorCode.ROW_OFFSET_MISMATCH: ConflictError,
}


@dataclass(frozen=True)
class Place:
    """Where a world's service keeps its things."""

    directory: Path
    name: str
    postgresql: Postgresql | None = None


class World:
    """One project with one table ``t``, what the model says of it, and a log of what was done."""

    def __init__(self, place: Place, random: Random, *, keyed: bool) -> None:
        self.place = place
        self.random = random
        self.log: list[str] = []
        self.done: Counter[str] = Counter()
        self.refused: Counter[ErrorCode] = Counter()
        self.table = Table(keyed)
        self.sessions: dict[str, Session] = {}
        self.flushes: dict[tuple[str, str], Any] = {}
        self.groups = 0
        self.pinned: dict[str, Contents] = {}
        self.staging = 0
        self.next_row = 0
        self.next_column = 1
        self.real_versions: dict[int, int] = {}
        self._open()
        columns = f"id bigint NOT NULL, c0 string{', PRIMARY KEY (id)' if keyed else ''}"
        clause = 'TBLPROPERTIES ("transactional"="true")' if keyed else ""
        self.sql(f"CREATE TABLE t ({columns}) PARTITIONED BY (pt string, hr bigint) {clause}")
        self.note_schema()

    # The service

    def _open(self) -> None:
        url = self.place.postgresql.url if self.place.postgresql else None
        self.service = Service.open(
            self.place.directory,
            project=self.place.name,
            database_url=url,
            settings=self.random.choice(SETTINGS),
        )
        self.project: Project = self.service.project(self.place.name)
        self.target = TableTarget(self.place.name, "default", "t")

    def restart(self) -> None:
        self.service.close()
        self._open()

    def close(self) -> None:
        self.service.close()

    def sql(self, query: str, *, succeeds: bool = True) -> None:
        instance = instances.submit(
            self.project, task_name="SQL", query=f"{query};", settings={}, uuid="", priority=9, principal=ME
        )
        assert instance.succeeded is succeeds, (query, instance)

    def note_schema(self) -> None:
        """Learn what the service calls the model's version of the columns."""
        with self.project.lake.database.read() as connection:
            real = tables.get(connection, "default", "t").schema_version
        assert real > max(self.real_versions.values(), default=-1)
        self.real_versions[self.table.version] = real

    def expire(self, session: Session) -> None:
        past = datetime.now(UTC) - timedelta(minutes=1)
        kept = store.write_session
        with self.project.lake.database.write() as connection:
            connection.execute(update(kept).where(kept.c.session_id == session.id).values(expires_at=past))
        session.expired = True

    def maintain(self, now: datetime) -> None:
        report = maintenance.maintain(self.project, now)
        assert not report.errors, report

    def much_later(self) -> None:
        """Maintenance of a day when all that is open now was abandoned long ago."""
        self.maintain(datetime.now(UTC) + LATER)
        self.flushes.clear()
        self.pinned.clear()
        for session in self.sessions.values():
            if session.state == "NORMAL":
                session.finish("FORGOTTEN")

    # The model

    def new_rows(self, fixed: dict[str, str], count: int | None = None) -> list[Any]:
        count = self.random.choice([0, 1, 1, 2, 3, 5]) if count is None else count
        self.next_row += count
        return new_rows(self.random, count, fixed, self.table, self.next_row - count)

    def session(self, *, blocks: bool = False) -> Session | None:
        """Any session of a form, rather one of the latest that still take writes."""
        known = [each for each in self.sessions.values() if (each.attempts is not None) is blocks]
        living = [each for each in known if each.writable][-3:]
        pool = living if living and self.random.random() < 0.9 else known
        return self.random.choice(pool) if pool else None

    def stream(self, session: Session, *, state: str = "") -> tuple[str, Stream] | None:
        pool = [(name, each) for name, each in session.streams.items() if state in ("", each.state)]
        return self.random.choice(pool) if pool else None

    # Comparison

    def expect(self, code: ErrorCode | None, call: Callable[[], T]) -> T | None:
        """Make a call that must succeed, or be refused with exactly this code."""
        if code is None:
            return call()
        self.check_refusal(code, call)
        return None

    def check_refusal(self, code: ErrorCode, call: Callable[[], object]) -> None:
        try:
            answer = call()
        except MaxlakeError as error:
            self.refused_with(error, code)
        else:
            raise AssertionError(f"expected {code}, was answered {answer!r}")
        if self.random.random() < 0.1:
            self.check_table()

    def refused_with(self, error: MaxlakeError, code: ErrorCode | None) -> None:
        """Count a refusal, if it is the one that the documents name."""
        if code is None or (error.code, type(error)) != (code, CLASSES[code]):
            raise AssertionError(f"expected {code}, was refused with {error!r}") from error
        self.refused[code] += 1

    def check_session(self, session: Session) -> None:
        """What the service tells about a session and its streams is what the model has."""
        hidden = session.hidden()
        told = self.expect(hidden, lambda: write_sessions.get(self.project, self.target, session.id, ME))
        if told is None or session.attempts is not None:
            return
        listed = [(each.stream_id, each.stream_version, each.status) for each in told.streams]
        over = session.state == "COMMITTED"
        assert listed == [
            (name, each.version, each.state)
            for name, each in session.streams.items()
            if each.state == "CLOSED" or not over
        ]
        for name in session.streams:
            self.check_stream(session, name)

    def check_stream(self, session: Session, name: str) -> None:
        address = newest(session, name)
        stream = session.streams[name]
        state = write_streams.get(self.project, self.target, address, ME)
        versions = self.real_versions[stream.schema], self.real_versions[self.table.version]
        assert (state.schema_version, state.latest_schema_version) == versions
        told = (state.status, state.record_count, state.error_code)
        assert told == (stream.state, len(stream.rows), stream.error)

    def pin(self) -> str:
        created = read_sessions.create(self.project, self.target, CreateReadSessionRequest(), ME)
        return created.session_id

    def read(self, session_id: str) -> Contents:
        address = ReadAddress(session_id=session_id)
        stream = rows.read(self.project, self.target, address, ReadRowsRequest(), ME)
        return seen(pa.Table.from_batches(stream.batches, stream.schema))

    def check_table(self) -> None:
        """What a new read session shows, and which partitions there are."""
        self.check_contents(self.read(self.pin()), self.table.contents())
        with self.project.lake.database.read() as connection:
            table = tables.get(connection, "default", "t")
            listed = partitions.list_partitions(connection, table)
        found = {tuple(each.values.values()): each.record_count for each in listed}
        assert found == {key: len(kept) for key, kept in self.table.partitions.items()}

    def finish(self, reader: DuckdbReader) -> None:
        """The end of a run: nothing but the model's rows is left, and DuckDB reads the same."""
        for session in self.sessions.values():
            self.check_session(session)
        self.check_table()
        for session_id, contents in self.pinned.items():
            self.check_contents(self.read(session_id), contents)
        self.check_duckdb(reader)
        self.restart()
        self.much_later()
        self.restart()
        self.check_table()
        self.check_duckdb(reader)
        files = list(self.project.lake.data.rglob("*.parquet"))
        with self.project.lake.database.read() as connection:
            data, deletes, waiting = (
                connection.execute(select(func.count()).select_from(kind)).scalar_one()
                for kind in (ducklake.data_file, ducklake.delete_file, store.part)
            )
        assert (len(files), waiting) == (data + deletes, 0)

    def check_contents(self, found: Contents, expected: Contents) -> None:
        """An updated row of a table with a key may change its place."""
        same(found, expected, ordered=not self.table.keyed)

    def check_duckdb(self, reader: DuckdbReader) -> None:
        if self.place.postgresql:
            catalog = self.place.postgresql.duckdb_catalog
            options = f"READ_ONLY, METADATA_SCHEMA '{namespace(self.place.name)}'"
        else:
            catalog, options = f"sqlite:{self.project.lake.data.parent / 'lake.sqlite'}", "READ_ONLY"
        same(seen(reader.rows(catalog, "default", "t", options)), self.table.contents(), ordered=False)


def newest(session: Session, name: str) -> StreamAddress:
    """The address of the newest version of a stream."""
    return StreamAddress(session_id=session.id, stream_id=name, stream_version=session.streams[name].version)


def seen(table: pa.Table) -> Contents:
    found: defaultdict[Key, list[dict[str, Any]]] = defaultdict(list)
    for row in table.to_pylist():
        found[tuple(str(row[key]) for key in KEYS)].append(row)
    return Contents(table.schema.names, dict(found))


def same(found: Contents, expected: Contents, *, ordered: bool = True) -> None:
    """Compare; columns and the rows of a partition have an order, which only our own reader promises."""
    assert found.names == expected.names if ordered else sorted(found.names) == sorted(expected.names)
    assert found.partitions.keys() == expected.partitions.keys()
    for key, kept in expected.partitions.items():
        there = found.partitions[key]
        assert there == kept if ordered else _by_id(there) == _by_id(kept), key


def _by_id(rows_: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows_, key=lambda row: row["id"])
