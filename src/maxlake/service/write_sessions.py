"""Write sessions: what streams upload becomes visible at once, at commit (wire.md §8, drift.md B)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from maxlake.failpoints import Failpoint, reach
from maxlake.lake import commits, partitions, tables
from maxlake.lake.partitions import PartitionKey
from maxlake.lake.parts import Part
from maxlake.lake.tables import Table
from maxlake.protocol.enums import StreamState, WriteSessionState
from maxlake.protocol.errors import (
    BadRequestError,
    ConflictError,
    ErrorCode,
    NotFoundError,
    invalid_argument,
)
from maxlake.protocol.messages.base import decode_flag
from maxlake.protocol.messages.write import (
    CommitRequest,
    CommitResponse,
    CreateWriteSessionRequest,
    CreateWriteSessionResponse,
    Empty,
    GetWriteSessionResponse,
    StreamInfo,
)
from maxlake.protocol.partitions import parse_partition_spec, resolve
from maxlake.protocol.states import WRITE_SESSION, SessionEvent
from maxlake.protocol.targets import TableTarget
from maxlake.service import store
from maxlake.service.project import Project, check_owner, new_id


@dataclass(frozen=True, kw_only=True)
class WriteSession:
    """A write session and the living table it writes to. ``partition`` holds the values fixed at creation."""

    session_id: str
    table: Table
    state: WriteSessionState
    partition: dict[str, str]
    overwrite: bool
    expires_at: datetime

    @property
    def where(self) -> str:
        """For error messages."""
        return f"{self.table.full_name}, write session {self.session_id}"


def create(
    project: Project, target: TableTarget, request: CreateWriteSessionRequest, principal: str
) -> CreateWriteSessionResponse:
    """Open a session; raises ``InvalidArgument`` for a partition spec the table does not have."""
    overwrite = decode_flag(request.flags.get("overwrite", False), "overwrite")
    session_id = new_id()
    with project.lake.database.write() as connection:
        table = tables.get(connection, target.schema, target.table)
        spec = parse_partition_spec(request.partial_partition_spec)
        values = partitions.canonical(table, resolve(spec, table.partition_keys, complete=False))
        connection.execute(
            insert(store.write_session).values(
                session_id=session_id,
                table_id=table.table_id,
                principal=principal,
                state=WriteSessionState.NORMAL,
                partition=msgspec.json.encode(values).decode(),
                overwrite=overwrite,
                expires_at=project.new_expiry(),
            )
        )
    return CreateWriteSessionResponse(session_id=session_id)


def load(connection: Connection, target: TableTarget, session_id: str, principal: str) -> WriteSession:
    """Return a session of this table; raises ``NoSuchObject`` for other ids, ``NoSuchTable`` if dropped."""
    table = tables.get(connection, target.schema, target.table)
    row = connection.execute(
        select(store.write_session).where(store.write_session.c.session_id == session_id)
    ).one_or_none()
    if row is None or row.table_id != table.table_id:
        raise NotFoundError(
            ErrorCode.NO_SUCH_OBJECT,
            f"there is no write session {session_id!r}; create one with TableCreateWriteSession",
            where=str(target),
        )
    check_owner(row.principal, principal, f"{target}, session {session_id}")
    return WriteSession(
        session_id=session_id,
        table=table,
        state=WriteSessionState(row.state),
        partition=msgspec.json.decode(row.partition, type=dict[str, str]),
        overwrite=row.overwrite,
        expires_at=row.expires_at,
    )


def load_writable(
    connection: Connection, target: TableTarget, session_id: str, principal: str
) -> WriteSession:
    """Return a session that still takes writes; otherwise ``InvalidSessionStatus``."""
    session = load(connection, target, session_id, principal)
    WRITE_SESSION.step(
        session.state, SessionEvent.WRITE, where=session.where, hint="create a new write session"
    )
    check_not_expired(session)
    return session


def check_not_expired(session: WriteSession) -> None:
    """Raise ``InvalidSessionStatus`` for a session past its time."""
    if session.expires_at < datetime.now(UTC):
        raise ConflictError(
            ErrorCode.INVALID_SESSION_STATUS,
            f"the write session expired at {session.expires_at:%F %T} UTC; abort it and write again",
            where=session.where,
        )


def get(project: Project, target: TableTarget, session_id: str, principal: str) -> GetWriteSessionResponse:
    """List the streams of a session; an aborted one is gone (drift.md B.13)."""
    with project.lake.database.read() as connection:
        session = load(connection, target, session_id, principal)
        if session.state is WriteSessionState.ABORTED:
            raise NotFoundError(
                ErrorCode.NO_SUCH_OBJECT, "the write session was aborted", where=session.where
            )
        return GetWriteSessionResponse(
            streams=tuple(
                StreamInfo(stream_id=row.stream_id, stream_version=row.version, status=StreamState(row.state))
                for row in connection.execute(
                    select(store.stream)
                    .where(store.stream.c.session_id == session_id)
                    .order_by(store.stream.c.position)
                )
            )
        )


def commit(
    project: Project, target: TableTarget, session_id: str, request: CommitRequest, principal: str
) -> CommitResponse:
    """Make the session's rows visible, all at once; repeating it is harmless (wire.md §8.5, drift.md B.10).

    Raises ``InvalidStreamStatus`` while a stream in scope is open or failed, ``InvalidSessionStatus`` after
    abort or expiry.
    """
    if len(request.stream_ids) != len(request.stream_versions):
        raise invalid_argument("StreamIds and StreamVersions must have the same length")
    with project.lake.database.write() as connection:
        session = load(connection, target, session_id, principal)
        after = WRITE_SESSION.step(
            session.state, SessionEvent.COMMIT, where=session.where, hint="create a new write session"
        )
        if session.state is after:
            return CommitResponse()
        check_not_expired(session)
        parts, discarded = _committed_parts(connection, session, request)
        commits.commit(connection, session.table, parts, replaced=_replaced(session, parts))
        _finish(connection, session, after)
        reach(Failpoint.BEFORE_COMMIT_TRANSACTION)
    reach(Failpoint.AFTER_COMMIT_TRANSACTION)
    remove_files(project, session.table, discarded)
    reach(Failpoint.BEFORE_COMMIT_ANSWER)
    return CommitResponse()


def _committed_parts(
    connection: Connection, session: WriteSession, request: CommitRequest
) -> tuple[list[Part], list[Part]]:
    """Return the parts in scope, in stream and arrival order, and those left out."""
    streams = connection.execute(
        select(store.stream)
        .where(store.stream.c.session_id == session.session_id)
        .order_by(store.stream.c.position)
    ).all()
    known = {(row.stream_id, row.version) for row in streams}
    asked = {
        (str(stream_id), version)
        for stream_id, version in zip(request.stream_ids, request.stream_versions, strict=True)
    }
    if asked - known:
        raise NotFoundError(
            ErrorCode.NO_SUCH_OBJECT,
            f"the session has no stream (id, version) {sorted(asked - known)[0]}",
            where=session.where,
        )
    scope = asked or known
    unfit = [
        f"{row.stream_id} is {row.state}"
        for row in streams
        if (row.stream_id, row.version) in scope and row.state != StreamState.CLOSED
    ]
    if unfit:
        raise ConflictError(
            ErrorCode.INVALID_STREAM_STATUS,
            f"every stream must be closed before the commit: {', '.join(unfit)}; close open streams, "
            "write failed ones again with a higher version",
            where=session.where,
        )
    chosen: list[Part] = []
    discarded: list[Part] = []
    for row in streams:
        into = chosen if (row.stream_id, row.version) in scope else discarded
        into.extend(stream_parts(connection, session.session_id, row.stream_id))
    return chosen, discarded


def stream_parts(connection: Connection, session_id: str, stream_id: str) -> list[Part]:
    """Return the parts of the newest version of a stream, in order of arrival."""
    rows = connection.execute(
        select(store.part.c.content)
        .where(store.part.c.session_id == session_id, store.part.c.stream_id == stream_id)
        .order_by(store.part.c.position)
    ).scalars()
    return [msgspec.msgpack.decode(content, type=Part) for content in rows]


def _replaced(session: WriteSession, parts: Sequence[Part]) -> Collection[PartitionKey]:
    """Return the partitions an overwriting session replaces (drift.md B.11)."""
    if not session.overwrite:
        return ()
    fixed = tuple(session.partition[key] for key in session.table.partition_keys if key in session.partition)
    if len(fixed) == len(session.table.partition_keys):
        return {fixed}
    return {part.key for part in parts}


def _finish(connection: Connection, session: WriteSession, state: WriteSessionState) -> None:
    connection.execute(
        update(store.write_session)
        .where(store.write_session.c.session_id == session.session_id)
        .values(state=state, finished_at=datetime.now(UTC))
    )
    for kind in (store.part, store.upload):
        connection.execute(delete(kind).where(kind.c.session_id == session.session_id))


def abort(project: Project, target: TableTarget, session_id: str, principal: str) -> Empty:
    """Drop everything the session uploaded; harmless to repeat, refused after commit (drift.md B.13)."""
    with project.lake.database.write() as connection:
        session = load(connection, target, session_id, principal)
        after = WRITE_SESSION.step(
            session.state, SessionEvent.ABORT, where=session.where, hint="its rows are visible already"
        )
        if session.state is after:
            return Empty()
        discarded = [
            part
            for row in connection.execute(
                select(store.stream.c.stream_id).where(store.stream.c.session_id == session_id)
            )
            for part in stream_parts(connection, session_id, row.stream_id)
        ]
        _finish(connection, session, after)
    remove_files(project, session.table, discarded)
    return Empty()


def remove_files(project: Project, table: Table, parts: Sequence[Part]) -> None:
    """Remove files nobody refers to any more; what a crash leaves of them is collected later."""
    for part in parts:
        Path(project.lake.data / table.path / part.path).unlink(missing_ok=True)


def check_rows_have_partition(session: WriteSession, uploaded: Collection[str]) -> None:
    """Raise ``InvalidArgument`` when a partition column is neither fixed by the session nor uploaded."""
    present = {name.lower() for name in uploaded}
    missing = [
        key
        for key in session.table.partition_keys
        if key not in session.partition and key.lower() not in present
    ]
    if missing:
        raise BadRequestError(
            ErrorCode.INVALID_ARGUMENT,
            f"no value for partition column {missing[0]!r}: name it in the session's partition spec, or "
            "upload it as a column",
            where=session.where,
        )
