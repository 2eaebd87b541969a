"""The statements the service understands, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from maxlake.protocol.errors import Place
from maxlake.protocol.partitions import PartitionSpec
from maxlake.protocol.types.model import OdpsType


@dataclass(frozen=True, slots=True)
class TableName:
    """A table as it was written. With two parts the first is the project, as PyODPS writes it."""

    project: str | None
    schema: str | None
    name: str
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class TableScan:
    """A table where a query reads it. ``scan`` is its name in the DuckDB text.

    ``conditions`` are predicates in ODPS SQL that all rows it contributes fulfil, as far as that is plain:
    files without such rows need not be read.
    """

    scan: str
    table: TableName
    conditions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """A query that was understood. ``tree`` is its DuckDB form, ``text`` that written out."""

    scans: tuple[TableScan, ...]
    tree: exp.Expr = field(repr=False, compare=False)
    text: str


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
class SetOwner:
    """``ALTER TABLE ... CHANGEOWNER TO``."""

    table: TableName
    owner: str


@dataclass(frozen=True, slots=True)
class Touch:
    """``ALTER TABLE ... TOUCH``: the table, or a partition of it, counts as changed now."""

    table: TableName
    partition: PartitionSpec | None = None


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


@dataclass(frozen=True, slots=True)
class CreateTableLike:
    """``CREATE TABLE ... LIKE``: the columns and clauses of another table, none of its rows."""

    table: TableName
    like: TableName
    if_not_exists: bool = False
    lifecycle: int | None = None


@dataclass(frozen=True, slots=True)
class CreateTableAs:
    """``CREATE TABLE ... AS``: the columns and rows of a query."""

    table: TableName
    query: Query
    if_not_exists: bool = False
    comment: str | None = None
    lifecycle: int | None = None
    properties: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Insert:
    """``INSERT INTO`` and ``INSERT OVERWRITE``.

    ``partition`` has the values of static keys; those of ``dynamic`` keys are the last columns of the query,
    in order. ``columns`` are the other columns of the query, empty for all of the table's.
    """

    table: TableName
    query: Query
    overwrite: bool = False
    partition: PartitionSpec = field(default_factory=PartitionSpec)
    dynamic: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """``UPDATE``, ``DELETE`` or ``MERGE``; what it means depends on the table's columns (see ``changes``)."""

    table: TableName
    tree: exp.Expr = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class RenamePartition:
    """``ALTER TABLE ... PARTITION ... RENAME TO PARTITION``: its rows get other values of the keys."""

    table: TableName
    old: PartitionSpec
    new: PartitionSpec


@dataclass(frozen=True, slots=True)
class TruncateTable:
    """``TRUNCATE TABLE``, of the whole table or of some of its partitions."""

    table: TableName
    specs: tuple[PartitionSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class DescribeTable:
    """``DESC`` of a table, or of one of its partitions."""

    table: TableName
    partition: PartitionSpec | None = None
    extended: bool = False


@dataclass(frozen=True, slots=True)
class ShowTables:
    """``SHOW TABLES``; ``pattern`` has ``*`` for any text."""

    schema: str | None = None
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class ShowSchemas:
    """``SHOW SCHEMAS``."""


@dataclass(frozen=True, slots=True)
class ShowPartitions:
    """``SHOW PARTITIONS``, all or those a partial spec matches."""

    table: TableName
    partition: PartitionSpec | None = None


@dataclass(frozen=True, slots=True)
class ShowCreateTable:
    """``SHOW CREATE TABLE``."""

    table: TableName


AlterTable = (
    AddPartitions
    | DropPartitions
    | AddColumns
    | DropColumns
    | ChangeColumn
    | RenameTable
    | SetLifecycle
    | SetComment
    | SetOwner
    | Touch
)
#: Statements that read or write rows, which may take long.
RowStatement = Query | Insert | CreateTableAs | Change | RenamePartition
#: Statements that ask about tables; their answer is a text.
Question = DescribeTable | ShowTables | ShowSchemas | ShowPartitions | ShowCreateTable
#: Statements that change definitions, or drop rows, at once.
Definition = (
    CreateTable | CreateTableLike | DropTable | AlterTable | CreateSchema | DropSchema | TruncateTable
)
Statement = Definition | Question | RowStatement
