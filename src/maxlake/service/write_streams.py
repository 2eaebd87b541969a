"""Write streams: uploads that are durable before they are acknowledged (wire.md §9, drift.md B)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec
import pyarrow as pa
from sqlalchemy import Connection, delete, func, insert, select, update

from maxlake.failpoints import Failpoint, reach
from maxlake.lake import tables
from maxlake.lake.arrow_input import open_stream, validated
from maxlake.lake.database import AnyRow
from maxlake.lake.parts import Part, Upload, storage_schema
from maxlake.lake.tables import Table
from maxlake.protocol import columns
from maxlake.protocol.columns import Column
from maxlake.protocol.enums import StreamState
from maxlake.protocol.errors import (
    BadRequestError,
    ConflictError,
    ErrorCode,
    NotFoundError,
    invalid_argument,
)
from maxlake.protocol.limits import MAX_ARROW_MESSAGE
from maxlake.protocol.messages.schema import WriteSchema
from maxlake.protocol.messages.write import (
    CloseStreamResponse,
    StreamAddress,
    StreamSchema,
    StreamStatus,
    WriteRowsRequest,
    WriteRowsResponse,
)
from maxlake.protocol.states import WRITE_STREAM, StreamEvent
from maxlake.protocol.targets import TableTarget
from maxlake.protocol.types.ingest import months_as_int32, to_storage
from maxlake.protocol.types.storage import storage_type
from maxlake.service import store
from maxlake.service.project import Project
from maxlake.service.write_sessions import (
    WriteSession,
    check_rows_have_partition,
    load,
    load_writable,
    remove_files,
    stream_parts,
)

#: Bytes a value takes at most at rest, texts aside; a text has its offset in them.
_WIDEST_PLAIN_VALUE = 16
#: Stream ids become part of file names.
_STREAM_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def _schema_of(table: Table) -> WriteSchema:
    return columns.write_schema(table.columns.columns, table.columns.partition_columns)


def _where(session: WriteSession, address: StreamAddress) -> str:
    return f"{session.where}, stream {address.stream_id} version {address.stream_version}"


def _row(connection: Connection, address: StreamAddress) -> AnyRow | None:
    return connection.execute(
        select(store.stream).where(
            store.stream.c.session_id == address.session_id, store.stream.c.stream_id == address.stream_id
        )
    ).one_or_none()


def _current(connection: Connection, session: WriteSession, address: StreamAddress) -> AnyRow:
    """Return the stream row; raises ``NoSuchObject`` for an unknown or superseded (id, version)."""
    row = _row(connection, address)
    if row is None or row.version < address.stream_version:
        raise NotFoundError(
            ErrorCode.NO_SUCH_OBJECT,
            "there is no such stream; create it with TableCreateWriteStream",
            where=_where(session, address),
        )
    if row.version > address.stream_version:
        raise ConflictError(
            ErrorCode.INVALID_STREAM_STATUS,
            f"version {row.version} has replaced this version of the stream",
            where=_where(session, address),
        )
    return row


def create(project: Project, target: TableTarget, address: StreamAddress, principal: str) -> StreamSchema:
    """Open a stream; a higher version replaces an earlier one and drops its rows (drift.md B.14)."""
    if not _STREAM_ID.fullmatch(address.stream_id):
        raise invalid_argument(
            f"StreamId {address.stream_id!r} must be 1 to 64 letters, digits, '_', '-' or '.'"
        )
    dropped: list[Part] = []
    with project.lake.database.write() as connection:
        session = load_writable(connection, target, address.session_id, principal)
        row = _row(connection, address)
        if row is None:
            connection.execute(
                insert(store.stream).values(
                    session_id=address.session_id,
                    stream_id=address.stream_id,
                    version=address.stream_version,
                    position=_count(connection, store.stream, address.session_id),
                    state=StreamState.OPEN,
                )
            )
        elif row.version < address.stream_version:
            dropped = stream_parts(connection, address.session_id, address.stream_id)
            _replace(connection, address)
        else:
            _current(connection, session, address)
            WRITE_STREAM.step(
                StreamState(row.state),
                StreamEvent.WRITE,
                where=_where(session, address),
                hint="create it again with a higher version",
            )
    remove_files(project, session.table, dropped)
    return StreamSchema(
        table_schema=_schema_of(session.table),
        table_id=str(session.table.table_id),
        schema_version=session.table.schema_version,
    )


def _count(connection: Connection, kind: Any, session_id: str) -> int:
    return connection.execute(
        select(func.count()).select_from(kind).where(kind.c.session_id == session_id)
    ).scalar_one()


def _replace(connection: Connection, address: StreamAddress) -> None:
    connection.execute(
        delete(store.part).where(
            store.part.c.session_id == address.session_id, store.part.c.stream_id == address.stream_id
        )
    )
    connection.execute(
        update(store.stream)
        .where(store.stream.c.session_id == address.session_id, store.stream.c.stream_id == address.stream_id)
        .values(
            version=address.stream_version,
            state=StreamState.OPEN,
            record_count=0,
            declared_count=0,
            byte_size=0,
            error_code="",
            error_message="",
        )
    )


def get(project: Project, target: TableTarget, address: StreamAddress, principal: str) -> StreamStatus:
    """Tell how far a stream has come."""
    with project.lake.database.read() as connection:
        session = load(connection, target, address.session_id, principal)
        row = _current(connection, session, address)
    return StreamStatus(
        status=StreamState(row.state),
        record_count=row.record_count,
        byte_size=row.byte_size,
        table_schema=_schema_of(session.table),
        table_id=str(session.table.table_id),
        schema_version=session.table.schema_version,
        latest_schema_version=session.table.schema_version,
        error_code=row.error_code,
        error_message=row.error_message,
    )


def write(
    project: Project, target: TableTarget, request: WriteRowsRequest, body: BinaryIO, principal: str
) -> WriteRowsResponse:
    """Store the rows of one Arrow IPC stream durably and append them to the stream.

    Bad rows put the stream into ERROR and are refused whole; a cut connection leaves it OPEN (drift.md B.8).
    An upload repeated under the same retry id is answered as the first time.
    """
    address = request.stream
    with project.lake.database.read() as connection:
        session = load_writable(connection, target, address.session_id, principal)
        answered = _answered(connection, request)
        if answered:
            return answered
        _check_open(connection, session, address)
    name = f"{address.session_id}-{address.stream_id}.{address.stream_version}-{uuid.uuid4().hex[:12]}"
    try:
        with Upload(project.lake.data, session.table, name) as upload:
            reader, checked = open_stream(body)
            for batch in _stored_batches(session, reader):
                upload.write(batch)
            checked.finish()
            answer = _record(project, target, request, principal, upload, checked.byte_count)
    except BadRequestError as error:
        _fail(project, address, error)
        raise
    reach(Failpoint.BEFORE_WRITE_ANSWER)
    return answer


def _answered(connection: Connection, request: WriteRowsRequest) -> WriteRowsResponse | None:
    if not request.retry_id:
        return None
    answer = connection.execute(
        select(store.upload.c.answer).where(
            store.upload.c.session_id == request.stream.session_id,
            store.upload.c.retry_id == request.retry_id,
        )
    ).scalar_one_or_none()
    return msgspec.msgpack.decode(answer, type=WriteRowsResponse) if answer else None


def _check_open(connection: Connection, session: WriteSession, address: StreamAddress) -> AnyRow:
    row = _current(connection, session, address)
    WRITE_STREAM.step(
        StreamState(row.state),
        StreamEvent.WRITE,
        where=_where(session, address),
        hint="create it again with a higher version",
    )
    return row


def _stored_batches(session: WriteSession, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """Yield uploaded batches as the table stores them: columns matched by name, missing ones null."""
    table = session.table
    uploaded = _positions(table, reader.schema)
    check_rows_have_partition(session, uploaded.keys())
    schema = storage_schema(table)
    data_columns = [(column, False) for column in table.columns.columns]
    partition_columns = [(column, True) for column in table.columns.partition_columns]
    for batch in map(months_as_int32, validated(reader)):
        arrays: list[pa.Array] = []
        size = 0
        for column, partition in (*data_columns, *partition_columns):
            position = uploaded.get(column.name.lower())
            array = _stored_array(session, batch, position, column, partition=partition)
            size += array.nbytes
            _check_batch_size(size, table)
            arrays.append(array)
        if batch.num_rows:
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _check_batch_size(size: int, table: Table) -> None:
    """Refuse rows that are small on the wire and large in memory: columns left out, dictionaries, nulls."""
    if size > MAX_ARROW_MESSAGE:
        raise BadRequestError(
            ErrorCode.DATA_ERROR,
            f"a batch unfolds to more than {MAX_ARROW_MESSAGE} bytes; send smaller batches",
            where=table.full_name,
        )


def _positions(table: Table, schema: pa.Schema) -> dict[str, int]:
    known = {column.name.lower() for column in table.columns.all_columns}
    positions: dict[str, int] = {}
    for position, name in enumerate(schema.names):
        if name.lower() not in known:
            raise BadRequestError(
                ErrorCode.SCHEMA_MISMATCH,
                f"the table has no column {name!r}; it has: {', '.join(sorted(known))}",
                where=table.full_name,
            )
        if name.lower() in positions:
            raise BadRequestError(
                ErrorCode.SCHEMA_MISMATCH, f"column {name!r} occurs twice", where=table.full_name
            )
        positions[name.lower()] = position
    return positions


def _stored_array(
    session: WriteSession, batch: pa.RecordBatch, position: int | None, column: Column, *, partition: bool
) -> pa.Array:
    fixed = session.partition.get(column.name) if partition else None
    where = f"{session.table.full_name}, column {column.name}"
    if position is not None:
        array = to_storage(batch.column(position), column.type, where=where)
        if fixed is not None and any(str(value) != fixed for value in array.unique().to_pylist()):
            raise BadRequestError(
                ErrorCode.DATA_ERROR,
                f"rows of another partition than the session's {column.name}={fixed}",
                where=where,
            )
    elif fixed is not None:
        _check_batch_size(batch.num_rows * (len(fixed.encode()) + _WIDEST_PLAIN_VALUE), session.table)
        array = pa.repeat(pa.scalar(fixed).cast(storage_type(column.type)), batch.num_rows)
    else:
        array = to_storage(pa.nulls(batch.num_rows), column.type, where=where)
    if not column.nullable and array.null_count:
        raise BadRequestError(
            ErrorCode.DATA_ERROR,
            "the column is NOT NULL, but rows without a value were uploaded",
            where=where,
        )
    return array


def _record(
    project: Project,
    target: TableTarget,
    request: WriteRowsRequest,
    principal: str,
    upload: Upload,
    byte_size: int,
) -> WriteRowsResponse:
    """Make an upload durable and note its parts, provided that session and stream still take them."""
    address = request.stream
    parts = upload.finish()
    rows = sum(part.record_count for part in parts)
    with project.lake.database.write() as connection:
        session = load_writable(connection, target, address.session_id, principal)
        answered = _answered(connection, request)
        if answered:  # the first attempt was still under way when this one began
            upload.discard()
            return answered
        stream = _check_open(connection, session, address)
        answer = WriteRowsResponse(
            commit_message=f"{address.stream_id}.{address.stream_version}:{stream.record_count + rows}",
            record_count=rows,
            warning_message=_incomplete(request.count, rows),
        )
        first = _count(connection, store.part, address.session_id)
        for position, part in enumerate(parts, first):
            connection.execute(
                insert(store.part).values(
                    session_id=address.session_id,
                    stream_id=address.stream_id,
                    version=address.stream_version,
                    position=position,
                    content=msgspec.msgpack.encode(part),
                )
            )
        connection.execute(
            update(store.stream)
            .where(
                store.stream.c.session_id == address.session_id,
                store.stream.c.stream_id == address.stream_id,
            )
            .values(
                record_count=stream.record_count + rows,
                declared_count=stream.declared_count + request.count,
                byte_size=stream.byte_size + byte_size,
            )
        )
        if request.retry_id:
            connection.execute(
                insert(store.upload).values(
                    session_id=address.session_id,
                    retry_id=request.retry_id,
                    answer=msgspec.msgpack.encode(answer),
                )
            )
        reach(Failpoint.BEFORE_PART_TRANSACTION)
    reach(Failpoint.AFTER_PART_TRANSACTION)
    return answer


def _incomplete(declared: int, received: int) -> str:
    """Return the warning documented clients look for (drift.md B.9)."""
    return f"data_incomplete: expected {declared}, received {received}" if received < declared else ""


def _fail(project: Project, address: StreamAddress, error: BadRequestError) -> None:
    with project.lake.database.write() as connection:
        connection.execute(
            update(store.stream)
            .where(
                store.stream.c.session_id == address.session_id,
                store.stream.c.stream_id == address.stream_id,
                store.stream.c.version == address.stream_version,
                store.stream.c.state == StreamState.OPEN,
            )
            .values(state=StreamState.ERROR, error_code=error.code, error_message=str(error))
        )


def close(
    project: Project, target: TableTarget, address: StreamAddress, principal: str
) -> CloseStreamResponse:
    """Close a stream; repeating it is harmless, a failed stream stays failed."""
    with project.lake.database.write() as connection:
        session = load(connection, target, address.session_id, principal)
        row = _current(connection, session, address)
        after = WRITE_STREAM.step(
            StreamState(row.state),
            StreamEvent.CLOSE,
            where=_where(session, address),
            hint=f"{row.error_code}: {row.error_message}; write it again with a higher version",
        )
        if after is not StreamState(row.state):
            connection.execute(
                update(store.stream)
                .where(
                    store.stream.c.session_id == address.session_id,
                    store.stream.c.stream_id == address.stream_id,
                )
                .values(state=after)
            )
    return CloseStreamResponse(warning_message=_incomplete(row.declared_count, row.record_count))


def write_schema(project: Project, target: TableTarget, principal: str) -> WriteSchema:  # noqa: ARG001 - rights are checked per table here
    """Return the schema uploads must fit (wire.md §9.5)."""
    with project.lake.database.read() as connection:
        return _schema_of(tables.get(connection, target.schema, target.table))
