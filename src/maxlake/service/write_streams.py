"""Write streams: opened, looked at, closed (wire.md §9, drift.md B); rows come by :mod:`.uploads`."""

from __future__ import annotations

import re

from msgspec import UNSET
from sqlalchemy import Connection, func, insert, select, update

from maxlake.lake import tables
from maxlake.lake.database import AnyRow
from maxlake.lake.parts import Part
from maxlake.lake.tables import Table
from maxlake.protocol import columns
from maxlake.protocol.enums import StreamState
from maxlake.protocol.errors import (
    ConflictError,
    ErrorCode,
    NotFoundError,
    invalid_argument,
)
from maxlake.protocol.limits import MAX_INT64, MAX_STREAMS
from maxlake.protocol.messages.schema import WriteSchema
from maxlake.protocol.messages.write import (
    CloseStreamResponse,
    StreamAddress,
    StreamSchema,
    StreamStatus,
)
from maxlake.protocol.states import WRITE_STREAM, StreamEvent
from maxlake.protocol.targets import TableTarget
from maxlake.service import session_parts, store
from maxlake.service.exactly_once import new_token
from maxlake.service.project import Project
from maxlake.service.write_sessions import WriteSession, load_unaborted, load_writable

#: Stream ids become part of file names.
_STREAM_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def schema_of(table: Table) -> WriteSchema:
    """Return the schema uploads to a table must fit."""
    return columns.write_schema(
        table.columns.columns, table.columns.partition_columns, table.options.primary_key
    )


def where_of(session: WriteSession, address: StreamAddress) -> str:
    """For error messages."""
    return f"{session.where}, stream {address.stream_id} version {address.stream_version}"


def find(connection: Connection, address: StreamAddress) -> AnyRow | None:
    """Return the row of a stream id, whatever its version."""
    return connection.execute(
        select(store.stream).where(
            store.stream.c.session_id == address.session_id, store.stream.c.stream_id == address.stream_id
        )
    ).one_or_none()


def current(connection: Connection, session: WriteSession, address: StreamAddress) -> AnyRow:
    """Return the row of an (id, version); raises ``NoSuchObject``, or a conflict if it was replaced."""
    row = find(connection, address)
    if row is None or row.version < address.stream_version:
        raise NotFoundError(
            ErrorCode.NO_SUCH_OBJECT,
            "there is no such stream; create it with TableCreateWriteStream",
            where=where_of(session, address),
        )
    if row.version > address.stream_version:
        raise ConflictError(
            ErrorCode.INVALID_STREAM_STATUS,
            f"version {row.version} has replaced this version of the stream",
            where=where_of(session, address),
        )
    return row


def check_address(address: StreamAddress) -> None:
    """Raise ``InvalidArgument`` for an id no file name can carry, or a version no database keeps."""
    if address.stream_version > MAX_INT64:
        raise invalid_argument(f"StreamVersion is at most {MAX_INT64}, not {address.stream_version}")
    if not _STREAM_ID.fullmatch(address.stream_id):
        raise invalid_argument(
            f"StreamId {address.stream_id!r} must be 1 to 64 letters, digits, '_', '-' or '.'"
        )


def create(
    project: Project,
    target: TableTarget,
    address: StreamAddress,
    principal: str,
    *,
    exactly_once: bool = False,
) -> StreamSchema:
    """Open a stream; a higher version replaces an earlier one and drops its rows (drift.md B.14).

    With ``exactly_once`` the answer has the token that its writer needs; earlier tokens are void.
    """
    check_address(address)
    dropped: list[Part] = []
    with project.lake.database.write() as connection:
        session = load_writable(connection, target, address.session_id, principal)
        row = find(connection, address)
        if row is None:
            connection.execute(
                insert(store.stream).values(
                    session_id=address.session_id,
                    stream_id=address.stream_id,
                    version=address.stream_version,
                    position=_new_position(connection, session),
                    state=StreamState.OPEN,
                    schema_version=session.table.schema_version,
                )
            )
        elif row.version < address.stream_version:
            dropped = session_parts.of_stream(connection, address.session_id, address.stream_id)
            _replace(connection, address, session.table.schema_version)
        else:  # the answer to the first call may have been lost
            check_open(current(connection, session, address), where_of(session, address))
        row = current(connection, session, address)
        token, offset = _claimed(connection, address, row) if exactly_once else (UNSET, UNSET)
    session_parts.remove_files(project.lake.data, session.table.path, dropped)
    return StreamSchema(
        table_schema=schema_of(session.table),
        table_id=str(session.table.table_id),
        schema_version=row.schema_version,
        access_token=token,
        row_offset=offset,
        is_delta_table=bool(session.table.options.primary_key),
    )


