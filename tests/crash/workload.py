"""A client that outlives its server: it remembers what it was promised, and takes up where it was cut.

``Ledger`` is what it remembers, ``Writer`` what it does while one server process lives.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from threading import Lock
from typing import Any, TypeVar

import pyarrow as pa

from maxlake.client import ArrowWriter, SplitOptions, StorageApiArrowClient, StreamWriter, builders
from maxlake.client.endpoint import StorageEndpoint
from maxlake.client.errors import BrokenConnectionError
from maxlake.client.requests import WriteStreamRequest
from maxlake.client.transport import Transport

TABLE = "rows"
PARTITIONS = ("a", "b", "c")
KEY = ["session", "stream", "upload", "row"]
SCHEMA = pa.schema([*((name, pa.int64()) for name in KEY), ("text", pa.string()), ("pt", pa.string())])
TYPES = {pa.int64(): "bigint", pa.string(): "string"}
STREAMS = 3
UPLOADS = 2
MOST_ROWS = 200
RETRY_HEADER = "odps-tunnel-retry-trace-id"

T = TypeVar("T")


def table_columns() -> tuple[str, str]:
    """What PyODPS' ``create_table`` takes: columns and partition columns."""
    columns = [f"{column.name} {TYPES[column.type]}" for column in SCHEMA]
    return ", ".join(columns[:-1]), columns[-1]


class ServerGoneError(Exception):
    """The server went while this session was being written; nothing more was sent."""


@dataclass
class Upload:
    """One TableWrite. ``kept``: it was acknowledged. ``sent``: the server may have taken it."""

    rows: pa.RecordBatch
    retry_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    sent: bool = False
    kept: bool = False


@dataclass
class Stream:
    """A stream; without ``retries`` an upload of unknown fate is repeated under a higher version."""

    number: int
    uploads: list[Upload]
    retries: bool
    version: int = 0
    created: bool = False
    closed: bool = False

    def rows_kept(self) -> int:
        return sum(upload.rows.num_rows for upload in self.uploads if upload.kept)

    def rows_sent(self) -> int:
        return sum(upload.rows.num_rows for upload in self.uploads if upload.sent)

    def begin_again(self) -> None:
        self.version += 1
        self.created = False
        for upload in self.uploads:
            upload.sent = upload.kept = False
            upload.retry_id = uuid.uuid4().hex


@dataclass
class Session:
    """A write session of this client."""

    number: int
    streams: list[Stream]
    overwrite: bool
    session_id: str = ""
    commit_sent: bool = False
    committed: bool = False

    @property
    def rows(self) -> pa.Table:
        return pa.Table.from_batches(
            [upload.rows for stream in self.streams for upload in stream.uploads], SCHEMA
        )


class Ledger:
    """Every session this client began, and the rows the table must hold."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.rows = SCHEMA.empty_table()
        self.commits = 0

    @property
    def unfinished(self) -> list[Session]:
        return [session for session in self.sessions if not session.committed]

    def new_session(self, rng: Random) -> Session:
        number = len(self.sessions)
        streams = [
            Stream(
                stream,
                [Upload(_rows(rng, number, stream, upload)) for upload in range(UPLOADS)],
                retries=rng.random() < 0.5,
            )
            for stream in range(STREAMS)
        ]
        self.sessions.append(Session(number, streams, overwrite=rng.random() < 0.2))
        return self.sessions[-1]

    def committed(self, session: Session) -> None:
        self.rows = self.after(session)
        self.commits += 1
        session.committed = True

    def after(self, session: Session) -> pa.Table:
        """The table's rows once ``session`` is committed."""
        before, new = self.rows, session.rows
        if session.overwrite:
            replaced = pa.compute.is_in(before["pt"], value_set=new["pt"].combine_chunks().unique())
            before = before.filter(pa.compute.invert(replaced))
        return ordered(pa.concat_tables([before, new]))

    def check(self, seen: pa.Table) -> None:
        """The rows are those of all acknowledged commits, and perhaps all of the one that was cut."""
        seen = ordered(seen)
        if seen.equals(self.rows):
            return
        cut = [session for session in self.unfinished if session.commit_sent]
        assert len(cut) <= 1
        assert cut, difference(seen, self.rows)
        assert seen.equals(self.after(cut[0])), difference(seen, self.after(cut[0]))


def _rows(rng: Random, session: int, stream: int, upload: int) -> pa.RecordBatch:
    count = rng.randint(1, MOST_ROWS)
    mine = rng.sample(PARTITIONS, rng.randint(1, len(PARTITIONS)))
    address = [pa.array([value] * count, pa.int64()) for value in (session, stream, upload)]
    texts = [rng.randbytes(rng.randint(0, 12)).hex() for _ in range(count)]
    return pa.record_batch(
        [*address, pa.array(range(count), pa.int64()), pa.array(texts), pa.array(rng.choices(mine, k=count))],
        schema=SCHEMA,
    )


def ordered(rows: pa.Table) -> pa.Table:
    """The rows in one agreed order, with the columns and types of SCHEMA."""
    return (
        rows.select(SCHEMA.names).cast(SCHEMA).sort_by([(name, "ascending") for name in KEY]).combine_chunks()
    )


