"""TableWrite: rows that are durable before they are acknowledged (wire.md §9.3, drift.md B.8, B.9)."""

from __future__ import annotations

import uuid
from typing import BinaryIO

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from maxlake.failpoints import Failpoint, reach
from maxlake.lake.arrow_input import open_stream
from maxlake.lake.parts import Upload
from maxlake.protocol.enums import StreamState
from maxlake.protocol.errors import BadRequestError
from maxlake.protocol.messages.write import StreamAddress, WriteRowsRequest, WriteRowsResponse
from maxlake.protocol.targets import TableTarget
from maxlake.service import store
from maxlake.service.project import Project
from maxlake.service.uploaded_rows import stored_batches
from maxlake.service.write_sessions import load_writable
from maxlake.service.write_streams import check_open, incomplete


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
        check_open(connection, session, address)
    name = f"{address.session_id}-{address.stream_id}.{address.stream_version}-{uuid.uuid4().hex[:12]}"
    try:
        with Upload(project.lake.data, session.table, name) as upload:
            reader, checked = open_stream(body)
            for batch in stored_batches(session, reader):
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


def _next_position(connection: Connection, session_id: str) -> int:
    """Positions only grow: parts of a replaced stream version leave gaps, never a place to fill."""
    last = connection.execute(
        select(func.max(store.part.c.position)).where(store.part.c.session_id == session_id)
    ).scalar_one()
    return 0 if last is None else last + 1


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
        stream = check_open(connection, session, address)
        answer = WriteRowsResponse(
            commit_message=f"{address.stream_id}.{address.stream_version}:{stream.record_count + rows}",
            record_count=rows,
            warning_message=incomplete(request.count, rows),
        )
        first = _next_position(connection, address.session_id)
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
