"""The two shapes in which columns travel: ReadSchema (wire.md §4.6) and WriteSchema (wire.md §4.7)."""

from __future__ import annotations

from maxlake.protocol.limits import MAX_FIELD_SIZE
from maxlake.protocol.messages.base import Message


class ReadColumn(Message, frozen=True, kw_only=True):
    """One column a session returns; ``type`` is type text. Java wants all five keys, none null."""

    name: str
    type: str
    comment: str = ""
    nullable: bool = True
    column_id: int


class ReadSchema(Message, frozen=True, kw_only=True):
    """The columns a session returns, in their order. ``blob_columns`` are names."""

    data_columns: tuple[ReadColumn, ...]
    partition_columns: tuple[ReadColumn, ...]
    system_columns: tuple[ReadColumn, ...] = ()
    blob_columns: tuple[str, ...] = ()


class ColumnType(Message, frozen=True, kw_only=True):
    """A node of a type tree; ``type`` is the code of wire.md §4.7, ``sub_types`` what is nested in it."""

    type: int
    member_name: str
    column_id: int
    nullable: bool = True
    precision: int = 0
    scale: int = 0
    specified_length: int = 0
    sub_types: tuple[ColumnType, ...] = ()
    has_default_value: bool = False
    default_value: str = ""
    is_distribution_key: bool = False


class WriteColumn(Message, frozen=True, kw_only=True, rename="camel"):
    """One column an upload may carry; its keys alone are in camel case."""

    column_type: ColumnType
    comment: str = ""
    label: str = ""
    extended_labels: tuple[str, ...] = ()


class ColumnName(Message, frozen=True, kw_only=True):
    """Name and type text, as the documented V2 client reads them."""

    name: str
    type: str


class WriteSchema(Message, frozen=True, kw_only=True):
    """The columns of a table as writers see it; ``max_field_size`` in bytes."""

    data_columns: tuple[WriteColumn, ...]
    partition_columns: tuple[WriteColumn, ...] = ()
    system_columns: tuple[WriteColumn, ...] = ()
    max_field_size: int = MAX_FIELD_SIZE
    columns: tuple[ColumnName, ...] = ()
