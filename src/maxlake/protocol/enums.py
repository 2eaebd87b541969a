"""The protocol's closed sets. Values are spelled as on the wire."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class InstanceStatus(StrEnum):
    """What a SQL instance's one task is doing, or how it ended (rest.md §6.2)."""

    WAITING = "Waiting"
    RUNNING = "Running"
    SUCCESS = "Success"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self not in (InstanceStatus.WAITING, InstanceStatus.RUNNING)


class TaskKind(StrEnum):
    """What a job asks of its statement, by the name of its task: to be run, or what that would cost."""

    SQL = "SQL"
    COST = "SQLCost"


class Action(StrEnum):
    """Every table, blob and instance action of Storage API v2/v3 (wire.md §1.1)."""

    TABLE_CREATE_READ_SESSION = "TableCreateReadSession"
    TABLE_GET_READ_SESSION = "TableGetReadSession"
    TABLE_READ = "TableRead"
    TABLE_PREVIEW = "TablePreview"
    TABLE_CREATE_WRITE_SESSION = "TableCreateWriteSession"
    TABLE_GET_WRITE_SESSION = "TableGetWriteSession"
    TABLE_COMMIT_WRITE_SESSION = "TableCommitWriteSession"
    TABLE_ABORT_WRITE_SESSION = "TableAbortWriteSession"
    TABLE_CREATE_WRITE_STREAM = "TableCreateWriteStream"
    TABLE_GET_WRITE_STREAM = "TableGetWriteStream"
    TABLE_WRITE = "TableWrite"
    TABLE_CLOSE_WRITE_STREAM = "TableCloseWriteStream"
    TABLE_GET_WRITE_SCHEMA = "TableGetWriteSchema"
    TABLE_WRITE_BLOB = "TableWriteBlob"
    BLOB_READ = "BlobRead"
    INSTANCE_CREATE_READ_SESSION = "InstanceCreateReadSession"
    INSTANCE_GET_READ_SESSION = "InstanceGetReadSession"
    INSTANCE_READ = "InstanceRead"


class SplitMode(StrEnum):
    """How a read session is cut (wire.md §5)."""

    SIZE = "Size"
    PARALLELISM = "Parallelism"
    ROW_OFFSET = "RowOffset"
    BUCKET = "Bucket"


class IncrementalMode(StrEnum):
    """What an incremental read shows: rows inserted, or every change (wire.md §4.5)."""

    APPEND = "append"
    CDC = "cdc"


class TimeUnit(StrEnum):
    """Units of ArrowOptions (wire.md §4.1)."""

    SECOND = "second"
    MILLI = "milli"
    MICRO = "micro"
    NANO = "nano"


class SessionStatus(StrEnum):
    """States clients understand (wire.md §4.2)."""

    INIT = "INIT"
    NORMAL = "NORMAL"
    CRITICAL = "CRITICAL"
    EXPIRED = "EXPIRED"
    COMMITTING = "COMMITTING"
    COMMITTED = "COMMITTED"


class WriteSessionState(StrEnum):
    """Life of a write session (drift.md B.8)."""

    NORMAL = "NORMAL"
    COMMITTED = "COMMITTED"
    ABORTED = "ABORTED"


class Operation(IntEnum):
    """What an upload says of a row of a table with a primary key: a letter's code (wire.md §10)."""

    UPSERT = ord("U")
    DELETE = ord("D")


class StreamState(StrEnum):
    """Life of a write stream (wire.md §8.4)."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"
    ERROR = "ERROR"


class WriteMode(StrEnum):
    """When rows of a write session become visible (wire.md §8)."""

    BATCH = "Batch"
    BATCH_COMPATIBLE = "BatchCompatible"
    STREAMING = "Streaming"
    STREAMING_REALTIME = "StreamingRealtime"


class Codec(StrEnum):
    """Compression words of Accept-Encoding (wire.md §6)."""

    ZSTD = "zstd"
    LZ4_FRAME = "x-lz4-frame"


class TunnelCodec(StrEnum):
    """Compression words of the tunnel, for whole bodies in both directions."""

    DEFLATE = "deflate"
    ZSTD = "zstd"
    LZ4_FRAME = "x-lz4-frame"
    #: The same, of clients that write Arrow.
    ODPS_LZ4_FRAME = "x-odps-lz4-frame"
    SNAPPY = "x-snappy-framed"


class ChecksumType(IntEnum):
    """What a blob's footer says about its data (wire.md §11.2): nothing, zlib's CRC-32, or MD5."""

    NONE = 0
    CRC32 = 1
    MD5 = 2
