"""One function per action: HTTP's parameters and body to the service's messages, and back (wire.md).

They run in worker threads. Where a value may stand in body or query, the body is read first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import msgspec

from maxlake.protocol.enums import WriteMode
from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.messages.base import Message, decode
from maxlake.protocol.messages.blocks import BlockAddress, CreateBlockSessionRequest
from maxlake.protocol.messages.read import (
    CreateReadSessionRequest,
    PreviewRequest,
    ReadAddress,
    ReadRowsRequest,
)
from maxlake.protocol.messages.write import (
    CloseStreamResponse,
    CommitRequest,
    CreateWriteSessionRequest,
    Empty,
    StreamAddress,
    WriteRowsRequest,
)
from maxlake.server import dialects
from maxlake.server.dialects import Dialect
from maxlake.server.parameters import Parameters, checked_identifier
from maxlake.service import (
    blocks,
    read_sessions,
    rows,
    streaming,
    uploads,
    write_commits,
    write_sessions,
    write_streams,
)
from maxlake.service.write_sessions import WriteForm

if TYPE_CHECKING:
    from maxlake.protocol.targets import InstanceTarget, RowTarget, TableTarget
    from maxlake.server.upload import UploadBody
    from maxlake.server.workers import Stopped
    from maxlake.service.project import Project
    from maxlake.service.rows import RowStream

Answer = Message | dict[str, Any]


Addressed = TypeVar("Addressed", bound="RowTarget")


@dataclass(frozen=True)
class TargetCall(Generic[Addressed]):
    """One call of the Storage API on a table or instance, its body not yet decoded (empty for uploads)."""

    project: Project
    target: Addressed
    parameters: Parameters
    body: bytes
    principal: str
    dialect: Dialect
    retry_id: str
    access_token: str
    content_encoding: str

    @property
    def session_id(self) -> str:
        """The session's id, always taken from the query: C++ sends an empty one in bodies (wire.md §9.4)."""
        return self.parameters.identifier("SessionId")


StorageCall: TypeAlias = "TargetCall[TableTarget]"
InstanceCall: TypeAlias = "TargetCall[InstanceTarget]"


# -- read sessions ----------------------------------------------------------------------------------


def create_read_session(call: StorageCall, stopped: Stopped) -> Answer:
    """TableCreateReadSession (wire.md §4.1)."""
    request = decode(call.body, CreateReadSessionRequest)
    if request.incremental_read_options is not None:
        given = dialects.incremental_options(request.incremental_read_options)
        request = msgspec.structs.replace(request, incremental_read_options=given)
    return read_sessions.create(call.project, call.target, request, call.principal, stopped)


def is_long_to_create(call: StorageCall) -> bool:
    """Tell whether a read session takes long to create: rows have to be counted (drift.md B.5)."""
    return read_sessions.counts_rows(decode(call.body, CreateReadSessionRequest))