def difference(seen: pa.Table, wanted: pa.Table) -> str:
    """Tell which sessions have other rows than they should."""

    def counts(rows: pa.Table) -> dict[int, int]:
        return {
            pair["values"]: pair["counts"] for pair in pa.compute.value_counts(rows["session"]).to_pylist()
        }

    have, want = counts(seen), counts(wanted)
    wrong = {number for number in have | want if have.get(number) != want.get(number)}
    told = [f"session {number}: {have.get(number, 0)} of {want.get(number, 0)}" for number in sorted(wrong)]
    return f"rows {', '.join(told) or 'as many as wanted, but with other values'}"


class Writer:
    """The client's work while one server process lives."""

    def __init__(self, odps: Any, ledger: Ledger, rng: Random) -> None:
        self.client = StorageApiArrowClient(odps, odps.get_table(TABLE))
        self.ledger = ledger
        self._rng = rng
        self._committing = Lock()
        self._gone = False
        self._target = builders.Target.table(odps.project, None, TABLE)

    def read(self) -> pa.Table:
        """All rows of the table, through a read session's splits."""
        split_options = SplitOptions(split_mode=SplitOptions.SplitMode.PARALLELISM, split_number=3)
        session = self.client.create_read_session(split_options=split_options)
        batches = list[pa.RecordBatch]()
        for split in range(session.splits_count):
            reader = self.client.read_rows_arrow(session.session_id, split_index=split)
            batches += iter(reader.read, None)
        return pa.Table.from_batches(batches).cast(SCHEMA) if batches else SCHEMA.empty_table()

    def check(self) -> None:
        """What the server shows agrees with all that was acknowledged."""
        self.ledger.check(self.read())
        for session in self.ledger.unfinished:
            if not session.commit_sent:
                self._check_streams(session)

    def _check_streams(self, session: Session) -> None:
        for stream in session.streams:
            if stream.created:
                status = self.client.get_write_stream(session.session_id, str(stream.number), stream.version)
                assert stream.rows_kept() <= status.record_count <= stream.rows_sent()
                assert status.record_count in (stream.rows_kept(), stream.rows_sent())

    def finish_all(self) -> None:
        """Bring every session that was cut to its commit.

        First the one whose commit was cut: it may have happened, and then came before the others.
        """
        for session in sorted(self.ledger.unfinished, key=lambda each: not each.commit_sent):
            self.finish(session)

    def work_until_killed(self) -> None:
        """Finish what was cut, then write new sessions, two at a time, until the server is gone."""
        try:
            self.finish_all()
            while True:
                in_parallel(self.finish, [self.ledger.new_session(self._rng) for _ in range(2)])
        except (BrokenConnectionError, ServerGoneError):
            return

    def finish(self, session: Session) -> None:
        """Do what is left of a session. Every step may be repeated, and is until it is acknowledged."""
        if not session.session_id:
            flags = {"overwrite": True} if session.overwrite else {}
            session.session_id = self.client.create_write_session(flags=flags).session_id
        if not session.commit_sent:
            in_parallel(lambda stream: self._finish_stream(session, stream), session.streams)
        with self._committing:
            self._commit(session)

    def _commit(self, session: Session) -> None:
        if self._gone:
            raise ServerGoneError
        session.commit_sent = True
        try:
            self.client.commit_write_session(session.session_id)
        except BrokenConnectionError:
            self._gone = True
            raise
        self.ledger.committed(session)
        self.client.commit_write_session(session.session_id)  # changes nothing

    def _finish_stream(self, session: Session, stream: Stream) -> None:
        if stream.closed:
            return
        uncertain = any(upload.sent and not upload.kept for upload in stream.uploads)
        if uncertain and not stream.retries:
            stream.begin_again()
        if not stream.created:
            self.client.create_write_stream(session.session_id, stream.number, stream.version)
            stream.created = True
        for upload in stream.uploads:
            if not upload.kept:
                self._write(session, stream, upload)
        self.client.close_write_stream(session.session_id, stream.number, stream.version)
        stream.closed = True

    def _write(self, session: Session, stream: Stream, upload: Upload) -> None:
        """Upload under a retry id, as official clients may do and the documented one does not."""
        arguments = WriteStreamRequest(
            session.session_id, stream.number, stream.version, upload.rows.num_rows
        )
        request = builders.write_rows(self._target, arguments, None)
        if stream.retries:
            request = dataclasses.replace(request, headers=request.headers | {RETRY_HEADER: upload.retry_id})
        transport = Transport(StorageEndpoint(self.client.tunnel_rest, {}, {}))
        try:
            writer = ArrowWriter(StreamWriter(lambda: transport.upload(request)), None)
            upload.sent = True
            writer.write(upload.rows)
            _, done = writer.finish()
            assert done
            upload.kept = True
        finally:
            transport.close()


def in_parallel(work: Callable[[T], object], items: Iterable[T]) -> None:
    """Do ``work`` in a thread each, to the end of all; then raise the first error that tells most.

    A broken connection is what a killed server looks like: any other error is told first.
    """
    with ThreadPoolExecutor() as pool:
        futures = [pool.submit(work, item) for item in items]
    errors = [error for future in futures if (error := future.exception())]
    errors.sort(key=lambda error: isinstance(error, (BrokenConnectionError, ServerGoneError)))
    if errors:
        raise errors[0]
