"""Sessions of the tunnel, as PyODPS reads them (rest.md §8.1). The members of a schema are in lower case."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from maxlake.protocol.limits import MAX_FIELD_SIZE
from maxlake.protocol.messages.base import Message


class TunnelStatus(StrEnum):
    """What may be done with a session: read or write, nothing more, nothing any more."""

    NORMAL = "normal"
    CLOSED = "closed"
    EXPIRED = "expired"


class TunnelColumn(msgspec.Struct, frozen=True, kw_only=True):
    """A column; ``type`` is type text."""

    name: str
    type: str
    column_id: str
    comment: str = ""
    default_value: str = ""
    nullable: bool = True


class TunnelSchema(Message, frozen=True, kw_only=True):
    """The columns of a table or result. Rows have those that are no partition keys."""

    columns: tuple[TunnelColumn, ...] = msgspec.field(name="columns")
    partition_keys: tuple[TunnelColumn, ...] = msgspec.field(default=(), name="partitionKeys")
    is_virtual_view: bool = False


class TunnelSession(Message, frozen=True, kw_only=True):
    """What downloads and uploads have in common."""

    status: TunnelStatus
    schema: TunnelSchema
    owner: str
    quota_name: str = ""


class DownloadSession(TunnelSession, frozen=True, kw_only=True):
    """Rows that can be read by their numbers, from 0."""

    download_id: str = msgspec.field(name="DownloadID")
    record_count: int


class UploadedBlock(Message, frozen=True, kw_only=True):
    """A block that is stored."""

    block_id: int = msgspec.field(name="BlockID")


class UploadSession(TunnelSession, frozen=True, kw_only=True):
    """Blocks that become visible together."""

    upload_id: str = msgspec.field(name="UploadID")
    uploaded_block_list: tuple[UploadedBlock, ...] = ()
    max_field_size: int = MAX_FIELD_SIZE


class StreamUploadSession(msgspec.Struct, frozen=True, kw_only=True):
    """What rows are streamed to; in lower case, but for one member. A slot is its id and who serves it."""

    session_name: str
    schema: TunnelSchema
    schema_version: str
    slots: tuple[tuple[str, str], ...]
    status: TunnelStatus = TunnelStatus.NORMAL
    quota_name: str = msgspec.field(default="", name="QuotaName")


class UpsertStatus(StrEnum):
    """What may be done with an upsert session: write and commit, or nothing any more."""

    NORMAL = "NORMAL"
    COMMITTED = "COMMITTED"
    EXPIRED = "EXPIRED"
    ABORTED = "ABORTED"


class UpsertSlot(msgspec.Struct, frozen=True, kw_only=True):
    """Who takes the rows of some buckets; clients send them to the endpoint all the same."""

    slot_id: str
    worker_addr: str
    buckets: tuple[int, ...]


class UpsertSession(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that replace those of the same key, visible together. In lower case, as streams.

    A client sends each row to the bucket that ``hasher`` makes of ``hash_key``, those of a bucket in order.
    """

    id: str
    status: UpsertStatus
    schema: TunnelSchema
    slots: tuple[UpsertSlot, ...]
    hash_key: tuple[str, ...]
    hasher: str = "default"
    quota_name: str = ""
    enable_partial_update: bool = False
