"""The commit: parts become files of a new snapshot, in the caller's transaction (design.md §4, step 5)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Connection, String, func, insert, select, update
from sqlalchemy import Table as SqlTable

from maxlake.lake import ducklake, partitions, tables
from maxlake.lake.database import chunks, metadata
from maxlake.lake.partitions import PartitionKey
from maxlake.lake.parts import Part
from maxlake.lake.snapshots import Snapshot, next_snapshot
from maxlake.lake.tables import Table

#: What DuckLake does not keep about a file: its size in memory and that of its row groups (JSON; none where
#: there is but one), which splits are balanced by, its partition key in one piece, its bucket, and whether
#: its rows came from other files (compaction).
file_detail = SqlTable(
    "maxlake_file",
    metadata,
    Column("data_file_id", BigInteger, primary_key=True, autoincrement=False),
    Column("raw_size", BigInteger, nullable=False),
    Column("key", String, nullable=False),
    Column("bucket", BigInteger),
    Column("groups", String),
    Column("rewrite", Boolean, nullable=False),
)

#: The files scheduled for deletion by us, below the data directory: that no session reads them was checked.
removal = SqlTable("maxlake_removal", metadata, Column("path", String, primary_key=True))


def commit(
    connection: Connection, table: Table, parts: Sequence[Part], *, replaced: Collection[PartitionKey] = ()
) -> None:
    """Add parts to a table and end the files of the ``replaced`` partitions, as one snapshot.

    The key of an unpartitioned table is ``()``. A commit that changes nothing makes no snapshot.
    """
    if not parts and not replaced:
        return
    snapshot = next_snapshot(connection)
    if replaced:
        _end_partitions(connection, snapshot, table, replaced)
    if parts:
        _insert_files(connection, snapshot, table, parts)
        snapshot.changes.append(f"inserted_into_table:{table.table_id}")
    if table.partition_keys:
        partitions.add(connection, table, {part.key for part in parts} | set(replaced), snapshot)
    tables.touch(connection, table, snapshot)
    snapshot.save(connection)


def add_partitions(connection: Connection, table: Table, keys: Collection[PartitionKey]) -> None:
    """Create empty partitions, as one snapshot."""
    snapshot = next_snapshot(connection)
    partitions.add(connection, table, keys, snapshot)
    snapshot.changes.append(f"altered_table:{table.table_id}")
    tables.touch(connection, table, snapshot)
    snapshot.save(connection)


def drop_partitions(connection: Connection, table: Table, keys: Collection[PartitionKey]) -> None:
    """Drop partitions and their rows, as one snapshot."""
    snapshot = next_snapshot(connection)
    _end_partitions(connection, snapshot, table, keys)
    for key in keys:
        partitions.remove(connection, table, key)
    tables.touch(connection, table, snapshot)
    snapshot.save(connection)


def _end_partitions(
    connection: Connection, snapshot: Snapshot, table: Table, keys: Collection[PartitionKey]
) -> None:
    file = ducklake.data_file
    known = partitions.file_keys(connection, table, file.c.end_snapshot.is_(None))
    living = connection.execute(
        select(file.c.data_file_id).where(file.c.table_id == table.table_id, file.c.end_snapshot.is_(None))
    ).scalars()
    ended = [file_id for file_id in living if known.get(file_id, ()) in keys]
    for kind in (file, ducklake.delete_file):
        for some in chunks(ended):
            connection.execute(
                update(kind)
                .where(kind.c.data_file_id.in_(some), kind.c.end_snapshot.is_(None))
                .values(end_snapshot=snapshot.snapshot_id)
            )
    snapshot.changes.append(f"deleted_from_table:{table.table_id}")


def replace_files(
    connection: Connection, table: Table, file_ids: Sequence[int], part: Part, row_id_start: int
) -> bool:
    """Put one file in the place of living ones with the same rows, as one snapshot: no row changes.

    Nothing is done, and False returned, unless all files still live without deleted rows, and the table's
    definition is that of ``table``.
    """
    file, removed = ducklake.data_file, ducklake.delete_file
    now = tables.get_by_id(connection, table.table_id)
    if now is None or now.schema_version != table.schema_version:
        return False
    count = size = 0
    for some in chunks(file_ids):
        living, stored = connection.execute(
            select(func.count(), func.coalesce(func.sum(file.c.file_size_bytes), 0)).where(
                file.c.data_file_id.in_(some), file.c.end_snapshot.is_(None)
            )
        ).one()
        if connection.execute(
            select(removed.c.data_file_id)
            .where(removed.c.data_file_id.in_(some), removed.c.end_snapshot.is_(None))
            .limit(1)
        ).first():
            return False
        count, size = count + living, size + int(stored)
    if count != len(file_ids):
        return False
    snapshot = next_snapshot(connection)
    for some in chunks(file_ids):
        connection.execute(
            update(file).where(file.c.data_file_id.in_(some)).values(end_snapshot=snapshot.snapshot_id)
        )
    row = _file_row(snapshot, table, part, row_id_start, _partition_id(connection, table))
    connection.execute(insert(file), row)
    _insert_details(connection, table, [row["data_file_id"]], [part], rewrite=True)
    stats = ducklake.table_stats
    connection.execute(
        update(stats)
        .where(stats.c.table_id == table.table_id)
        .values(file_size_bytes=stats.c.file_size_bytes + part.file_size - size)
    )
    snapshot.changes.append(f"merge_adjacent:{table.table_id}")
    snapshot.save(connection)
    return True


def _insert_files(connection: Connection, snapshot: Snapshot, table: Table, parts: Sequence[Part]) -> None:
    stats = connection.execute(
        select(ducklake.table_stats).where(ducklake.table_stats.c.table_id == table.table_id)
    ).one()
    partition_id = _partition_id(connection, table)
    files: list[dict[str, Any]] = []
    row_id = stats.next_row_id
    for part in parts:
        files.append(_file_row(snapshot, table, part, row_id, partition_id))
        row_id += part.record_count
    connection.execute(insert(ducklake.data_file), files)
    _insert_details(connection, table, [file["data_file_id"] for file in files], parts)
    connection.execute(
        update(ducklake.table_stats)
        .where(ducklake.table_stats.c.table_id == table.table_id)
        .values(
            record_count=stats.record_count + row_id - stats.next_row_id,
            next_row_id=row_id,
            file_size_bytes=stats.file_size_bytes + sum(part.file_size for part in parts),
        )
    )


def _partition_id(connection: Connection, table: Table) -> int | None:
    return connection.execute(
        select(ducklake.partition_info.c.partition_id).where(
            ducklake.partition_info.c.table_id == table.table_id,
            ducklake.partition_info.c.end_snapshot.is_(None),
        )
    ).scalar_one_or_none()


def _file_row(
    snapshot: Snapshot, table: Table, part: Part, row_id_start: int, partition_id: int | None
) -> dict[str, Any]:
    return {
        "data_file_id": snapshot.new_file_ids(1)[0],
        "table_id": table.table_id,
        "begin_snapshot": snapshot.snapshot_id,
        "path": part.path,
        "path_is_relative": True,
        "file_format": "parquet",
        "record_count": part.record_count,
        "file_size_bytes": part.file_size,
        "footer_size": part.footer_size,
        "row_id_start": row_id_start,
        "partition_id": partition_id,
    }


def _insert_details(
    connection: Connection,
    table: Table,
    file_ids: Sequence[int],
    parts: Sequence[Part],
    *,
    rewrite: bool = False,
) -> None:
    pairs = list(zip(file_ids, parts, strict=True))
    connection.execute(
        insert(file_detail),
        [
            {
                "data_file_id": file_id,
                "raw_size": part.raw_size,
                "key": partitions.encode_key(part.key),
                "bucket": part.bucket,
                "groups": msgspec.json.encode(part.groups).decode() if part.groups else None,
                "rewrite": rewrite,
            }
            for file_id, part in pairs
        ],
    )
    statistics = [
        {
            "data_file_id": file_id,
            "table_id": table.table_id,
            "column_id": column.column_id,
            "column_size_bytes": column.size,
            "value_count": column.value_count,
            "null_count": column.null_count,
            "min_value": column.minimum,
            "max_value": column.maximum,
        }
        for file_id, part in pairs
        for column in part.statistics
    ]
    if statistics:
        connection.execute(insert(ducklake.file_column_stats), statistics)
    values = [
        {
            "data_file_id": file_id,
            "table_id": table.table_id,
            "partition_key_index": index,
            "partition_value": value,
        }
        for file_id, part in pairs
        for index, value in enumerate(part.key)
    ]
    if values:
        connection.execute(insert(ducklake.file_partition_value), values)
