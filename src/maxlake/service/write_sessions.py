"""Write sessions: what streams upload becomes visible at once, at commit (wire.md §8, drift.md B)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from pathlib import PurePosixPath

import msgspec
from sqlalchemy import Connection, insert, select, update

from maxlake.lake import partitions, tables
from maxlake.lake.database import AnyRow
from maxlake.lake.tables import Table
from maxlake.protocol.enums import StreamState, WriteMode, WriteSessionState
from maxlake.protocol.errors import (
    BadRequestError,
    ConflictError,
    ErrorCode,
    NotFoundError,
    invalid_argument,
)
from maxlake.protocol.messages.base import decode_flag
from maxlake.protocol.messages.streaming import STREAMING_SESSION
from maxlake.protocol.messages.write import (
    CreateWriteSessionRequest,
    CreateWriteSessionResponse,
    Empty,
    GetWriteSessionResponse,
    StreamInfo,
)
from maxlake.protocol.partitions import hive_path, parse_partition_spec, resolve
from maxlake.protocol.states import WRITE_SESSION, SessionEvent
from maxlake.protocol.targets import TableTarget
from maxlake.service import session_expiry, session_parts, store
from maxlake.service.project import Project, check_owner, new_id


class BlockOptions(msgspec.Struct, frozen=True):
    """What a session that takes blocks was created with; no ``partition_limit`` is none of its own.

    Blocks of the tunnel have the columns of a ``schema_version`` of the table: what they hold is not named.
    """

    partition_limit: int | None
    enhance_write_check: bool
    schema_version: int | None = None


# Made before threads are (see read_sessions).
_PARTITION = msgspec.json.Decoder(dict[str, str])
_BLOCKS = msgspec.json.Decoder(BlockOptions)


class WriteForm(Enum):
    """What the calls on a session are about: its streams, its blocks, or neither (wire.md §8)."""

    STREAMS = auto()
    BLOCKS = auto()
    FLUSHES = auto()


@dataclass(frozen=True, kw_only=True)
class WriteSession:
    """A write session and the living table it writes to. ``partition`` holds the values fixed at creation.

    ``blocks`` is None where streams are written.
    """

    session_id: str
    table: Table
    state: WriteSessionState
    partition: dict[str, str]
    overwrite: bool
    schema_evolution: bool
    expires_at: datetime
    blocks: BlockOptions | None = None

    @property
    def where(self) -> str:
        """For error messages."""
        return f"{self.table.full_name}, write session {self.session_id}"


def create(
    project: Project,
    target: TableTarget,
    request: CreateWriteSessionRequest,
    principal: str,
    *,
    mode: WriteMode = WriteMode.BATCH,
    blocks: BlockOptions | None = None,
) -> CreateWriteSessionResponse:
    """Open a session for streams, or for blocks; ``InvalidArgument`` for a partition spec of other keys."""
    partition_spec = request.partial_partition_spec
    if request.partition_spec is not None:
        if blocks is None:
            raise invalid_argument(
                "PartitionSpec belongs to WriteMode=BatchCompatible; name the partition in "
                "PartialPartitionSpec"
            )
        partition_spec = request.partition_spec
    overwrite = decode_flag(request.flags.get("overwrite", request.overwrite), "overwrite")
    evolution = decode_flag(request.flags.get("enable_schema_evolution", False), "enable_schema_evolution")
    session_id = new_id()
    session_expiry.sweep(project)
    with project.lake.database.write() as connection:
        table = tables.get(connection, target.schema, target.table)
        spec = parse_partition_spec(partition_spec)
        values = partitions.canonical(table, resolve(spec, table.partition_keys, complete=False))
        hive_path(values)  # a value no path can carry is refused before anything is written
        connection.execute(
            insert(store.write_session).values(
                session_id=session_id,
                table_id=table.table_id,
                table_name=table.full_name,
                table_path=str(table.path),
                principal=principal,
                state=WriteSessionState.NORMAL,
                partition=msgspec.json.encode(values).decode(),
                overwrite=overwrite,
                mode=mode,
                blocks=None if blocks is None else msgspec.json.encode(blocks).decode(),
                schema_evolution=evolution,
                expires_at=project.new_expiry(),
            )
        )
    return CreateWriteSessionResponse(session_id=session_id)


def _row(connection: Connection, target: TableTarget, session_id: str, principal: str) -> AnyRow:
    row = connection.execute(
        select(store.write_session).where(store.write_session.c.session_id == session_id)
    ).one_or_none()
    if row is None or row.table_name != f"{target.schema}.{target.table}".lower():
        raise NotFoundError(
            ErrorCode.NO_SUCH_OBJECT,
            f"there is no write session {session_id!r}; create one with TableCreateWriteSession",
            where=str(target),
        )
    check_owner(row.principal, principal, f"{target}, session {session_id}")
    return row


def form_of(
    project: Project, target: TableTarget, session_id: str, asked: WriteMode | None, principal: str
) -> WriteForm:
    """Return what calls on a session are about; a WriteMode that is given must be the session's.

    Clients of api 2 give none (drift.md A.14). Raises ``InvalidArgument`` for another, ``NoSuchObject`` for
    an unknown session.
    """
    if session_id == STREAMING_SESSION:
        if asked not in (None, WriteMode.STREAMING, WriteMode.STREAMING_REALTIME):
            raise invalid_argument(f"session {session_id} is for streaming, not for WriteMode {asked}")
        return WriteForm.FLUSHES
    with project.lake.database.read() as connection:
        row = _row(connection, target, session_id, principal)
    if asked not in (None, WriteMode(row.mode)):
        raise invalid_argument(
            f"the session was created with WriteMode {row.mode}, not {asked}",
            where=f"{target}, write session {session_id}",
        )
    return WriteForm.STREAMS if row.blocks is None else WriteForm.BLOCKS


def load(connection: Connection, target: TableTarget, session_id: str, principal: str) -> WriteSession:
    """Return a session of this table; ``NoSuchObject`` for other ids, ``NoSuchTable`` if it was dropped."""
    row = _row(connection, target, session_id, principal)
    table = tables.get_by_id(connection, row.table_id)
    if table is None:
        raise NotFoundError(
            ErrorCode.NO_SUCH_TABLE,
            "the table this session writes to was dropped; abort the session",
            where=f"{target}, session {session_id}",
        )
    return WriteSession(
        session_id=session_id,
        table=table,
        state=WriteSessionState(row.state),
        partition=_PARTITION.decode(row.partition),
        overwrite=row.overwrite,
        blocks=None if row.blocks is None else _BLOCKS.decode(row.blocks),
        schema_evolution=row.schema_evolution,
        expires_at=row.expires_at,
    )


def load_unaborted(
    connection: Connection, target: TableTarget, session_id: str, principal: str
) -> WriteSession:
    """Return a session to look at; an aborted one is gone (drift.md B.13)."""
    session = load(connection, target, session_id, principal)
    if session.state is WriteSessionState.ABORTED:
        raise NotFoundError(ErrorCode.NO_SUCH_OBJECT, "the write session was aborted", where=session.where)
    return session


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


def has_expired(session: WriteSession) -> bool:
    """Tell whether a session is past its time."""
    return session.expires_at < datetime.now(UTC)


def check_not_expired(session: WriteSession) -> None:
    """Raise ``InvalidSessionStatus`` for a session past its time."""
    if has_expired(session):
        raise ConflictError(
            ErrorCode.INVALID_SESSION_STATUS,
            f"the write session expired at {session.expires_at:%F %T} UTC; abort it and write again",
            where=session.where,
        )


def get(project: Project, target: TableTarget, session_id: str, principal: str) -> GetWriteSessionResponse:
    """List the streams of a session by age, only the closed ones once it is committed (drift.md B.13)."""
    with project.lake.database.read() as connection:
        session = load_unaborted(connection, target, session_id, principal)
        listed = store.stream.c.session_id == session_id
        if session.state is WriteSessionState.COMMITTED:
            listed &= store.stream.c.state == StreamState.CLOSED
        return GetWriteSessionResponse(
            streams=tuple(
                StreamInfo(stream_id=row.stream_id, stream_version=row.version, status=StreamState(row.state))
                for row in connection.execute(
                    select(store.stream).where(listed).order_by(store.stream.c.position)
                )
            )
        )


def finish(connection: Connection, session_id: str, state: WriteSessionState) -> None:
    """Give a session its last state; what it has uploaded is forgotten, or belongs to the table."""
    connection.execute(
        update(store.write_session)
        .where(store.write_session.c.session_id == session_id)
        .values(state=state, finished_at=datetime.now(UTC))
    )
    session_parts.drop_session(connection, session_id)


def abort(project: Project, target: TableTarget, session_id: str, principal: str) -> Empty:
    """Drop everything the session uploaded; harmless to repeat, refused after commit (drift.md B.13).

    Works for expired sessions, and after the table was dropped.
    """
    with project.lake.database.write() as connection:
        row = _row(connection, target, session_id, principal)
        state = WriteSessionState(row.state)
        after = WRITE_SESSION.step(
            state,
            SessionEvent.ABORT,
            where=f"{target}, write session {session_id}",
            hint="its rows are visible already",
        )
        if state is after:
            return Empty()
        discarded = session_parts.of_session(connection, session_id)
        finish(connection, session_id, after)
    session_parts.remove_files(project.lake.data, PurePosixPath(row.table_path), discarded)
    return Empty()


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
