"""One function per action: HTTP's parameters and body to the service's messages, and back (wire.md).

They run in worker threads. Where a value may stand in body or query, the body is read first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import msgspec

from maxlake.protocol.enums import WriteMode
from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.messages.base import Message, decode
from maxlake.protocol.messages.read import (
    CreateReadSessionRequest,
    PreviewRequest,
    ReadAddress,
    ReadRowsRequest,
)
from maxlake.protocol.messages.write import (
    CommitRequest,
    CreateWriteSessionRequest,
    StreamAddress,
    WriteRowsRequest,
)
from maxlake.server import dialects
from maxlake.server.dialects import Dialect
from maxlake.server.parameters import Parameters, checked_identifier
from maxlake.service import read_sessions, rows, uploads, write_sessions, write_streams

if TYPE_CHECKING:
    from maxlake.protocol.targets import TableTarget
    from maxlake.server.upload import UploadBody
    from maxlake.service.project import Project
    from maxlake.service.rows import RowStream

Answer = Message | dict[str, Any]


@dataclass(frozen=True, slots=True)
class StorageCall:
    """One call of the Storage API on a table, its body not yet decoded (empty for uploads)."""

    project: Project
    target: TableTarget
    parameters: Parameters
    body: bytes
    principal: str
    dialect: Dialect
    retry_id: str

    @property
    def session_id(self) -> str:
        """The session's id, always taken from the query: C++ sends an empty one in bodies (wire.md §9.4)."""
        return self.parameters.identifier("SessionId")


# -- read sessions ----------------------------------------------------------------------------------


def create_read_session(call: StorageCall) -> Answer:
    """TableCreateReadSession (wire.md §4.1)."""
    request = decode(call.body, CreateReadSessionRequest)
    return read_sessions.create(call.project, call.target, request, call.principal)


def get_read_session(call: StorageCall) -> Answer:
    """TableGetReadSession; ``session_refresh=true`` extends the session (wire.md §4.2)."""
    refresh = call.parameters.boolean("session_refresh")
    return read_sessions.get(
        call.project, call.target, call.session_id, refresh=refresh, principal=call.principal
    )


def read_rows(call: StorageCall) -> RowStream:
    """TableRead (wire.md §5)."""
    address = ReadAddress(
        session_id=call.session_id,
        index=call.parameters.unsigned("Index"),
        offset=call.parameters.unsigned("Offset"),
        count=call.parameters.unsigned("Count"),
    )
    request = decode(call.body, ReadRowsRequest)
    return rows.read(call.project, call.target, address, request, call.principal)


def preview(call: StorageCall) -> RowStream:
    """TablePreview; the query fills in what the body leaves out (wire.md §7)."""
    request = decode(call.body, PreviewRequest)
    limit = call.parameters.unsigned("Limit") if request.limit is None else request.limit
    request = msgspec.structs.replace(request, limit=dialects.preview_limit(limit, call.dialect))
    if not request.partition:
        request = msgspec.structs.replace(request, partition=call.parameters.text("Partition") or "")
    return rows.preview(call.project, call.target, request)


# -- write sessions ---------------------------------------------------------------------------------


def create_write_session(call: StorageCall) -> Answer:
    """TableCreateWriteSession (wire.md §8.1)."""
    _check_write_mode(call)
    request = decode(call.body, CreateWriteSessionRequest)
    return write_sessions.create(call.project, call.target, request, call.principal)


def get_write_session(call: StorageCall) -> Answer:
    """TableGetWriteSession (wire.md §8.4)."""
    _check_write_mode(call)
    answer = write_sessions.get(call.project, call.target, call.session_id, call.principal)
    return dialects.write_session(answer, call.dialect)


def commit_write_session(call: StorageCall) -> Answer:
    """TableCommitWriteSession (wire.md §8.5)."""
    _check_write_mode(call)
    request = decode(call.body, CommitRequest)
    return write_sessions.commit(call.project, call.target, call.session_id, request, call.principal)


def abort_write_session(call: StorageCall) -> Answer:
    """TableAbortWriteSession (wire.md §8.5)."""
    _check_write_mode(call)
    return write_sessions.abort(call.project, call.target, call.session_id, call.principal)


def get_write_schema(call: StorageCall) -> Answer:
    """TableGetWriteSchema (wire.md §9.5)."""
    return {"TableSchema": write_streams.write_schema(call.project, call.target)}


# -- write streams ----------------------------------------------------------------------------------


class WriteStreamRequest(Message, frozen=True):
    """How a body names a stream: ids as number or text, every member optional (drift.md A.8)."""

    stream_id: int | str | None = None
    stream_version: int | None = None
    exactly_once_mode: bool = False


def create_write_stream(call: StorageCall) -> Answer:
    """TableCreateWriteStream (wire.md §9.1)."""
    return write_streams.create(call.project, call.target, _stream_address(call), call.principal)


def get_write_stream(call: StorageCall) -> Answer:
    """TableGetWriteStream, as GET with everything in the query or as POST with a body (wire.md §9.2)."""
    answer = write_streams.get(call.project, call.target, _stream_address(call), call.principal)
    return dialects.stream_status(answer)


def close_write_stream(call: StorageCall) -> Answer:
    """TableCloseWriteStream (wire.md §9.4)."""
    return write_streams.close(call.project, call.target, _stream_address(call), call.principal)


def write_rows(call: StorageCall, body: UploadBody) -> Answer:
    """TableWrite: one whole Arrow IPC stream (wire.md §9.3)."""
    request = WriteRowsRequest(
        stream=_stream_address(call),
        count=call.parameters.unsigned("Count") or 0,
        row_offset=call.parameters.unsigned("RowOffset"),
        retry_id=call.retry_id,
    )
    return uploads.write(call.project, call.target, request, cast("BinaryIO", body), call.principal)


def _stream_address(call: StorageCall) -> StreamAddress:
    _check_write_mode(call)
    body = decode(call.body, WriteStreamRequest)
    if body.exactly_once_mode or call.parameters.boolean("ExactlyOnceMode"):
        raise invalid_argument("exactly-once streams are not served yet: leave ExactlyOnceMode out")
    stream_id, version = body.stream_id, body.stream_version
    if stream_id in (None, ""):
        stream_id = call.parameters.identifier("StreamId")
    if version is None:
        version = call.parameters.unsigned("StreamVersion") or 0
    if version < 0:
        raise invalid_argument(f"StreamVersion is negative: {version}")
    name = checked_identifier(str(stream_id), "StreamId")
    return StreamAddress(session_id=call.session_id, stream_id=name, stream_version=version)


def _check_write_mode(call: StorageCall) -> None:
    mode = dialects.write_mode(call.parameters.text("WriteMode"))
    if mode is not WriteMode.BATCH:
        raise invalid_argument(f"WriteMode {mode} is not served yet: write with WriteMode=Batch")
