"""The statements the service understands, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from maxlake.protocol.partitions import PartitionSpec
from maxlake.protocol.types.model import OdpsType


@dataclass(frozen=True, slots=True)
class TableName:
    """A table as it was written. With two parts the first is the project, as PyODPS writes it."""

    project: str | None
    schema: str | None
    name: str


@dataclass(frozen=True, slots=True)
class SchemaName:
    """A schema as it was written."""

    project: str | None
    name: str


@dataclass(frozen=True, slots=True)
class ColumnDefinition:
    """A column; ``default`` is the text of its default value, None if it has none."""

    name: str
    type: OdpsType
    nullable: bool = True
    comment: str | None = None
    default: str | None = None


@dataclass(frozen=True, slots=True)
class SortKey:
    """A column of SORTED BY."""

    name: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class CreateTable:
    """``CREATE TABLE``. ``lifecycle`` is in days, None without; so is ``buckets``."""

    table: TableName
    columns: tuple[ColumnDefinition, ...]
    partition_columns: tuple[ColumnDefinition, ...] = ()
    if_not_exists: bool = False
    comment: str | None = None
    lifecycle: int | None = None
    properties: Mapping[str, str] = field(default_factory=dict[str, str])
    primary_key: tuple[str, ...] = ()
    clustered_by: tuple[str, ...] = ()
    sorted_by: tuple[SortKey, ...] = ()
    buckets: int | None = None


@dataclass(frozen=True, slots=True)
class DropTable:
    """``DROP TABLE``."""

    table: TableName
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class AddPartitions:
    """``ALTER TABLE ... ADD PARTITION``, one or several."""

    table: TableName
    specs: tuple[PartitionSpec, ...]
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class DropPartitions:
    """``ALTER TABLE ... DROP PARTITION``, one or several."""

    table: TableName
    specs: tuple[PartitionSpec, ...]
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class AddColumns:
    """``ALTER TABLE ... ADD COLUMNS``."""

    table: TableName
    columns: tuple[ColumnDefinition, ...]
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class DropColumns:
    """``ALTER TABLE ... DROP COLUMNS``, one or several."""

    table: TableName
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChangeColumn:
    """``ALTER TABLE ... CHANGE COLUMN`` and ``RENAME COLUMN``; None leaves a property as it is."""

    table: TableName
    name: str
    new_name: str | None = None
    type: OdpsType | None = None
    nullable: bool | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class RenameTable:
    """``ALTER TABLE ... RENAME TO``; the new name has no project or schema."""

    table: TableName
    new_name: str


@dataclass(frozen=True, slots=True)
class SetLifecycle:
    """``ALTER TABLE ... SET LIFECYCLE``, in days."""

    table: TableName
    lifecycle: int


@dataclass(frozen=True, slots=True)
class SetComment:
    """``ALTER TABLE ... SET COMMENT``."""

    table: TableName
    comment: str


@dataclass(frozen=True, slots=True)
class CreateSchema:
    """``CREATE SCHEMA``."""

    schema: SchemaName
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class DropSchema:
    """``DROP SCHEMA``."""

    schema: SchemaName
    if_exists: bool = False


AlterTable = (
    AddPartitions
    | DropPartitions
    | AddColumns
    | DropColumns
    | ChangeColumn
    | RenameTable
    | SetLifecycle
    | SetComment
)
Statement = CreateTable | DropTable | AlterTable | CreateSchema | DropSchema
