"""Messages of read sessions, TableRead and TablePreview (wire.md §4, §5, §7)."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from maxlake.protocol import limits
from maxlake.protocol.enums import IncrementalMode, SessionStatus, SplitMode, TimeUnit
from maxlake.protocol.messages.base import Message
from maxlake.protocol.messages.schema import ReadSchema, WriteSchema

Names = tuple[str, ...]


class SplitOptions(Message, frozen=True, kw_only=True):
    """How to cut the session. ``split_number`` is bytes for Size, a count for Parallelism."""

    split_mode: SplitMode = SplitMode.SIZE
    split_unit: str = "ByteSize"
    split_number: Annotated[int, Meta(ge=0)] = limits.DEFAULT_SPLIT_SIZE
    cross_partition: bool = True


class ArrowOptions(Message, frozen=True, kw_only=True):
    """Units of the timestamps sent."""

    timestamp_unit: TimeUnit = TimeUnit.NANO
    datetime_unit: TimeUnit = TimeUnit.MILLI


class IncrementalReadOptions(Message, frozen=True, kw_only=True):
    """The range of an incremental read, in both shapes clients send (wire.md §4.5)."""

    mode: str | None = None
    start_time_stamp: str | None = None
    end_time_stamp: str | None = None
    start_version: int | None = None
    end_version: int | None = None
    from_: int | str | None = msgspec.field(default=None, name="From")
    to: int | str | None = None


class CreateReadSessionRequest(Message, frozen=True, kw_only=True):
    """TableCreateReadSession. Empty lists mean everything (wire.md §4.1)."""

    required_data_columns: Names = ()
    required_partition_columns: Names = ()
    required_partitions: Names = ()
    required_bucket_ids: tuple[int | str, ...] = ()
    split_options: SplitOptions = SplitOptions()
    arrow_options: ArrowOptions = ArrowOptions()
    filter_predicate: str = ""
    filter_predicate_fallback: bool = False
    split_max_file_num: Annotated[int, Meta(ge=0)] = 0
    incremental_read: bool = False
    incremental_read_options: IncrementalReadOptions | None = None


class DataFormat(Message, frozen=True, kw_only=True):
    """Only Arrow V5 exists."""

    type: str = "Arrow"
    version: str = "V5"


class SessionStats(Message, frozen=True, kw_only=True):
    """What planning knows about the size of a session."""

    estimated_size: int
    estimated_row_count: int


class IncrementalRange(Message, frozen=True, kw_only=True):
    """The old shape of IncrementalReadOptions, every key present because C++ requires it."""

    mode: IncrementalMode = IncrementalMode.APPEND
    start_time_stamp: str = "-1"
    end_time_stamp: str = "-1"
    start_version: int = -1
    end_version: int = -1


class ReadSessionResponse(Message, frozen=True, kw_only=True):
    """The superset of wire.md §4.2 that every client can read. ``expiration_time`` in ms since epoch."""

    session_id: str
    session_status: SessionStatus
    expiration_time: int
    splits_count: int
    record_count: int
    split_mode: SplitMode
    data_schema: ReadSchema
    table_schema: WriteSchema
    session_stats: SessionStats
    latest_version: int
    session_type: str = "batch_read"
    split_bucket_id: tuple[int, ...] = ()
    supported_data_format: tuple[DataFormat, ...] = (DataFormat(),)
    message: str = ""
    enable_large_string: bool = False
    incremental_read_options: IncrementalRange = IncrementalRange()


class InstanceSessionResponse(ReadSessionResponse, frozen=True, kw_only=True):
    """A session on an instance's rows: what MaxStorage, Java and C++ look for besides (wire.md §12)."""

    download_id: str = msgspec.field(name="DownloadID")
    status: SessionStatus
    quota_name: str = ""


class ReadAddress(Message, frozen=True, kw_only=True):
    """Which rows of a session a TableRead wants (wire.md §5). ``None`` = not given."""

    session_id: str = ""
    index: Annotated[int, Meta(ge=0)] | None = None
    offset: Annotated[int, Meta(ge=0)] | None = None
    count: Annotated[int, Meta(ge=0)] | None = None


class ReadRowsRequest(Message, frozen=True, kw_only=True):
    """Body of TableRead."""

    max_batch_rows: int = limits.DEFAULT_BATCH_ROWS
    skip_row_num: Annotated[int, Meta(ge=0)] = 0
    max_batch_raw_size: Annotated[int, Meta(ge=0)] = 0
    data_format: DataFormat = DataFormat()
    data_columns: Names = ()
    data_columns_unordered: bool = False


class ReadInstanceRequest(ReadRowsRequest, frozen=True, kw_only=True):
    """Body of InstanceRead: MaxStorage, Java and C++ say ``Columns`` (wire.md §12)."""

    columns: Names = ()


class PreviewRequest(Message, frozen=True, kw_only=True):
    """TablePreview, merged from body and query (wire.md §7)."""

    limit: int | None = None
    partition: str = ""
    columns: Names = ()
