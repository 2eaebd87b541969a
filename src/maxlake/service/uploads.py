"""TableWrite: rows that are durable before they are acknowledged (wire.md §9.3, drift.md B.8, B.9)."""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
from msgspec import UNSET
from sqlalchemy import Connection, insert, select

from maxlake.failpoints import BatchPoint, Failpoint, reach
from maxlake.lake.arrow_input import Source, open_stream, validated
from maxlake.lake.database import AnyRow
from maxlake.lake.parts import Part, Upload
from maxlake.lake.upload_memory import Allowance
from maxlake.protocol.enums import StreamState
from maxlake.protocol.errors import BadRequestError, MaxlakeError, invalid_argument
from maxlake.protocol.limits import MAX_INT64, MAX_REQUEST_TOKEN
from maxlake.protocol.messages.write import StreamAddress, WriteRowsRequest, WriteRowsResponse
from maxlake.protocol.states import WRITE_STREAM, StreamEvent
from maxlake.protocol.targets import TableTarget
from maxlake.protocol.tunnel.decoders import BodyDecoder
from maxlake.service import schema_versions, session_parts, store
from maxlake.service.decoded_body import DecodedBody
from maxlake.service.exactly_once import check_repeated, check_writer, earlier_answer, is_next, remember
from maxlake.service.project import Project
from maxlake.service.uploaded_references import UploadedReferences
from maxlake.service.uploaded_rows import stored_batches, stored_schema
from maxlake.service.write_sessions import WriteSession, load_writable
from maxlake.service.write_streams import (
    check_open,
    current,
    find,
    incomplete,
    update_stream,
    where_of,
)

#: Bytes of a repeated body read at a time, to be thrown away.
_DISCARDED_PIECE = 1024 * 1024
# Made before threads are (see read_sessions).
_ANSWER = msgspec.msgpack.Decoder(WriteRowsResponse)


@contextmanager
def _errors_without_rows() -> Generator[None]:
    """Decorate what handles rows: errors that leave it hold none.

    On its way to the answer it keeps its frames, and they the rows: hundreds of megabytes until the garbage
    collector comes by.
    """
    try:
        yield
    except Exception as error:
        traceback.clear_frames(error.__traceback__)
        raise


def write(
    project: Project, target: TableTarget, request: WriteRowsRequest, body: Source, principal: str
) -> WriteRowsResponse:
    """Store the rows of one Arrow IPC stream durably and append them to the stream.

    Bad rows put the stream into ERROR and are refused whole; a cut connection leaves it OPEN (drift.md B.8).
    An upload repeated under the same retry id, or at the same row offset of an exactly-once stream, is
    answered as the first time.
    """
    address = request.stream
    if len(request.retry_id) > MAX_REQUEST_TOKEN:
        raise invalid_argument(f"a retry id has at most {MAX_REQUEST_TOKEN} characters")
    with project.lake.database.read() as connection:
        session = load_writable(connection, target, address.session_id, principal)
        stream, answered = _stream(connection, session, request)
    if answered and request.row_offset is not None:
        check_repeated(answered, _row_count(project, body), request)
        return answered
    if answered:
        discard_body(body)
        return answered
    try:
        _check_schema(session, stream, request)
        finished = store_rows(project, session, address, body)
        answer = _record(project, target, request, principal, finished)
    except BadRequestError as error:
        _fail(project, request, error)
        raise
    reach(Failpoint.BEFORE_WRITE_ANSWER)
    return answer


def _stream(
    connection: Connection, session: WriteSession, request: WriteRowsRequest
) -> tuple[AnyRow, WriteRowsResponse | None]:
    """Return the stream of an upload, and the answer if it was taken before; raises if it cannot be taken."""
    if request.table_id not in ("", str(session.table.table_id)):
        raise invalid_argument(
            f"TableId is {session.table.table_id}, not {request.table_id!r}", where=session.where
        )
    stream = current(connection, session, request.stream)
    where = where_of(session, request.stream)
    check_writer(stream, request, where)
    if stream.token_hash:
        answer = earlier_answer(connection, stream, request, where)
    else:
        answer = _retried(connection, request)
    if answer is None:
        check_open(stream, where)
    return stream, answer


def _check_schema(session: WriteSession, stream: AnyRow, request: WriteRowsRequest) -> None:
    where = where_of(session, request.stream)
    for version in (stream.schema_version, request.schema_version):
        if version is not None:
            schema_versions.check(session.table, version, evolution=session.schema_evolution, where=where)


