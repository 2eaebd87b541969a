"""Tables as the catalog describes them, and what DuckLake cannot say about them (design.md §3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePosixPath

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Connection, Index, String, func, insert, select, update
from sqlalchemy import Column as SqlColumn
from sqlalchemy import Table as SqlTable

from maxlake.lake import ducklake, foreign
from maxlake.lake.database import AnyRow, Instant, metadata
from maxlake.lake.snapshots import LAST_FOREIGN, Snapshot
from maxlake.protocol.columns import Column, TableSchema
from maxlake.protocol.errors import ErrorCode, NotFoundError
from maxlake.protocol.types.text import parse_type

#: One row a living table, beside its row in ``ducklake_table``; changed in the same transactions.
table_detail = SqlTable(
    "maxlake_table",
    metadata,
    SqlColumn("table_id", BigInteger, primary_key=True, autoincrement=False),
    SqlColumn("schema_name", String, nullable=False),
    SqlColumn("table_name", String, nullable=False),
    SqlColumn("path", String, nullable=False),
    SqlColumn("columns", String, nullable=False),
    SqlColumn("options", String, nullable=False),
    SqlColumn("owner", String, nullable=False),
    SqlColumn("created_at", Instant, nullable=False),
    SqlColumn("modified_at", Instant, nullable=False),
    SqlColumn("ddl_at", Instant, nullable=False),
    SqlColumn("schema_version", BigInteger, nullable=False),
    SqlColumn("created_snapshot", BigInteger, nullable=False),
    SqlColumn("latest_snapshot", BigInteger, nullable=False),
    Index("maxlake_table_name", "schema_name", "table_name", unique=True),
)
#: One row a snapshot that changed rows or partitions of a table; of those up to the oldest kept snapshot just
#: the last, since which the table was the same.
table_change = SqlTable(
    "maxlake_table_change",
    metadata,
    SqlColumn("table_id", BigInteger, primary_key=True, autoincrement=False),
    SqlColumn("snapshot_id", BigInteger, primary_key=True, autoincrement=False),
)
Index("maxlake_column_table", ducklake.column.c.table_id)
Index("maxlake_data_file_table", ducklake.data_file.c.table_id, ducklake.data_file.c.end_snapshot)
Index("maxlake_data_file_begin", ducklake.data_file.c.table_id, ducklake.data_file.c.begin_snapshot)
Index("maxlake_file_partition", ducklake.file_partition_value.c.data_file_id)
Index("maxlake_file_stats", ducklake.file_column_stats.c.data_file_id, ducklake.file_column_stats.c.column_id)


class TableOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the CREATE TABLE statement declared beside the columns."""

    comment: str = ""
    lifecycle: int | None = None
    properties: dict[str, str] = {}
    primary_key: tuple[str, ...] = ()
    clustered_by: tuple[str, ...] = ()
    sorted_by: tuple[str, ...] = ()
    buckets: int | None = None


class StoredColumn(msgspec.Struct, frozen=True, kw_only=True):
    """One top-level column as ``maxlake_table.columns`` keeps it, with its first Parquet field id.

    Files older than the column have no such field: their rows have ``initial_default`` (None is NULL).
    """

    name: str
    type: str
    nullable: bool
    comment: str
    column_id: int
    default: str | None
    field_id: int
    partition: bool
    initial_default: str | None = None

    @property
    def column(self) -> Column:
        """The column without what lies at rest."""
        return Column(
            name=self.name,
            type=parse_type(self.type),
            nullable=self.nullable,
            comment=self.comment,
            column_id=self.column_id,
            default=self.default,
        )


@dataclass(frozen=True, kw_only=True)
class Table:
    """One living table; ``latest_snapshot`` is the last snapshot that changed it, or a later one of others.

    ``stored`` has every column by its name, data columns first.
    """

    table_id: int
    schema: str
    name: str
    path: PurePosixPath
    columns: TableSchema
    stored: Mapping[str, StoredColumn]
    options: TableOptions
    owner: str
    created_at: datetime
    modified_at: datetime
    ddl_at: datetime
    schema_version: int
    created_snapshot: int
    latest_snapshot: int

    @property
    def full_name(self) -> str:
        """``schema.name``, for messages."""
        return f"{self.schema}.{self.name}"

    @property
    def partition_keys(self) -> tuple[str, ...]:
        """Names of the partition columns, in order."""
        return tuple(column.name for column in self.columns.partition_columns)


# Made before threads are: msgspec crashes where two make the decoder of a type at once.
_COLUMNS = msgspec.json.Decoder(list[StoredColumn])
_OPTIONS = msgspec.json.Decoder(TableOptions)


def encode_columns(stored: Iterable[StoredColumn]) -> str:
    """Return the text of ``maxlake_table.columns``: data columns, then partition columns."""
    return msgspec.json.encode(list(stored)).decode()