def _claimed(connection: Connection, address: StreamAddress, row: AnyRow) -> tuple[str, int]:
    """Make the stream exactly-once, if it is not; return the token of its new writer, and its row offset."""
    token = new_token()
    update_stream(connection, address, token_hash=token.hash)
    return token.text, row.record_count


def _new_position(connection: Connection, session: WriteSession) -> int:
    count = connection.execute(
        select(func.count()).select_from(store.stream).where(store.stream.c.session_id == session.session_id)
    ).scalar_one()
    if count >= MAX_STREAMS:
        raise invalid_argument(
            f"a write session has at most {MAX_STREAMS} streams; open another", where=session.where
        )
    return count


def _replace(connection: Connection, address: StreamAddress, schema_version: int) -> None:
    session_parts.drop_stream(connection, address)
    update_stream(
        connection,
        address,
        version=address.stream_version,
        state=StreamState.OPEN,
        record_count=0,
        declared_count=0,
        byte_size=0,
        error_code="",
        error_message="",
        schema_version=schema_version,
        token_hash="",
    )


def update_stream(connection: Connection, address: StreamAddress, **changes: object) -> None:
    """Change columns of a stream's row."""
    connection.execute(
        update(store.stream)
        .where(store.stream.c.session_id == address.session_id, store.stream.c.stream_id == address.stream_id)
        .values(**changes)
    )


def get(
    project: Project,
    target: TableTarget,
    address: StreamAddress,
    principal: str,
    *,
    exactly_once: bool = False,
) -> StreamStatus:
    """Tell how far a stream has come.

    With ``exactly_once`` the caller becomes its only writer, from its present row offset on, whoever was it
    before (drift.md A.12).
    """
    database = project.lake.database
    with database.write() if exactly_once else database.read() as connection:
        session = load_unaborted(connection, target, address.session_id, principal)
        row = current(connection, session, address)
        token, offset = _claimed(connection, address, row) if exactly_once else (UNSET, UNSET)
    return StreamStatus(
        status=StreamState(row.state),
        record_count=row.record_count,
        byte_size=row.byte_size,
        table_schema=schema_of(session.table),
        table_id=str(session.table.table_id),
        schema_version=row.schema_version,
        latest_schema_version=session.table.schema_version,
        access_token=token,
        row_offset=offset,
        error_code=row.error_code,
        error_message=row.error_message,
    )


def check_open(stream: AnyRow, where: str) -> None:
    """Raise ``InvalidStreamStatus`` unless a stream takes rows."""
    WRITE_STREAM.step(
        StreamState(stream.state),
        StreamEvent.WRITE,
        where=where,
        hint="create it again with a higher version",
    )


def incomplete(declared: int, received: int) -> str:
    """Return the warning documented clients look for (drift.md B.9)."""
    return f"data_incomplete: expected {declared}, received {received}" if received < declared else ""


def close(
    project: Project, target: TableTarget, address: StreamAddress, principal: str
) -> CloseStreamResponse:
    """Close a stream; repeating it is harmless, a failed stream stays failed."""
    with project.lake.database.write() as connection:
        session = load_unaborted(connection, target, address.session_id, principal)
        row = current(connection, session, address)
        after = WRITE_STREAM.step(
            StreamState(row.state),
            StreamEvent.CLOSE,
            where=where_of(session, address),
            hint=f"{row.error_code}: {row.error_message}; write it again with a higher version",
        )
        if after is not StreamState(row.state):
            update_stream(connection, address, state=after)
    return CloseStreamResponse(warning_message=incomplete(row.declared_count, row.record_count))


def write_schema(project: Project, target: TableTarget) -> WriteSchema:
    """Return the schema uploads must fit (wire.md §9.5)."""
    with project.lake.database.read() as connection:
        return schema_of(tables.get(connection, target.schema, target.table))
