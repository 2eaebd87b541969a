"""TableWrite: rows that are durable before they are acknowledged (wire.md §9.3, drift.md B.8, B.9)."""

from __future__ import annotations

import traceback
import uuid
from dataclasses import dataclass
from typing import BinaryIO, cast

import msgspec
from sqlalchemy import Connection, insert, select

from maxlake.failpoints import Failpoint, reach
from maxlake.lake.arrow_input import open_stream
from maxlake.lake.parts import Part, Upload
from maxlake.protocol.enums import StreamState
from maxlake.protocol.errors import BadRequestError, MaxlakeError, invalid_argument
from maxlake.protocol.limits import MAX_INT64, MAX_REQUEST_TOKEN
from maxlake.protocol.messages.write import StreamAddress, WriteRowsRequest, WriteRowsResponse
from maxlake.protocol.states import WRITE_STREAM, StreamEvent
from maxlake.protocol.targets import TableTarget
from maxlake.service import session_parts, store
from maxlake.service.project import Project
from maxlake.service.uploaded_rows import stored_batches
from maxlake.service.write_sessions import WriteSession, load_writable
from maxlake.service.write_streams import check_open, find, incomplete, update_stream

#: Bytes of a repeated body read at a time, to be thrown away.
_DISCARDED_PIECE = 1024 * 1024


def write(
    project: Project, target: TableTarget, request: WriteRowsRequest, body: BinaryIO, principal: str
) -> WriteRowsResponse:
    """Store the rows of one Arrow IPC stream durably and append them to the stream.

    Bad rows put the stream into ERROR and are refused whole; a cut connection leaves it OPEN (drift.md B.8).
    An upload repeated under the same retry id is answered as the first time.
    """
    address = request.stream
    if request.row_offset is not None:
        raise invalid_argument("exactly-once uploads are not served yet: leave RowOffset out")
    if len(request.retry_id) > MAX_REQUEST_TOKEN:
        raise invalid_argument(f"a retry id has at most {MAX_REQUEST_TOKEN} characters")
    with project.lake.database.read() as connection:
        session = load_writable(connection, target, address.session_id, principal)
        answered = _answered(connection, request)
        if not answered:
            check_open(connection, session, address)
    if answered:
        discard_body(body)
        return answered
    try:
        finished = store_rows(project, session, address, body)
    except BadRequestError as error:
        _fail(project, address, error)
        raise
    answer = _record(project, target, request, principal, finished)
    reach(Failpoint.BEFORE_WRITE_ANSWER)
    return answer


def discard_body(body: BinaryIO) -> None:
    """Read a repeated body to its end: a success before that looks like a cut to a client still sending."""
    while body.read(_DISCARDED_PIECE):
        pass


@dataclass(frozen=True)
class StoredRows:
    """An upload whose files are durable and not yet named by any row."""

    upload: Upload
    parts: list[Part]
    byte_size: int

    @property
    def record_count(self) -> int:
        """Rows in all parts."""
        return sum(part.record_count for part in self.parts)


def store_rows(project: Project, session: WriteSession, address: StreamAddress, body: BinaryIO) -> StoredRows:
    """Store the rows of one Arrow IPC stream durably; bad ones are a typed error, and leave nothing."""
    name = f"{address.session_id}-{address.stream_id}.{address.stream_version}-{uuid.uuid4().hex[:12]}"
    try:
        with Upload(project.lake.data, session.table, name) as upload:
            reader, checked = open_stream(body)
            for batch in stored_batches(session, reader):
                upload.write(batch)
            checked.finish()
            parts = upload.finish()
    except Exception as error:
        # An error on its way to the answer keeps its frames, and they the rows: hundreds of megabytes
        # until the garbage collector comes by.
        traceback.clear_frames(error.__traceback__)
        raise
    return StoredRows(upload, parts, checked.byte_count)


def _answered(connection: Connection, request: WriteRowsRequest) -> WriteRowsResponse | None:
    if not request.retry_id:
        return None
    answer = connection.execute(
        select(store.upload.c.answer).where(
            store.upload.c.session_id == request.stream.session_id,
            store.upload.c.stream_id == request.stream.stream_id,
            store.upload.c.retry_id == request.retry_id,
        )
    ).scalar_one_or_none()
    return msgspec.msgpack.decode(answer, type=WriteRowsResponse) if answer else None


def _record(
    project: Project, target: TableTarget, request: WriteRowsRequest, principal: str, finished: StoredRows
) -> WriteRowsResponse:
    """Note the parts of an upload, provided that session and stream still take them."""
    address = request.stream
    with project.lake.database.write() as connection:
        # Only a refusal in here proves that no row names the files: after a COMMIT whose outcome is
        # unknown they must stay.
        try:
            session = load_writable(connection, target, address.session_id, principal)
            answered = _answered(connection, request)
            stream = None if answered else check_open(connection, session, address)
        except MaxlakeError:
            finished.upload.discard()
            raise
        if answered or stream is None:  # the first attempt was still under way when this one began
            finished.upload.discard()
            return cast("WriteRowsResponse", answered)
        rows = stream.record_count + finished.record_count
        answer = WriteRowsResponse(
            commit_message=f"{address.stream_id}.{address.stream_version}:{rows}",
            record_count=finished.record_count,
            warning_message=incomplete(request.count, finished.record_count),
        )
        session_parts.add(connection, address, finished.parts)
        update_stream(
            connection,
            address,
            record_count=rows,
            declared_count=min(stream.declared_count + request.count, MAX_INT64),
            byte_size=stream.byte_size + finished.byte_size,
        )
        if request.retry_id:
            connection.execute(
                insert(store.upload).values(
                    session_id=address.session_id,
                    stream_id=address.stream_id,
                    retry_id=request.retry_id,
                    answer=msgspec.msgpack.encode(answer),
                )
            )
        reach(Failpoint.BEFORE_PART_TRANSACTION)
    reach(Failpoint.AFTER_PART_TRANSACTION)
    return answer


def _fail(project: Project, address: StreamAddress, error: BadRequestError) -> None:
    """Put an open stream into ERROR; a closed or replaced one keeps what it has."""
    with project.lake.database.write() as connection:
        row = find(connection, address)
        if row is None or row.version != address.stream_version:
            return
        if not WRITE_STREAM.allows(StreamState(row.state), StreamEvent.FAIL):
            return
        update_stream(
            connection,
            address,
            state=StreamState.ERROR,
            error_code=error.code,
            # PostgreSQL's text holds no NUL, and the text may quote what was uploaded.
            error_message=str(error).replace("\0", ""),
        )
