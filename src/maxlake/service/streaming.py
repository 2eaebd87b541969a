"""Streaming: uploads that are visible as soon as they are acknowledged (wire.md §8.3, drift.md A.13).

They need no session: every table has the one called ``default``, which is never created and never ends, and
whose streams are names and nothing more. Each upload is its own commit; those that arrive together share a
transaction and a version of the table.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, insert, select

from maxlake.failpoints import Failpoint, reach
from maxlake.lake import commits, snapshots, tables, upserts
from maxlake.lake.arrow_input import Source
from maxlake.lake.parts import Part
from maxlake.lake.tables import Table
from maxlake.protocol.enums import StreamState, WriteSessionState
from maxlake.protocol.errors import (
    BusyError,
    ErrorCode,
    MaxlakeError,
    NotFoundError,
    invalid_argument,
)
from maxlake.protocol.limits import MAX_REQUEST_TOKEN, MAX_UPSERT_ATTEMPTS
from maxlake.protocol.messages.base import decode_flag
from maxlake.protocol.messages.streaming import STREAMING_SESSION, FlushResponse
from maxlake.protocol.messages.write import (
    CreateWriteSessionRequest,
    CreateWriteSessionResponse,
    GetWriteSessionResponse,
    StreamAddress,
    StreamSchema,
    StreamStatus,
    WriteRowsRequest,
)
from maxlake.protocol.targets import TableTarget
from maxlake.protocol.tunnel.decoders import BodyDecoder
from maxlake.service import schema_versions, session_expiry, store
from maxlake.service.project import Project
from maxlake.service.uploads import StoredRows, discard_body, store_rows
from maxlake.service.write_sessions import WriteSession
from maxlake.service.write_streams import check_address, incomplete, schema_of

NO_PARTITION: Mapping[str, str] = MappingProxyType({})
# Made before threads are (see read_sessions).
_ANSWER = msgspec.msgpack.Decoder(FlushResponse)


class FlushKey(NamedTuple):
    """What a repeated upload has in common with the first."""

    retry_id: str
    stream_id: str
    table_id: int


def _key(table: Table, request: WriteRowsRequest) -> FlushKey | None:
    """Return None for an upload whose repetition cannot be recognised."""
    if not request.retry_id:
        return None
    return FlushKey(request.retry_id, request.stream.stream_id, table.table_id)


@dataclass(frozen=True, eq=False)
class Flush:
    """A streamed upload whose files are durable and not yet named by any row."""

    table: Table
    request: WriteRowsRequest
    stored: StoredRows

    @property
    def key(self) -> FlushKey | None:
        """What a repetition has in common with it; None if it cannot be recognised."""
        return _key(self.table, self.request)


@dataclass(frozen=True)
class FlushOutcome:
    """What became of a flush; ``named`` says whether rows name its files, or may."""

    answer: FlushResponse | Exception
    named: bool


def create_session(
    project: Project, target: TableTarget, request: CreateWriteSessionRequest
) -> CreateWriteSessionResponse:
    """Name the session of a table. Raises ``InvalidArgument`` for what a session without end cannot have."""
    if decode_flag(request.flags.get("overwrite", request.overwrite), "overwrite"):
        raise invalid_argument(
            "streamed rows are visible one upload at a time, so they cannot replace others: overwrite with "
            "WriteMode=Batch",
            where=str(target),
        )
    if request.partial_partition_spec.strip() or request.partition_spec:
        raise invalid_argument(
            "all writers of a table stream in one session, so it has no partition: upload the partition's "
            "values as columns",
            where=str(target),
        )
    _table(project, target)
    return CreateWriteSessionResponse(session_id=STREAMING_SESSION)


def get_session(project: Project, target: TableTarget) -> GetWriteSessionResponse:
    """Describe the session: it keeps no streams, and nothing waits to become visible."""
    _table(project, target)
    return GetWriteSessionResponse(streams=())


def _table(project: Project, target: TableTarget) -> Table:
    with project.lake.database.read() as connection:
        return tables.get(connection, target.schema, target.table)


def create_stream(project: Project, target: TableTarget, address: StreamAddress) -> StreamSchema:
    """Tell a writer about the table; any number of writers may use a name."""
    check_address(address)
    table = _table(project, target)
    return StreamSchema(
        table_schema=schema_of(table), table_id=str(table.table_id), schema_version=table.schema_version
    )


def get_stream(project: Project, target: TableTarget, address: StreamAddress) -> StreamStatus:
    """Tell a writer that comes back about the table. Nothing is counted: rows are the table's at once."""
    check_address(address)
    table = _table(project, target)
    return StreamStatus(
        status=StreamState.OPEN,
        record_count=0,
        byte_size=0,
        table_schema=schema_of(table),
        table_id=str(table.table_id),
        schema_version=table.schema_version,
        latest_schema_version=table.schema_version,
    )