def _table(row: AnyRow) -> Table:
    stored = _COLUMNS.decode(row.columns)
    return Table(
        table_id=row.table_id,
        schema=row.schema_name,
        name=row.table_name,
        path=PurePosixPath(row.path),
        columns=TableSchema(
            columns=tuple(column.column for column in stored if not column.partition),
            partition_columns=tuple(column.column for column in stored if column.partition),
        ),
        stored={column.name: column for column in stored},
        options=_OPTIONS.decode(row.options),
        owner=row.owner,
        created_at=row.created_at,
        modified_at=row.modified_at,
        ddl_at=row.ddl_at,
        schema_version=row.schema_version,
        created_snapshot=row.created_snapshot,
        latest_snapshot=row.latest_snapshot,
    )


def check_schema(connection: Connection, schema: str) -> None:
    """Raise ``NoSuchSchema`` unless the schema exists."""
    if schema.lower() not in list_schemas(connection):
        raise NotFoundError(ErrorCode.NO_SUCH_SCHEMA, f"schema {schema!r} does not exist")


def list_schemas(connection: Connection) -> list[str]:
    """Return the names of the living schemas, sorted; DuckDB's own ``main`` is not one of ours."""
    rows = connection.execute(
        select(ducklake.schema.c.schema_name).where(ducklake.schema.c.end_snapshot.is_(None))
    ).scalars()
    return sorted(name for name in rows if name != "main")


def find(connection: Connection, schema: str, name: str) -> Table | None:
    """Return the living table of this name (case-insensitive), or None.

    Raises ``ChangedElsewhere`` when another program changed its definition.
    """
    named = (table_detail.c.schema_name == schema.lower()) & (table_detail.c.table_name == name.lower())
    return _living(connection, named)


def _living(connection: Connection, which: ColumnElement[bool]) -> Table | None:
    """Return a table unless another program dropped it; raise ``ChangedElsewhere`` if it changed it."""
    found = connection.execute(select(table_detail, LAST_FOREIGN).where(which)).one_or_none()
    if found is None:
        return None
    table, last_foreign = _table(found), found[-1]
    if last_foreign <= table.latest_snapshot:
        return table
    if not foreign.still_lives(connection, table):
        return None
    return replace(table, latest_snapshot=last_foreign)


def get(connection: Connection, schema: str, name: str) -> Table:
    """Return the living table of this name; raise ``NoSuchTable`` (or ``NoSuchSchema``)."""
    found = find(connection, schema, name)
    if found is None:
        check_schema(connection, schema)
        raise NotFoundError(ErrorCode.NO_SUCH_TABLE, f"table {schema}.{name} does not exist")
    return found


def get_by_id(connection: Connection, table_id: int) -> Table | None:
    """Return the living table with this id, or None when it was dropped."""
    return _living(connection, table_detail.c.table_id == table_id)


def list_tables(
    connection: Connection, schema: str, *, prefix: str = "", after: str = "", limit: int = 1000
) -> list[Table]:
    """Return at most ``limit`` tables in name order, named ``prefix…`` and following ``after``."""
    check_schema(connection, schema)
    living = select(ducklake.table.c.table_id).where(ducklake.table.c.end_snapshot.is_(None))
    rows = connection.execute(
        select(table_detail)
        .where(
            table_detail.c.table_id.in_(living),
            table_detail.c.schema_name == schema.lower(),
            table_detail.c.table_name.startswith(prefix.lower(), autoescape=True),
            table_detail.c.table_name > after,
        )
        .order_by(table_detail.c.table_name)
        .limit(limit)
    )
    return [_table(row) for row in rows]


def touch(connection: Connection, table: Table, snapshot: Snapshot) -> None:
    """Note that a snapshot changed the table's rows or partitions."""
    connection.execute(
        update(table_detail)
        .where(table_detail.c.table_id == table.table_id)
        .values(modified_at=snapshot.time, latest_snapshot=snapshot.snapshot_id)
    )
    connection.execute(insert(table_change).values(table_id=table.table_id, snapshot_id=snapshot.snapshot_id))


def last_change(connection: Connection, table: Table, snapshot_id: int) -> int:
    """Return the last snapshot of ours up to ``snapshot_id`` that changed the table's rows, 0 for none."""
    found = connection.execute(
        select(func.max(table_change.c.snapshot_id)).where(
            table_change.c.table_id == table.table_id, table_change.c.snapshot_id <= snapshot_id
        )
    ).scalar_one()
    return found or 0


@dataclass(frozen=True)
class Size:
    """Rows, bytes on disk and files of a table or partition."""

    record_count: int
    bytes: int
    file_count: int


def size(connection: Connection, table_id: int) -> Size:
    """Return the current size of a table."""
    file, removed = ducklake.data_file, ducklake.delete_file
    rows, stored, files = connection.execute(
        select(
            func.coalesce(func.sum(file.c.record_count), 0),
            func.coalesce(func.sum(file.c.file_size_bytes), 0),
            func.count(),
        ).where(file.c.table_id == table_id, file.c.end_snapshot.is_(None))
    ).one()
    gone = connection.execute(
        select(func.coalesce(func.sum(removed.c.delete_count), 0)).where(
            removed.c.table_id == table_id, removed.c.end_snapshot.is_(None)
        )
    ).scalar_one()
    return Size(int(rows) - int(gone), int(stored), int(files))
