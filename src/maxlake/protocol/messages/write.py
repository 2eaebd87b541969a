"""Messages of write sessions and streams (wire.md §8, §9)."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from maxlake.protocol.enums import StreamState
from maxlake.protocol.messages.base import Message
from maxlake.protocol.messages.schema import WriteSchema


class CreateWriteSessionRequest(Message, frozen=True, kw_only=True):
    """TableCreateWriteSession. Flags arrive as JSON booleans or text (drift.md A.9)."""

    partial_partition_spec: str = ""
    flags: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    overwrite: bool | str = False
    #: Only the block protocol names the partition so (wire.md §8.2).
    partition_spec: str | None = None


class CreateWriteSessionResponse(Message, frozen=True, kw_only=True):
    """Answer of TableCreateWriteSession; both keys always present."""

    session_id: str
    warning_message: str = ""


class StreamInfo(Message, frozen=True, kw_only=True):
    """One entry of ``Streams`` as the documentation reads it (wire.md §8.4)."""

    stream_id: str
    stream_version: int
    status: StreamState


class GetWriteSessionResponse(Message, frozen=True, kw_only=True):
    """State of a write session. The server shapes ``streams`` per dialect (drift.md A.4)."""

    streams: tuple[StreamInfo, ...]
    warning_message: str = ""


class StreamAddress(Message, frozen=True, kw_only=True):
    """Names one version of one stream. Ids are text; ``0`` and ``"0"`` are the same (drift.md A.8)."""

    session_id: str
    stream_id: str
    stream_version: Annotated[int, Meta(ge=0)] = 0


class StreamSchema(Message, frozen=True, kw_only=True):
    """What TableCreateWriteStream tells about the table (wire.md §9.1).

    ``access_token`` and ``row_offset`` are there when exactly-once was asked for (drift.md A.12).
    """

    table_schema: WriteSchema
    table_id: str
    schema_version: int
    access_token: str | UnsetType = UNSET
    row_offset: int | UnsetType = UNSET
    is_delta_table: bool = False
    quota_token: str = "none"  # noqa: S105 - opaque, required non-empty by block writers
    warning_message: str = ""


class StreamStatus(Message, frozen=True, kw_only=True):
    """Answer of TableGetWriteStream; ``byte_size`` counts Arrow bytes received (wire.md §9.2).

    ``schema_version`` is the table's when the stream was created, ``latest_schema_version`` its present one.
    ``access_token`` and ``row_offset`` are there when exactly-once was asked for (drift.md A.12).
    """

    status: StreamState
    record_count: int
    byte_size: int
    table_schema: WriteSchema
    table_id: str
    schema_version: int
    latest_schema_version: int
    access_token: str | UnsetType = UNSET
    row_offset: int | UnsetType = UNSET
    error_code: str = ""
    error_message: str = ""
    warning_message: str = ""


class WriteRowsRequest(Message, frozen=True, kw_only=True):
    """Query of TableWrite. ``count`` is what the client declared, 0 = unknown (drift.md B.9).

    ``table_id`` and ``schema_version`` are the stream's, as MaxStorage and Java repeat them;
    ``access_token`` comes in a header, and belongs to ``row_offset``.
    """

    stream: StreamAddress
    count: Annotated[int, Meta(ge=0)] = 0
    table_id: str = ""
    schema_version: int | None = None
    row_offset: int | None = None
    access_token: str = ""
    retry_id: str = ""


class WriteRowsResponse(Message, frozen=True, kw_only=True):
    """Answer of TableWrite. ``commit_message`` is opaque and never empty.

    ``exactly_once_row_offset`` is where the stream's next rows belong, in exactly-once mode alone.
    """

    commit_message: str
    record_count: int
    warning_message: str = ""
    exactly_once_row_offset: int | UnsetType = UNSET


class CommitRequest(Message, frozen=True, kw_only=True):
    """Which (id, version) pairs to commit; neither given = every closed stream (wire.md §8.5)."""

    stream_ids: tuple[int | str, ...] | None = None
    stream_versions: tuple[int, ...] | None = None
    #: Only the block protocol commits so (wire.md §8.2).
    commit_messages: tuple[str, ...] | None = None


class CommitResponse(Message, frozen=True, kw_only=True):
    """Answer of TableCommitWriteSession."""

    session_status: str = "COMMITTED"
    warning_message: str = ""


class CloseStreamResponse(Message, frozen=True, kw_only=True):
    """Answer of TableCloseWriteStream; a warning may contain ``data_incomplete``."""

    warning_message: str = ""


class Empty(Message, frozen=True, kw_only=True):
    """An answer without content is still a JSON object."""