def get_read_session(call: StorageCall) -> Answer:
    """TableGetReadSession; ``session_refresh=true`` extends the session (wire.md §4.2)."""
    until = call.project.new_expiry() if call.parameters.boolean("session_refresh") else None
    return read_sessions.get(
        call.project, call.target, call.session_id, refresh_until=until, principal=call.principal
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
    """TableCreateWriteSession: for streams, for blocks, or none for streaming (wire.md §8.1 to §8.3)."""
    mode = dialects.write_mode(call.parameters.text("WriteMode")) or WriteMode.BATCH
    request = decode(call.body, CreateWriteSessionRequest)
    if mode in (WriteMode.STREAMING, WriteMode.STREAMING_REALTIME):
        return streaming.create_session(call.project, call.target, request)
    has_quota = call.parameters.boolean("enableQuotaToken")
    if mode is WriteMode.BATCH_COMPATIBLE and (has_quota or request.partition_spec is not None):
        block_request = decode(call.body, CreateBlockSessionRequest)
        return blocks.create(call.project, call.target, block_request, call.principal)
    return write_sessions.create(call.project, call.target, request, call.principal, mode=mode)


def get_write_session(call: StorageCall) -> Answer:
    """TableGetWriteSession (wire.md §8.4)."""
    form = _form(call)
    if form is WriteForm.BLOCKS:
        return blocks.get(call.project, call.target, call.session_id, call.principal)
    if form is WriteForm.FLUSHES:
        answer = streaming.get_session(call.project, call.target)
    else:
        answer = write_sessions.get(call.project, call.target, call.session_id, call.principal)
    return dialects.write_session(answer, call.dialect)


def commit_write_session(call: StorageCall) -> Answer:
    """TableCommitWriteSession (wire.md §8.5); streamed rows are visible already (drift.md A.13)."""
    form = _form(call)
    request = decode(call.body, CommitRequest)
    if form is WriteForm.FLUSHES:
        return Empty()
    module = blocks if form is WriteForm.BLOCKS else write_commits
    return module.commit(call.project, call.target, call.session_id, request, call.principal)


def abort_write_session(call: StorageCall) -> Answer:
    """TableAbortWriteSession (wire.md §8.5); streamed rows stay (drift.md A.13)."""
    if _form(call) is WriteForm.FLUSHES:
        return Empty()
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
    """TableCreateWriteStream (wire.md §9.1); block writers ask for quota with it (wire.md §8.2)."""
    address = stream_address(call)
    form = _form(call)
    if form is WriteForm.BLOCKS:
        return blocks.reserve(call.project, call.target, _plain_address(call), call.principal)
    if form is WriteForm.FLUSHES:
        return streaming.create_stream(call.project, call.target, _plain_address(call))
    return write_streams.create(
        call.project, call.target, address, call.principal, exactly_once=_exactly_once(call)
    )


def get_write_stream(call: StorageCall) -> Answer:
    """TableGetWriteStream, as GET with everything in the query or as POST with a body (wire.md §9.2)."""
    address = stream_address(call)
    if _stream_form(call) is WriteForm.FLUSHES:
        return dialects.stream_status(streaming.get_stream(call.project, call.target, _plain_address(call)))
    answer = write_streams.get(
        call.project, call.target, address, call.principal, exactly_once=_exactly_once(call)
    )
    return dialects.stream_status(answer)


def close_write_stream(call: StorageCall) -> Answer:
    """TableCloseWriteStream (wire.md §9.4); what was streamed needs no end (drift.md A.13)."""
    if _stream_form(call) is WriteForm.FLUSHES:
        return CloseStreamResponse()
    return write_streams.close(call.project, call.target, stream_address(call), call.principal)


def write_rows(call: StorageCall, body: UploadBody) -> Answer:
    """TableWrite: one whole Arrow IPC stream, for a stream (wire.md §9.3) or as a block (wire.md §8.2)."""
    form = _form(call)
    if form is WriteForm.BLOCKS:
        return blocks.write(call.project, call.target, _block_address(call), body, call.principal)
    request = WriteRowsRequest(
        stream=stream_address(call),
        count=call.parameters.unsigned("Count") or 0,
        table_id=call.parameters.text("TableId") or "",
        schema_version=call.parameters.unsigned("SchemaVersion"),
        row_offset=call.parameters.unsigned("RowOffset"),
        access_token=call.access_token,
        retry_id=call.retry_id,
    )
    if form is WriteForm.FLUSHES:
        return streaming.write(call.project, call.target, request, body)
    return uploads.write(call.project, call.target, request, body, call.principal)


def _block_address(call: StorageCall) -> BlockAddress:
    block, attempt = (call.parameters.unsigned(name) for name in ("BlockNumber", "AttemptNumber"))
    if block is None or attempt is None:
        raise invalid_argument("the session takes blocks: name one with BlockNumber and AttemptNumber")
    return BlockAddress(session_id=call.session_id, block_number=block, attempt_number=attempt)


def stream_address(call: StorageCall) -> StreamAddress:
    """Return the stream that body or query names, the body first. Raises InvalidArgument."""
    body = decode(call.body, WriteStreamRequest)
    stream_id, version = body.stream_id, body.stream_version
    if stream_id in (None, ""):
        stream_id = call.parameters.identifier("StreamId")
    if version is None:
        version = call.parameters.unsigned("StreamVersion") or 0
    if version < 0:
        raise invalid_argument(f"StreamVersion is negative: {version}")
    name = checked_identifier(str(stream_id), "StreamId")
    return StreamAddress(session_id=call.session_id, stream_id=name, stream_version=version)


def _exactly_once(call: StorageCall) -> bool:
    """Tell whether body or query asks for exactly-once (drift.md A.12)."""
    body = decode(call.body, WriteStreamRequest)
    return body.exactly_once_mode or call.parameters.boolean("ExactlyOnceMode")


def _plain_address(call: StorageCall) -> StreamAddress:
    """Return the address of what cannot be written exactly once by offsets."""
    if _exactly_once(call):
        raise invalid_argument(
            "blocks and streamed rows have no ExactlyOnceMode: leave it out, or write with WriteMode=Batch"
        )
    return stream_address(call)


def _form(call: StorageCall) -> WriteForm:
    """Tell what the call is about; where it names a WriteMode, it must be its session's."""
    mode = dialects.write_mode(call.parameters.text("WriteMode"))
    return write_sessions.form_of(call.project, call.target, call.session_id, mode, call.principal)


def _stream_form(call: StorageCall) -> WriteForm:
    """Tell whether a call about a stream is about one of a session; blocks have none."""
    form = _form(call)
    if form is WriteForm.BLOCKS:
        raise invalid_argument("the session takes blocks, which are whole with TableWrite: it has no streams")
    return form
