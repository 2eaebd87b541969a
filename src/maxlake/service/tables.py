"""Tables and partitions as the REST interface describes them (rest.md §3, §4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from maxlake.lake import commits, definitions, partitions, tables
from maxlake.lake.partitions import Partition
from maxlake.protocol.columns import TableSchema
from maxlake.protocol.errors import ErrorCode, NotFoundError
from maxlake.protocol.names import check_name
from maxlake.protocol.partitions import PartitionSpec, hive_path, parse_partition_spec, resolve
from maxlake.service.project import Project

__all__ = ["Partition", "Table", "get", "get_partition", "list_partitions", "list_schemas", "list_tables"]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with its current size; ``size`` in bytes on disk, ``lifecycle`` in days."""

    table_id: int
    schema: str
    name: str
    columns: TableSchema
    comment: str
    owner: str
    lifecycle: int | None
    properties: Mapping[str, str]
    primary_key: tuple[str, ...]
    created_at: datetime
    modified_at: datetime
    ddl_at: datetime
    record_count: int
    size: int
    file_count: int
    schema_version: int


def _described(connection: Connection, table: tables.Table) -> Table:
    size = tables.size(connection, table.table_id)
    return Table(
        table_id=table.table_id,
        schema=table.schema,
        name=table.name,
        columns=table.columns,
        comment=table.options.comment,
        owner=table.owner,
        lifecycle=table.options.lifecycle,
        properties=table.options.properties,
        primary_key=table.options.primary_key,
        created_at=table.created_at,
        modified_at=table.modified_at,
        ddl_at=table.ddl_at,
        record_count=size.record_count,
        size=size.bytes,
        file_count=size.file_count,
        schema_version=table.schema_version,
    )


def get(project: Project, schema: str, name: str) -> Table:
    """Return a table; raises ``NoSuchTable``."""
    with project.lake.database.read() as connection:
        return _described(connection, tables.get(connection, schema, name))


def list_tables(
    project: Project,
    schema: str,
    *,
    prefix: str,
    after: str,
    limit: int,
) -> list[Table]:
    """Return at most ``limit`` tables in name order, named ``prefix…`` and following ``after``."""
    with project.lake.database.read() as connection:
        found = tables.list_tables(connection, schema, prefix=prefix, after=after, limit=limit)
        return [_described(connection, table) for table in found]


def list_partitions(
    project: Project,
    schema: str,
    name: str,
    spec: PartitionSpec | None,
) -> list[Partition]:
    """Return the partitions a partial spec matches (all without one), sorted."""
    with project.lake.database.read() as connection:
        table = tables.get(connection, schema, name)
        values = resolve(spec or PartitionSpec(), table.partition_keys, complete=False)
        wanted = partitions.canonical(table, values)
        return [
            partition
            for partition in partitions.list_partitions(connection, table)
            if wanted.items() <= dict(partition.values).items()
        ]


def get_partition(project: Project, schema: str, name: str, spec: PartitionSpec) -> Partition:
    """Return one partition; raises ``NoSuchPartition``."""
    with project.lake.database.read() as connection:
        table = tables.get(connection, schema, name)
        resolve(spec, table.partition_keys, complete=True)
    found = list_partitions(project, schema, name, spec)
    if not found:
        raise NotFoundError(
            ErrorCode.NO_SUCH_PARTITION, f"partition {spec} does not exist", where=table.full_name
        )
    return found[0]


def one_partition(project: Project, schema: str, name: str, text: str) -> PartitionSpec:
    """Return the one partition a spec names, the empty spec where a table has none.

    Raises ``InvalidArgument`` for a spec that does not name exactly one, and ``NoSuchPartition``.
    """
    spec = parse_partition_spec(text)
    with project.lake.database.read() as connection:
        keys = tables.get(connection, schema, name).partition_keys
    resolve(spec, keys, complete=True)
    if keys:
        get_partition(project, schema, name, spec)
    return spec


def add_partition(project: Project, schema: str, name: str, text: str) -> None:
    """Create the partition a spec names, unless it exists; nothing where a table has none."""
    spec = parse_partition_spec(text)
    with project.lake.database.write() as connection:
        table = tables.get(connection, schema, name)
        values = partitions.canonical(table, resolve(spec, table.partition_keys, complete=True))
        hive_path(values)  # a value no path can carry is refused
        key = tuple(values.values())
        if key and not partitions.exists(connection, table, key):
            commits.add_partitions(connection, table, [key])


def create_schema(project: Project, name: str) -> None:
    """Create a schema; raises ``ObjectAlreadyExists``."""
    with project.lake.database.write() as connection:
        definitions.create_schema(connection, check_name(name, "schema"))


def drop_schema(project: Project, name: str) -> None:
    """Drop a schema; raises ``NoSuchSchema``, and an error for one that has tables."""
    with project.lake.database.write() as connection:
        definitions.drop_schema(connection, name)


def list_schemas(project: Project) -> list[str]:
    """Return the names of the project's schemas, sorted."""
    with project.lake.database.read() as connection:
        return tables.list_schemas(connection)