def write(
    project: Project,
    target: TableTarget,
    request: WriteRowsRequest,
    body: Source,
    *,
    partition: Mapping[str, str] = NO_PARTITION,
    decoder: BodyDecoder | None = None,
) -> FlushResponse:
    """Store the rows of one Arrow IPC stream and make them visible.

    ``partition`` has the values that they do not have; ``decoder`` is as for ``store_rows``.
    An upload repeated under the same retry id is answered as the first time, for a day, as long as not too
    many others came after it.
    """
    check_address(request.stream)
    if request.row_offset is not None:
        raise invalid_argument(
            "streaming has no exactly-once mode: leave RowOffset out, or use WriteMode=Batch"
        )
    if len(request.retry_id) > MAX_REQUEST_TOKEN:
        raise invalid_argument(f"a retry id has at most {MAX_REQUEST_TOKEN} characters")
    session_expiry.sweep(project)
    with project.lake.database.read() as connection:
        table = tables.get(connection, target.schema, target.table)
        key = _key(table, request)
        answered = _answers(connection, [key]).get(key)
    _check_table(table, request)
    if answered:
        discard_body(body)
        return answered
    stored = store_rows(project, _session(table, partition), request.stream, body, decoder)
    commit = _upsert if table.options.primary_key else _commit
    outcome = project.flushes(table).run(Flush(table, request, stored), lambda group: commit(project, group))
    if not outcome.named:
        stored.upload.discard()
    if isinstance(outcome.answer, Exception):
        raise outcome.answer
    reach(Failpoint.BEFORE_WRITE_ANSWER)
    return outcome.answer


def _check_table(table: Table, request: WriteRowsRequest) -> None:
    """Raise unless the table is the one the writer was told about, be it altered since."""
    if request.table_id not in ("", str(table.table_id)):
        raise invalid_argument(
            f"TableId is {table.table_id}, not {request.table_id!r}: the table was replaced by another; "
            "create the stream again",
            where=table.full_name,
        )
    if request.schema_version is not None:
        schema_versions.check(table, request.schema_version, evolution=True, where=table.full_name)


def _session(table: Table, partition: Mapping[str, str]) -> WriteSession:
    """Return the session ``default`` of a table, as if it had been created."""
    return WriteSession(
        session_id=STREAMING_SESSION,
        table=table,
        state=WriteSessionState.NORMAL,
        partition=dict(partition),
        overwrite=False,
        schema_evolution=True,
        expires_at=datetime.max.replace(tzinfo=UTC),
    )


def _answers(connection: Connection, keys: Iterable[FlushKey | None]) -> dict[FlushKey | None, FlushResponse]:
    """Return the answers given before, by the keys that are known."""
    flush = store.flush
    retry_ids = {key.retry_id for key in keys if key is not None}
    if not retry_ids:
        return {}
    rows = connection.execute(
        select(flush.c.retry_id, flush.c.stream_id, flush.c.table_id, flush.c.answer).where(
            flush.c.retry_id.in_(retry_ids)
        )
    )
    return {FlushKey(*key): _ANSWER.decode(answer) for *key, answer in rows}


def _commit(project: Project, group: Sequence[Flush]) -> list[FlushOutcome]:
    """Make uploads visible in one transaction; return each one's answer, or its own error.

    What goes wrong before COMMIT proves that no row names the files: then each upload is tried alone, so that
    a bad one fails nobody else. After a COMMIT whose outcome is unknown nothing is tried again.
    """
    applied: list[FlushOutcome] | None = None
    try:
        with project.lake.database.write() as connection:
            applied = _apply(connection, group)
            reach(Failpoint.BEFORE_COMMIT_TRANSACTION)
    except Exception as error:  # noqa: BLE001 - every caller raises its own
        if applied is not None:
            return [FlushOutcome(error, named=True)] * len(group)
        if len(group) == 1 or isinstance(error, BusyError):
            return [FlushOutcome(error, named=False)] * len(group)
        return [outcome for flush in group for outcome in _commit(project, [flush])]
    reach(Failpoint.AFTER_COMMIT_TRANSACTION)
    return applied


def _apply(connection: Connection, group: Sequence[Flush]) -> list[FlushOutcome]:
    """Add the parts of a group to their tables, a version a table. Repetitions are answered, not added."""
    outcomes: dict[Flush, FlushOutcome] = {}
    first: dict[FlushKey, Flush] = {}
    fresh: defaultdict[int, list[Flush]] = defaultdict(list)
    answers = _answers(connection, [flush.key for flush in group])
    for flush in group:
        answered = answers.get(flush.key)
        if answered:  # the first attempt was still under way when this one began
            outcomes[flush] = FlushOutcome(answered, named=False)
        elif flush.key is None or first.setdefault(flush.key, flush) is flush:
            fresh[flush.table.table_id].append(flush)
    for table_id, flushes in fresh.items():
        outcomes |= _append(connection, table_id, flushes)
    for flush in group:
        if flush not in outcomes and flush.key is not None:
            outcomes[flush] = FlushOutcome(outcomes[first[flush.key]].answer, named=False)
    return [outcomes[flush] for flush in group]


