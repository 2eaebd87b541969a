"""The table a statement writes to: which of its columns and partitions, and whether it may."""

from __future__ import annotations

from sqlalchemy import Connection

from maxlake.lake import commits, partitions
from maxlake.lake.partitions import PartitionKey
from maxlake.lake.sql.jobs import Done
from maxlake.lake.tables import Table
from maxlake.protocol.errors import BadRequestError, ConflictError, ErrorCode, NotFoundError, invalid_argument
from maxlake.protocol.partitions import PartitionSpec, hive_path, resolve
from maxlake.protocol.sql.changes import changed_columns
from maxlake.protocol.sql.model import Change, Insert, RenamePartition


def check_change(target: Table, change: Change) -> None:
    """Raise unless rows of the table can be changed so."""
    if not target.options.primary_key:
        raise BadRequestError(
            ErrorCode.SEMANTIC_ERROR,
            "UPDATE, DELETE and MERGE need a table with a primary key; INSERT OVERWRITE replaces others",
            where=target.full_name,
        )
    keys = {name.lower() for name in (*target.options.primary_key, *target.partition_keys)}
    if moved := keys & changed_columns(change):
        raise BadRequestError(
            ErrorCode.SEMANTIC_ERROR,
            f"{sorted(moved)[0]} tells rows apart and cannot be changed: delete the row and insert another",
            where=target.full_name,
        )


def partition_key(target: Table, spec: PartitionSpec) -> PartitionKey:
    """Return the partition a whole spec names; raises ``InvalidArgument`` for a value no path can carry."""
    values = partitions.canonical(target, resolve(spec, target.partition_keys, complete=True))
    hive_path(values)
    return tuple(values.values())


def check_exists(connection: Connection, target: Table, key: PartitionKey) -> None:
    """Raise ``NoSuchPartition`` unless the table has the partition."""
    if not partitions.exists(connection, target, key):
        raise NotFoundError(
            ErrorCode.NO_SUCH_PARTITION, "the partition does not exist", where=target.full_name
        )


def check_new(connection: Connection, target: Table, key: PartitionKey) -> None:
    """Raise ``ObjectAlreadyExists`` if the table has the partition."""
    if partitions.exists(connection, target, key):
        raise ConflictError(ErrorCode.ALREADY_EXISTS, "the partition exists already", where=target.full_name)


def check_rename(connection: Connection, target: Table, statement: RenamePartition) -> None:
    """Raise unless the one partition exists, and the other does not."""
    check_exists(connection, target, partition_key(target, statement.old))
    check_new(connection, target, partition_key(target, statement.new))


def rename_partition(connection: Connection, target: Table, statement: RenamePartition) -> None:
    """Let the new partition exist, even without rows, and the old one no more."""
    commits.drop_partitions(connection, target, [partition_key(target, statement.old)])
    new = partition_key(target, statement.new)
    if not partitions.exists(connection, target, new):
        commits.add_partitions(connection, target, [new])


def check_unaltered(now: Table | None, target: Table) -> None:
    """Raise ``CommitConflict`` if the table is another than the statement was planned for."""
    if now is None or now.schema_version != target.schema_version:
        raise ConflictError(
            ErrorCode.COMMIT_CONFLICT,
            "the table was altered or dropped while the statement ran; run it again",
            where=target.full_name,
        )


def has_changed(now: Table | None, target: Table) -> bool:
    """Tell whether rows came or went since the statement was planned."""
    return now is None or now.latest_snapshot != target.latest_snapshot


def given(target: Table, statement: Insert) -> tuple[str, ...]:
    """Return the table's columns that the query computes, in its order."""
    known = {column.name.lower(): column.name for column in target.columns.all_columns}
    keys = {key.lower() for key in target.partition_keys}
    for name in (*statement.columns, *statement.dynamic):
        if name.lower() not in known:
            raise BadRequestError(
                ErrorCode.SEMANTIC_ERROR, f"the table has no column {name!r}", where=target.full_name
            )
    for name in statement.dynamic:
        if name.lower() not in keys:
            raise invalid_argument(f"{name} is no partition column", where=target.full_name)
    names = statement.columns or tuple(column.name for column in target.columns.columns)
    static = {key.lower() for key in statement.partition.keys}
    dynamic = statement.dynamic
    if not dynamic:  # the keys that have no value come last
        taken = {name.lower() for name in names} | static
        dynamic = tuple(key for key in target.partition_keys if key.lower() not in taken)
    computed = tuple(known[name.lower()] for name in (*names, *dynamic))
    missing = keys - static - {name.lower() for name in computed}
    if missing or static & {name.lower() for name in computed}:
        raise invalid_argument(
            f"every partition column needs a value, once: {', '.join(target.partition_keys)}",
            where=target.full_name,
        )
    return computed


def fixed(target: Table, spec: PartitionSpec) -> dict[str, str]:
    """Return the values of static partition columns, as partitions carry them."""
    return partitions.canonical(target, resolve(spec, target.partition_keys, complete=False))


def replaced(target: Table, statement: Insert, done: Done) -> set[PartitionKey]:
    """Return the partitions an OVERWRITE replaces: the static one, else those that rows came for."""
    if not statement.overwrite:
        return set()
    values = fixed(target, statement.partition)
    if len(values) == len(target.partition_keys):
        return {tuple(values.values())}
    return {part.key for part in done.parts}
