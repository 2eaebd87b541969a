"""What each documented call asks for, as values; ``builders`` turns them into HTTP."""

from __future__ import annotations

from typing import Any

import msgspec

from maxlake.client.enums import Compression
from maxlake.client.options import ArrowOptions, DataFormat, IncrementalReadOptions, SplitOptions
from maxlake.protocol.limits import DEFAULT_BATCH_ROWS


def _none() -> list[str]:
    return []


class CreateReadSessionRequest(msgspec.Struct, kw_only=True, rename="pascal"):
    """What to read and how to cut it (wire.md §4.1). Empty lists mean all."""

    required_data_columns: list[str] = msgspec.field(default_factory=_none)
    required_partition_columns: list[str] = msgspec.field(default_factory=_none)
    required_partitions: list[str] = msgspec.field(default_factory=_none)
    required_bucket_ids: list[Any] = msgspec.field(default_factory=list)
    split_options: SplitOptions = msgspec.field(default_factory=SplitOptions)
    arrow_options: ArrowOptions = msgspec.field(default_factory=ArrowOptions)
    filter_predicate: str = ""
    filter_predicate_fallback: bool = False
    split_max_file_num: int = 0
    incremental_read: bool = False
    incremental_read_options: IncrementalReadOptions | None = None


class ReadStreamRequest(msgspec.Struct):
    """Which rows of a read session to stream, and how (wire.md §5).

    ``split_index`` names a split; ``row_offset`` and ``row_count`` select rows inside it, or of the
    whole session when there is no index. Of that range, the first ``skip_row_num`` rows are dropped.
    """

    session_id: str | None
    split_index: int | None = None
    row_offset: int | None = None
    row_count: int | None = None
    max_batch_rows: int = DEFAULT_BATCH_ROWS
    skip_row_num: int = 0
    max_batch_raw_size: int = 0
    data_format: DataFormat | None = None
    data_columns: list[str] | None = None
    compression: Compression | None = None

    def __post_init__(self) -> None:
        self.data_format = self.data_format or DataFormat()
        self.data_columns = self.data_columns or []
        self.compression = checked_compression(self.compression)


class PreviewTableRequest(msgspec.Struct):
    """Which rows of a table to preview: at most ``limit`` of ``partition``, ``columns`` in that order."""

    limit: int | None = None
    partition: str | None = None
    columns: list[str] | None = None

    def __post_init__(self) -> None:
        self.columns = self.columns or []


class CreateWriteSessionRequest(msgspec.Struct, kw_only=True, rename="pascal"):
    """Where to write: a whole or partial partition spec, and flags such as ``overwrite`` (wire.md §8.1)."""

    partial_partition_spec: str = ""
    flags: dict[str, Any] = msgspec.field(default_factory=dict)


class CreateWriteStreamRequest(msgspec.Struct):
    """A stream to open. With ``exactly_once_mode`` the service counts rows and hands out an access token."""

    session_id: str | None
    stream_id: str | int | None
    stream_version: int | None = 0
    exactly_once_mode: bool = False


class WriteStreamRequest(msgspec.Struct):
    """Rows for a stream. ``record_count`` 0 means unknown; ``row_offset`` -1 means not exactly-once."""

    session_id: str | None
    stream_id: str | int | None
    stream_version: int | None = 0
    record_count: int = 0
    compression: Compression | None = None
    row_offset: int = -1
    access_token: str | None = None

    def __post_init__(self) -> None:
        self.compression = checked_compression(self.compression)


class CloseWriteStreamRequest(msgspec.Struct):
    """A stream to close: no more rows will come."""

    session_id: str | None
    stream_id: str | int | None
    stream_version: int | None = 0


class WriteBlobRequest(msgspec.Struct):
    """Where a blob, or a batch of them, is uploaded to; a batch's blobs say the last two themselves.

    ``partition_values`` are texts such as ``pt=1``; ``column_index`` counts the table's columns from 0.
    """

    session_id: str | None
    stream_id: str | int | None
    stream_version: int | None = 0
    partition_values: list[str] | None = None
    column_index: int = 0

    def __post_init__(self) -> None:
        self.partition_values = self.partition_values or []


class ReadBlobRequest(msgspec.Struct):
    """The blobs to read. References in bytes become text."""

    blob_references: Any

    def __post_init__(self) -> None:
        given: list[str | bytes] = list(self.blob_references or ())
        self.blob_references = [each.decode() if isinstance(each, bytes) else each for each in given]


def checked_compression(value: object) -> Compression:
    """Return ``value``, or UNCOMPRESSED for ``None``. Raises ``ValueError`` for anything else."""
    if value is None:
        return Compression.UNCOMPRESSED
    if isinstance(value, Compression):
        return value
    names = ", ".join(f"Compression.{member.name}" for member in Compression)
    raise ValueError(f"compression must be one of {names} or None, not {value!r}")