def _append(connection: Connection, table_id: int, flushes: Sequence[Flush]) -> dict[Flush, FlushOutcome]:
    """Add the parts of uploads to one table, as one version of it."""
    table = tables.get_by_id(connection, table_id)
    if table is None:
        return {flush: FlushOutcome(_dropped(flush.table), named=False) for flush in flushes}
    refused = _unfit(table, flushes)
    fit = [flush for flush in flushes if flush not in refused]
    commits.commit(connection, table, _parts(fit))
    answers = _remembered(connection, fit)
    return refused | {flush: FlushOutcome(answer, named=True) for flush, answer in answers.items()}


def _parts(flushes: Sequence[Flush]) -> list[Part]:
    return [part for flush in flushes for part in flush.stored.parts]


def _remembered(connection: Connection, flushes: Sequence[Flush]) -> dict[Flush, FlushResponse]:
    """Return the answers to uploads that the newest version has, and note them for repetitions."""
    version = snapshots.latest(connection)
    answers = {flush: _answer(flush, version) for flush in flushes}
    now = datetime.now(UTC)
    remembered = [
        flush.key._asdict() | {"committed_at": now, "answer": msgspec.msgpack.encode(answer)}
        for flush, answer in answers.items()
        if flush.key is not None
    ]
    if remembered:
        connection.execute(insert(store.flush), remembered)
    return answers


def _upsert(project: Project, group: Sequence[Flush]) -> list[FlushOutcome]:
    """Make uploads to one table with a primary key visible, one after the other, in one transaction.

    Their files are named by no row: what they change is written anew.
    """
    try:
        with project.lake.upserting(group[0].table):
            for _ in range(MAX_UPSERT_ATTEMPTS):
                outcomes = _upserted(project, group)
                if outcomes is not None:
                    return [FlushOutcome(outcomes[flush], named=False) for flush in group]
        failure: Exception = upserts.outrun(group[0].table.full_name)
    except Exception as error:  # noqa: BLE001 - every caller raises its own
        failure = error
    return [FlushOutcome(failure, named=False)] * len(group)


def _upserted(project: Project, group: Sequence[Flush]) -> dict[Flush, FlushResponse | Exception] | None:
    """Try it once; None, and nothing changed, if others changed the table meanwhile."""
    lake = project.lake
    with lake.database.read() as connection:
        table = tables.get_by_id(connection, group[0].table.table_id)
        known = _answers(connection, [flush.key for flush in group])
    if table is None:
        return {flush: _dropped(flush.table) for flush in group}
    refused = {flush: outcome.answer for flush, outcome in _unfit(table, group).items()}
    first: dict[FlushKey, Flush] = {}
    fresh = [
        flush
        for flush in group
        if flush not in refused
        and flush.key not in known
        and (flush.key is None or first.setdefault(flush.key, flush) is flush)
    ]
    upsert = upserts.prepare(lake, table, _parts(fresh), f"{STREAMING_SESSION}-upsert-{uuid.uuid4().hex}")
    if upsert is None:
        return None
    with lake.database.write() as connection:
        try:
            if _answers(connection, [flush.key for flush in group]) != known or not upsert.apply(connection):
                upsert.discard()
                return None
        except MaxlakeError:
            upsert.discard()
            raise
        answers = _remembered(connection, fresh)
        reach(Failpoint.BEFORE_COMMIT_TRANSACTION)
    reach(Failpoint.AFTER_COMMIT_TRANSACTION)
    by_key = known | {flush.key: answer for flush, answer in answers.items()}
    return {flush: refused.get(flush) or answers.get(flush) or by_key[flush.key] for flush in group}


def _unfit(table: Table, flushes: Sequence[Flush]) -> dict[Flush, FlushOutcome]:
    """Return those whose rows the table cannot have since it was altered, and why."""
    refused: dict[Flush, FlushOutcome] = {}
    for flush in flushes:
        try:
            schema_versions.check_values(table, flush.stored.parts, table.full_name)
        except MaxlakeError as error:
            refused[flush] = FlushOutcome(error, named=False)
    return refused


def _dropped(table: Table) -> MaxlakeError:
    return NotFoundError(
        ErrorCode.NO_SUCH_TABLE, "the table was dropped while rows were uploaded", where=table.full_name
    )


def _answer(flush: Flush, version: int) -> FlushResponse:
    stream, count = flush.request.stream, flush.stored.record_count
    return FlushResponse(
        commit_message=f"{stream.stream_id}.{stream.stream_version}:{version}",
        record_count=count,
        warning_message=incomplete(flush.request.count, count),
        staging_id=str(version),
    )
