"""What the service answered, as values. Attributes the answer did not hold are ``None``.

``request_id`` and ``route_token`` come from response headers, everything else from the JSON body,
whose unknown keys are ignored. What clients only pass on is not checked closer than 0.13.0 does.
"""

from __future__ import annotations

from typing import Any

import msgspec

from maxlake.client.enums import SessionStatus
from maxlake.client.options import DataFormat, IncrementalReadOptions
from maxlake.client.schema import DataSchema

# Every service sends these; an answer without them leaves None, as in 0.13.0. Typing that would make
# every documented example fail a type checker.
_ABSENT: Any = None


class SessionStats(msgspec.Struct, kw_only=True, rename="pascal"):
    """Estimates about a read session: bytes and rows."""

    estimated_size: int | None = None
    estimated_row_count: int | None = None


class CreateReadSessionResponse(msgspec.Struct, kw_only=True, rename="pascal"):
    """A read session: what later calls need to know of it (wire.md §4.2).

    ``splits_count`` and ``record_count`` are -1 where the service does not count. For instance
    results, ``download_id`` and ``status`` hold the same as ``session_id`` and ``session_status``.
    """

    session_id: str = _ABSENT
    session_status: SessionStatus | None = None
    splits_count: int = _ABSENT
    record_count: int = _ABSENT
    data_schema: DataSchema | None = None
    expiration_time: int | str | None = None
    download_id: str | None = msgspec.field(default=None, name="DownloadID")
    status: SessionStatus | None = None
    session_type: str | None = None
    supported_data_format: list[DataFormat] | None = None
    split_mode: str | None = None
    split_bucket_id: Any = None
    session_stats: SessionStats | None = None
    latest_version: int | None = None
    message: str | None = None
    enable_large_string: bool | None = None
    incremental_read_options: IncrementalReadOptions | None = None
    request_id: str | None = None
    route_token: str | None = None


class CreateWriteSessionResponse(msgspec.Struct, kw_only=True, rename="pascal"):
    """A new write session."""

    session_id: str = _ABSENT
    warning_message: str | None = None
    request_id: str | None = None
    route_token: str | None = None


class GetWriteSessionResponse(msgspec.Struct, kw_only=True, rename="pascal"):
    """The streams of a write session, each a dict with ``StreamId``, ``StreamVersion``, ``Status``."""

    streams: Any = None
    warning_message: str | None = None
    request_id: str | None = None
    route_token: str | None = None


class CreateWriteStreamResponse(msgspec.Struct, kw_only=True, rename="pascal"):
    """A new write stream; ``data_schema`` is the table's write schema as a dict (wire.md §4.7)."""

    data_schema: dict[str, Any] | None = msgspec.field(default=None, name="TableSchema")
    table_id: Any = None
    schema_version: int | str | None = None
    access_token: str | None = None
    request_id: str | None = None
    route_token: str | None = None


class GetWriteStreamResponse(msgspec.Struct, kw_only=True, rename="pascal"):
    """The state of a write stream: ``status`` is OPEN, CLOSED or ERROR.

    ``access_token`` and ``row_offset`` are set when asked for with ``exactly_once_mode=True``.
    """

    status: str | None = None
    record_count: int | None = None
    byte_size: int | None = None
    error_code: str | None = None
    error_message: str | None = None
    latest_schema_version: int | str | None = None
    row_offset: int | None = None
    access_token: str | None = None
    request_id: str | None = None
    route_token: str | None = None


class WriteStreamResponse(msgspec.Struct, kw_only=True, rename="pascal"):
    """What the service said about an upload; the next row offset in exactly-once mode (wire.md §9.3)."""

    exactly_once_row_offset: int | None = None
    warning_message: str | None = None
    request_id: str | None = None


class WriteBlobResponse(msgspec.Struct, kw_only=True, rename="pascal"):
    """Stored blobs: ``blob_reference`` of a single one, ``blob_references`` of a batch in its order.

    ``size`` is the bytes of all blobs; a ``warning_message`` says what was not as asked for.
    """

    blob_reference: str | None = None
    blob_references: list[str] | None = None
    warning_message: str | None = None
    size: int | None = None
    md5_value: str | None = msgspec.field(default=None, name="MD5Value")
    request_id: str | None = None


class CloseWriteStreamResponse(msgspec.Struct, kw_only=True, rename="pascal"):
    """A closed stream; ``warning_message`` containing ``data_incomplete`` means rows are missing."""

    warning_message: str | None = None
    request_id: str | None = None
