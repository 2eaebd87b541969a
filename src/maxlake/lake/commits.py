"""The commit: parts become files of a new snapshot, in the caller's transaction (design.md §4, step 5)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, insert, select, update

from maxlake.lake import blob_uses, ducklake, partitions, tables
from maxlake.lake.database import chunks
from maxlake.lake.file_details import delete_detail, file_detail
from maxlake.lake.files import ListedFile
from maxlake.lake.partitions import PartitionKey
from maxlake.lake.parts import Part
from maxlake.lake.snapshots import Snapshot, next_snapshot
from maxlake.lake.tables import Table


@dataclass(frozen=True, kw_only=True)
class NewDeleteFile:
    """A durable delete file no snapshot names yet; ``path`` is below the table's directory, sizes in bytes.

    It lists ``count`` rows of a data file, all that are gone, of which ``added`` go with it, ``updated`` of
    these by an update. ``groups`` counts the gone rows of each row group where there are several.
    """

    data_file_id: int
    key: PartitionKey
    path: str
    count: int
    added: int
    updated: int
    file_size: int
    footer_size: int
    groups: tuple[int, ...] = ()


def commit(
    connection: Connection,
    table: Table,
    parts: Sequence[Part],
    *,
    replaced: Collection[PartitionKey] = (),
    updates: Sequence[Part] = (),
    deletes: Sequence[NewDeleteFile] = (),
) -> None:
    """Change the rows of a table, as one snapshot: one that changes nothing is not made.

    Files of the ``replaced`` partitions end (the key of an unpartitioned table is ``()``), and rows in
    ``deletes`` go; ``parts`` come, and ``updates``, which are new values of rows that go.
    """
    if not (parts or replaced or updates or deletes):
        return
    snapshot = next_snapshot(connection)
    if replaced:
        _end_partitions(connection, snapshot, table, replaced)
    for some, are_updates in ((updates, True), (parts, False)):
        if some:
            _insert_files(connection, snapshot, table, some, updates=are_updates)
    if parts or updates:
        snapshot.changes.append(f"inserted_into_table:{table.table_id}")
    if deletes:
        _insert_delete_files(connection, snapshot, table, deletes)
    if deletes or replaced:
        snapshot.changes.append(f"deleted_from_table:{table.table_id}")
    if table.partition_keys:
        changed = {each.key for each in (*parts, *updates, *deletes)} | set(replaced)
        partitions.add(connection, table, changed, snapshot)
    tables.touch(connection, table, snapshot)
    snapshot.save(connection)


def _insert_delete_files(
    connection: Connection, snapshot: Snapshot, table: Table, deletes: Sequence[NewDeleteFile]
) -> None:
    """Add delete files, each in the place of the one its data file had."""
    removed = ducklake.delete_file
    for some in chunks([each.data_file_id for each in deletes]):
        connection.execute(
            update(removed)
            .where(removed.c.data_file_id.in_(some), removed.c.end_snapshot.is_(None))
            .values(end_snapshot=snapshot.snapshot_id)
        )
    pairs = list(zip(snapshot.new_file_ids(len(deletes)), deletes, strict=True))
    connection.execute(
        insert(removed),
        [
            {
                "delete_file_id": delete_file_id,
                "table_id": table.table_id,
                "begin_snapshot": snapshot.snapshot_id,
                "data_file_id": each.data_file_id,
                "path": each.path,
                "path_is_relative": True,
                "format": "parquet",
                "delete_count": each.count,
                "file_size_bytes": each.file_size,
                "footer_size": each.footer_size,
            }
            for delete_file_id, each in pairs
        ],
    )
    connection.execute(
        insert(delete_detail),
        [
            {
                "delete_file_id": delete_file_id,
                "added": each.added,
                "updated": each.updated,
                "groups": msgspec.json.encode(each.groups).decode() if each.groups else None,
            }
            for delete_file_id, each in pairs
        ],
    )


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
    snapshot.changes.append(f"deleted_from_table:{table.table_id}")
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
    _end_files(connection, snapshot, [file_id for file_id in living if known.get(file_id, ()) in keys])


def _end_files(connection: Connection, snapshot: Snapshot, file_ids: Sequence[int]) -> None:
    """End data files and their delete files."""
    for kind in (ducklake.data_file, ducklake.delete_file):
        for some in chunks(file_ids):
            connection.execute(
                update(kind)
                .where(kind.c.data_file_id.in_(some), kind.c.end_snapshot.is_(None))
                .values(end_snapshot=snapshot.snapshot_id)
            )


def replace_files(
    connection: Connection, table: Table, sources: Sequence[ListedFile], part: Part | None
) -> bool:
    """Put one file in the place of living ones with the same rows, as one snapshot: no row changes.

    No part stands for files without rows. Nothing is done, and False returned, unless all files still live
    with the same rows deleted, and the table's definition is that of ``table``.
    """
    file, removed = ducklake.data_file, ducklake.delete_file
    now = tables.get_by_id(connection, table.table_id)
    if now is None or now.schema_version != table.schema_version:
        return False
    wanted = {entry.file_id: entry.delete_file_id for entry in sources}
    found: dict[int, int | None] = {}
    size = 0
    for some in chunks(list(wanted)):
        for file_id, stored, delete_file_id in connection.execute(
            select(file.c.data_file_id, file.c.file_size_bytes, removed.c.delete_file_id)
            .outerjoin_from(
                file,
                removed,
                and_(removed.c.data_file_id == file.c.data_file_id, removed.c.end_snapshot.is_(None)),
            )
            .where(file.c.data_file_id.in_(some), file.c.end_snapshot.is_(None))
        ):
            found[file_id] = delete_file_id
            size += stored
    if found != wanted:
        return False
    snapshot = next_snapshot(connection)
    _end_files(connection, snapshot, list(wanted))
    if part is not None:
        row_id_start = sources[0].row_id_start
        row = _file_row(snapshot, table, part, row_id_start, _partition_id(connection, table))
        connection.execute(insert(file), row)
        _insert_details(connection, table, [row["data_file_id"]], [part], rewrite=True)
        size -= part.file_size
    stats = ducklake.table_stats
    connection.execute(
        update(stats)
        .where(stats.c.table_id == table.table_id)
        .values(file_size_bytes=stats.c.file_size_bytes - size)
    )
    snapshot.changes.append(f"merge_adjacent:{table.table_id}")
    snapshot.save(connection)
    return True


def _insert_files(
    connection: Connection, snapshot: Snapshot, table: Table, parts: Sequence[Part], *, updates: bool
) -> None:
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
    file_ids = [file["data_file_id"] for file in files]
    _insert_details(connection, table, file_ids, parts, updates=updates)
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
    updates: bool = False,
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
                "updates": updates,
            }
            for file_id, part in pairs
        ],
    )
    blob_uses.record(connection, [(file_id, part.blobs) for file_id, part in pairs])
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