@_errors_without_rows()
def _row_count(project: Project, body: Source) -> int:
    """Read a repeated body to its end; return how many rows it has."""
    count = 0
    with Allowance(project.upload_memory, lambda _: 0) as memory:
        reader, checked = open_stream(body, memory)
        for batch in validated(reader):
            count += batch.num_rows
            del batch
            memory.settle(checked.held_bytes)
        checked.finish()
    return count


def discard_body(body: Source) -> None:
    """Read a repeated body to its end: a success before that looks like a cut to a client still sending."""
    piece = memoryview(bytearray(_DISCARDED_PIECE))
    while body.readinto(piece) != 0:
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


@_errors_without_rows()
def store_rows(
    project: Project,
    session: WriteSession,
    address: StreamAddress,
    body: Source,
    decoder: BodyDecoder | None = None,
) -> StoredRows:
    """Store the rows of one Arrow IPC stream durably; bad ones are a typed error, and leave nothing.

    With a ``decoder`` the stream is what that makes of the body.
    """
    name = f"{address.session_id}-{address.stream_id}.{address.stream_version}-{uuid.uuid4().hex[:12]}"
    with (
        Upload(project.lake.data, session.table, name, stored_schema(session.table)) as upload,
        Allowance(project.upload_memory, upload.spill) as memory,
    ):
        decoded = None if decoder is None else DecodedBody(body, decoder, memory.grow)
        reader, checked = open_stream(decoded or body, memory)
        references = UploadedReferences(project, session.table)
        for batch in stored_batches(session, reader, memory):
            reach(BatchPoint.BEFORE_STORING_BATCH)
            references.check(batch)
            memory.grow(upload.copied_bytes(batch))
            upload.write(batch)
            del batch  # the next is received before the name is bound again
            held = 0 if decoded is None else decoded.held_bytes
            memory.settle(upload.held_bytes + checked.held_bytes + held)
        checked.finish()
        parts = upload.finish()
    return StoredRows(upload, parts, checked.byte_count)


def _retried(connection: Connection, request: WriteRowsRequest) -> WriteRowsResponse | None:
    if not request.retry_id:
        return None
    answer = connection.execute(
        select(store.upload.c.answer).where(
            store.upload.c.session_id == request.stream.session_id,
            store.upload.c.stream_id == request.stream.stream_id,
            store.upload.c.retry_id == request.retry_id,
        )
    ).scalar_one_or_none()
    return _ANSWER.decode(answer) if answer else None


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
            stream, answered = _stream(connection, session, request)
            if not answered:  # the table may have been altered meanwhile
                _check_schema(session, stream, request)
            elif request.row_offset is not None:
                check_repeated(answered, finished.record_count, request)
        except MaxlakeError:
            finished.upload.discard()
            raise
        if answered:  # the first attempt was still under way when this one began
            finished.upload.discard()
            return answered
        rows = stream.record_count + finished.record_count
        answer = WriteRowsResponse(
            commit_message=f"{address.stream_id}.{address.stream_version}:{rows}",
            record_count=finished.record_count,
            warning_message=incomplete(request.count, finished.record_count),
            exactly_once_row_offset=UNSET if request.row_offset is None else rows,
        )
        session_parts.add(connection, address, finished.parts)
        # An upload of more rows than declared makes no other complete.
        declared = stream.declared_count + max(min(request.count, MAX_INT64), finished.record_count)
        update_stream(
            connection,
            address,
            record_count=rows,
            declared_count=min(declared, MAX_INT64),
            byte_size=stream.byte_size + finished.byte_size,
        )
        _remember(connection, request, answer)
        reach(Failpoint.BEFORE_PART_TRANSACTION)
    reach(Failpoint.AFTER_PART_TRANSACTION)
    return answer


def _remember(connection: Connection, request: WriteRowsRequest, answer: WriteRowsResponse) -> None:
    address = request.stream
    if request.row_offset is not None:
        remember(connection, address, request.row_offset, answer)
    elif request.retry_id:
        connection.execute(
            insert(store.upload).values(
                session_id=address.session_id,
                stream_id=address.stream_id,
                retry_id=request.retry_id,
                answer=msgspec.msgpack.encode(answer),
            )
        )


def _fail(project: Project, request: WriteRowsRequest, error: BadRequestError) -> None:
    """Put an open stream into ERROR; a closed, replaced or fenced one keeps what it has."""
    address = request.stream
    with project.lake.database.write() as connection:
        row = find(connection, address)
        if row is None or row.version != address.stream_version:
            return
        if row.token_hash and not is_next(row, request):
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
