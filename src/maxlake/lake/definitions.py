"""Changes of definitions: schemas, tables and the partitioning DuckLake knows of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, exists, insert, select, update

from maxlake.lake import ducklake, foreign, tables
from maxlake.lake.buckets import check_clustering, has_one_form
from maxlake.lake.partitions import PartitionKey, encode_key
from maxlake.lake.partitions import partition as partition_table
from maxlake.lake.snapshots import Snapshot, new_uuid, next_snapshot, quoted
from maxlake.lake.tables import StoredColumn, Table, TableOptions, table_detail
from maxlake.protocol.columns import Column, TableSchema
from maxlake.protocol.errors import ConflictError, ErrorCode, invalid_argument
from maxlake.protocol.targets import DEFAULT_SCHEMA
from maxlake.protocol.types.defaults import canonical_default, ducklake_default
from maxlake.protocol.types.storage import DuckLakeColumn, check_storable, ducklake_columns
from maxlake.protocol.types.text import parse_type


def create_table(
    connection: Connection,
    schema: str,
    name: str,
    columns: TableSchema,
    options: TableOptions,
    owner: str,
    *,
    directory: str | None = None,
) -> Table:
    """Create a table in a snapshot of its own; its files lie in ``directory`` of the schema's.

    Raises ``ObjectAlreadyExists``, ``NoSuchSchema``, and ``InvalidArgument`` for types that cannot be stored,
    defaults that are no value of their column, and a clustering or primary key that cannot be.
    """
    schema, name = schema.lower(), name.lower()
    tables.check_schema(connection, schema)
    if tables.find(connection, schema, name):
        raise ConflictError(ErrorCode.ALREADY_EXISTS, f"table {schema}.{name} already exists")
    foreign.check_name(connection, schema, name)
    check_clustering(columns, options.clustered_by, options.buckets)
    columns = _keyed(columns, options.primary_key)
    data = number_columns(columns.columns, 1)
    first_key = data[-1].field_id + len(catalog_columns(data[-1]))
    keys = number_columns(columns.partition_columns, first_key, partition=True)
    _forget_dropped(connection, schema, name)
    snapshot = next_snapshot(connection)
    table_id = snapshot.new_catalog_id()
    path = PurePosixPath(schema) / (directory or f"{name}-{table_id}")
    _insert_table(connection, snapshot, table_id, schema, name, path)
    insert_columns(connection, snapshot, table_id, (*data, *keys))
    if keys:
        _insert_partitioning(connection, snapshot, table_id, keys)
    connection.execute(
        insert(ducklake.table_stats).values(
            table_id=table_id, record_count=0, next_row_id=0, file_size_bytes=0
        )
    )
    connection.execute(
        insert(table_detail).values(
            table_id=table_id,
            schema_name=schema,
            table_name=name,
            path=str(path),
            columns=tables.encode_columns((*data, *keys)),
            options=msgspec.json.encode(options).decode(),
            owner=owner,
            created_at=snapshot.time,
            modified_at=snapshot.time,
            ddl_at=snapshot.time,
            schema_version=0,
            created_snapshot=snapshot.snapshot_id,
            latest_snapshot=snapshot.snapshot_id,
        )
    )
    snapshot.changes.append(f"created_table:{quoted(schema)}.{quoted(name)}")
    snapshot.change_schema(connection, table_id)
    snapshot.save(connection)
    return tables.get(connection, schema, name)


def _keyed(columns: TableSchema, primary_key: Sequence[str]) -> TableSchema:
    """Return the columns, those of the primary key NOT NULL; ``InvalidArgument`` if they cannot be one."""
    names = {columns.column(name).name for name in primary_key}
    for column in columns.all_columns:
        if column.name in names and column in columns.partition_columns:
            raise invalid_argument(
                f"partition column {column.name!r} is part of every key: leave it out of PRIMARY KEY"
            )
        if column.name in names and not has_one_form(column.type):
            raise invalid_argument(
                f"column {column.name!r} of type {column.type} cannot be in PRIMARY KEY; use an integer, "
                "boolean, decimal, text, date or time type"
            )
    data = (replace(each, nullable=each.nullable and each.name not in names) for each in columns.columns)
    return TableSchema(tuple(data), columns.partition_columns)


def _insert_table(
    connection: Connection, snapshot: Snapshot, table_id: int, schema: str, name: str, path: PurePosixPath
) -> None:
    schema_id = connection.execute(
        select(ducklake.schema.c.schema_id).where(
            ducklake.schema.c.schema_name == schema, ducklake.schema.c.end_snapshot.is_(None)
        )
    ).scalar_one()
    connection.execute(
        insert(ducklake.table).values(
            table_id=table_id,
            table_uuid=new_uuid(),
            begin_snapshot=snapshot.snapshot_id,
            schema_id=schema_id,
            table_name=name,
            path=f"{path.name}/",
            path_is_relative=True,
        )
    )


def number_columns(
    columns: Sequence[Column], first_field_id: int, *, partition: bool = False
) -> list[StoredColumn]:
    """Return columns as they are stored, each with the field ids its type takes, from ``first_field_id`` on.

    Raises ``InvalidArgument`` for types that cannot be stored and for defaults that are no value of theirs.
    """
    stored: list[StoredColumn] = []
    for column in columns:
        check_storable(column.type)
        default = None if column.default is None else canonical_default(column.default, column.type)
        numbered = StoredColumn(
            name=column.name,
            type=str(column.type),
            nullable=column.nullable,
            comment=column.comment,
            column_id=column.column_id,
            default=default,
            field_id=first_field_id,
            partition=partition,
        )
        stored.append(numbered)
        first_field_id += len(catalog_columns(numbered))
    return stored


def catalog_columns(column: StoredColumn) -> list[DuckLakeColumn]:
    """Return what ``ducklake_column`` has of a column: itself and the types nested in it."""
    return ducklake_columns(column.name, parse_type(column.type), column.nullable, column.field_id)


def insert_columns(
    connection: Connection, snapshot: Snapshot, table_id: int, columns: Iterable[StoredColumn]
) -> None:
    """Write the catalog rows of new columns; their default is also that of rows older than they."""
    rows: list[dict[str, Any]] = []
    for column in columns:
        default = (
            None if column.default is None else ducklake_default(column.default, parse_type(column.type))
        )
        rows.extend(
            {
                "column_id": part.column_id,
                "begin_snapshot": snapshot.snapshot_id,
                "table_id": table_id,
                "column_order": part.column_id,
                "column_name": part.name,
                "column_type": part.column_type,
                "initial_default": default,
                "default_value": "NULL" if default is None else default,
                "nulls_allowed": part.nulls_allowed,
                "parent_column": part.parent_column,
                "default_value_type": "literal",
                "default_value_dialect": "duckdb",
            }
            for part in catalog_columns(column)
        )
    connection.execute(insert(ducklake.column), rows)


def forget_bounds(connection: Connection) -> None:
    """Leave the bounds of whole tables unknown, whatever another program took them to be.

    Programs that read without them read right; where there are none, INSERTs of others add none. (Empty ones
    would become those of a single INSERT, and hide all rows before it.) Those of dropped columns stay: they
    tell which ids were in use.
    """
    column, stats = ducklake.column, ducklake.table_column_stats
    living = exists().where(
        column.c.table_id == stats.c.table_id,
        column.c.column_id == stats.c.column_id,
        column.c.end_snapshot.is_(None),
    )
    connection.execute(delete(stats).where(living))


def _insert_partitioning(
    connection: Connection,
    snapshot: Snapshot,
    table_id: int,
    keys: Iterable[StoredColumn],
) -> None:
    partition_id = snapshot.new_catalog_id()
    connection.execute(
        insert(ducklake.partition_info).values(
            partition_id=partition_id, table_id=table_id, begin_snapshot=snapshot.snapshot_id
        )
    )
    connection.execute(
        insert(ducklake.partition_column),
        [
            {
                "partition_id": partition_id,
                "table_id": table_id,
                "partition_key_index": index,
                "column_id": key.field_id,
                "transform": "identity",
            }
            for index, key in enumerate(keys)
        ],
    )


def _end(connection: Connection, snapshot: Snapshot, kinds: Iterable[Any], table_id: int) -> None:
    for kind in kinds:
        connection.execute(
            update(kind)
            .where(kind.c.table_id == table_id, kind.c.end_snapshot.is_(None))
            .values(end_snapshot=snapshot.snapshot_id)
        )


def drop_table(connection: Connection, table: Table) -> None:
    """Drop a table. Sessions that pinned its files go on reading them."""
    snapshot = next_snapshot(connection)
    _end(
        connection,
        snapshot,
        (
            ducklake.table,
            ducklake.column,
            ducklake.data_file,
            ducklake.delete_file,
            ducklake.partition_info,
        ),
        table.table_id,
    )
    _forget(connection, table.table_id)
    snapshot.changes.append(f"dropped_table:{table.table_id}")
    snapshot.schema_version += 1
    snapshot.save(connection)


def _forget(connection: Connection, table_id: int) -> None:
    """Remove what only we know of a table."""
    for kind in (partition_table, tables.table_change, table_detail):
        connection.execute(delete(kind).where(kind.c.table_id == table_id))


def _forget_dropped(connection: Connection, schema: str, name: str) -> None:
    """Let go of the name of a table that another program dropped."""
    detail = table_detail
    dropped = select(detail.c.table_id).where(detail.c.schema_name == schema, detail.c.table_name == name)
    for table_id in connection.execute(dropped).scalars().all():
        _forget(connection, table_id)


def set_options(connection: Connection, table: Table, options: TableOptions) -> None:
    """Change what only we know of a table; its rows and its version stay."""
    connection.execute(
        update(table_detail)
        .where(table_detail.c.table_id == table.table_id)
        .values(options=msgspec.json.encode(options).decode(), ddl_at=datetime.now(UTC))
    )


def set_owner(connection: Connection, table: Table, owner: str) -> None:
    """Name the owner of a table."""
    connection.execute(
        update(table_detail)
        .where(table_detail.c.table_id == table.table_id)
        .values(owner=owner, ddl_at=datetime.now(UTC))
    )


def touch(connection: Connection, table: Table, keys: Iterable[PartitionKey]) -> None:
    """Let a table, and partitions of it, count as changed now; its version stays."""
    now = datetime.now(UTC)
    connection.execute(
        update(table_detail).where(table_detail.c.table_id == table.table_id).values(modified_at=now)
    )
    for key in keys:
        connection.execute(
            update(partition_table)
            .where(partition_table.c.table_id == table.table_id, partition_table.c.key == encode_key(key))
            .values(modified_at=now)
        )


def create_schema(connection: Connection, name: str) -> None:
    """Create a schema; raises ``ObjectAlreadyExists``."""
    name = name.lower()
    if name in (*tables.list_schemas(connection), "main"):
        raise ConflictError(ErrorCode.ALREADY_EXISTS, f"schema {name} already exists")
    snapshot = next_snapshot(connection)
    connection.execute(
        insert(ducklake.schema).values(
            schema_id=snapshot.new_catalog_id(),
            schema_uuid=new_uuid(),
            begin_snapshot=snapshot.snapshot_id,
            schema_name=name,
            path=f"{name}/",
            path_is_relative=True,
        )
    )
    snapshot.changes.append(f"created_schema:{quoted(name)}")
    snapshot.schema_version += 1
    snapshot.save(connection)


def drop_schema(connection: Connection, name: str) -> None:
    """Drop an empty schema.

    Raises ``NoSuchSchema``, and ``InvalidArgument`` while it holds tables, or for the default schema.
    """
    name = name.lower()
    tables.check_schema(connection, name)
    if name == DEFAULT_SCHEMA:
        raise invalid_argument(f"schema {name} cannot be dropped: tables named without a schema live there")
    row = connection.execute(
        select(ducklake.schema.c.schema_id).where(
            ducklake.schema.c.schema_name == name, ducklake.schema.c.end_snapshot.is_(None)
        )
    ).scalar_one()
    held = ducklake.table
    living = select(held.c.table_id).where(held.c.schema_id == row, held.c.end_snapshot.is_(None))
    if connection.execute(living.limit(1)).first():
        raise invalid_argument(f"schema {name} still holds tables; drop them first")
    snapshot = next_snapshot(connection)
    connection.execute(
        update(ducklake.schema)
        .where(ducklake.schema.c.schema_id == row)
        .values(end_snapshot=snapshot.snapshot_id)
    )
    snapshot.changes.append(f"dropped_schema:{row}")
    snapshot.schema_version += 1
    snapshot.save(connection)
