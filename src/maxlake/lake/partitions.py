"""Partitions of tables: DuckLake knows values of files, we know which partitions exist, empty ones too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec
import pyarrow as pa
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    String,
    and_,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy import Table as SqlTable

from maxlake.lake import ducklake
from maxlake.lake.database import Instant, metadata
from maxlake.lake.snapshots import Snapshot
from maxlake.lake.tables import Table
from maxlake.protocol.errors import BadRequestError, invalid_argument
from maxlake.protocol.types.ingest import to_storage
from maxlake.protocol.types.model import Char, Varchar
from maxlake.protocol.types.storage import storage_type

#: ``key`` is the JSON list of the partition's values in column order.
partition = SqlTable(
    "maxlake_partition",
    metadata,
    Column("table_id", BigInteger, primary_key=True, autoincrement=False),
    Column("key", String, primary_key=True),
    Column("created_at", Instant, nullable=False),
    Column("modified_at", Instant, nullable=False),
)

PartitionKey = tuple[str, ...]
_KEY = msgspec.json.Decoder(PartitionKey)


@dataclass(frozen=True, kw_only=True)
class Partition:
    """One partition; ``values`` by partition column, ``size`` in bytes on disk."""

    values: Mapping[str, str]
    created_at: datetime
    modified_at: datetime
    record_count: int
    size: int


def encode_key(key: PartitionKey) -> str:
    """Return the text of ``maxlake_partition.key``."""
    return msgspec.json.encode(key).decode()


def decode_key(text: str) -> PartitionKey:
    """Undo :func:`encode_key`."""
    return _KEY.decode(text)


def canonical(table: Table, values: Mapping[str, str]) -> dict[str, str]:
    """Return partition values as files carry them: ``007`` of a bigint key is ``7``.

    Raises ``InvalidArgument`` for text that is no value of the key's type, or too long for it.
    """
    result: dict[str, str] = {}
    for name, text in values.items():
        kind = table.columns.column(name).type
        try:
            value = pa.array([text]).cast(storage_type(kind))
            if isinstance(kind, Char | Varchar):
                value = to_storage(value, kind, where=f"partition column {name!r}")
            result[name] = str(value[0].as_py())
        except (pa.ArrowInvalid, OverflowError, BadRequestError) as error:
            raise invalid_argument(
                f"{text!r} is no {kind}, the type of partition column {name!r}", where=table.full_name
            ) from error
    return result


def list_partitions(connection: Connection, table: Table) -> list[Partition]:
    """Return all partitions of a table, sorted by their values."""
    sizes: dict[tuple[str | None, ...], tuple[int, int]] = {}
    for key, rows, size in _file_sizes(connection, table):
        before = sizes.get(key, (0, 0))
        sizes[key] = (before[0] + rows, before[1] + size)
    found = connection.execute(select(partition).where(partition.c.table_id == table.table_id))
    listed: list[Partition] = []
    for row in found:
        key = decode_key(row.key)
        rows, size = sizes.get(key, (0, 0))
        listed.append(
            Partition(
                values=dict(zip(table.partition_keys, key, strict=True)),
                created_at=row.created_at,
                modified_at=row.modified_at,
                record_count=rows,
                size=size,
            )
        )
    return sorted(listed, key=lambda item: tuple(item.values.values()))


def _file_sizes(connection: Connection, table: Table) -> Iterable[tuple[tuple[str | None, ...], int, int]]:
    file, removed = ducklake.data_file, ducklake.delete_file
    rows = connection.execute(
        select(
            file.c.data_file_id,
            file.c.record_count - func.coalesce(removed.c.delete_count, 0),
            file.c.file_size_bytes,
        )
        .outerjoin_from(
            file,
            removed,
            and_(removed.c.data_file_id == file.c.data_file_id, removed.c.end_snapshot.is_(None)),
        )
        .where(file.c.table_id == table.table_id, file.c.end_snapshot.is_(None))
    ).all()
    keys = file_keys(connection, table, file.c.end_snapshot.is_(None))
    for file_id, count, size in rows:
        yield keys.get(file_id, ()), count, size


def file_keys(
    connection: Connection, table: Table, condition: ColumnElement[bool]
) -> dict[int, tuple[str | None, ...]]:
    """Return the partition keys of the files of a table that fulfil ``condition``.

    Files of tables without partitions are left out: their key is ``()``. Other programs may write None.
    """
    if not table.partition_keys:
        return {}
    file, value = ducklake.data_file, ducklake.file_partition_value
    keys: dict[int, tuple[str | None, ...]] = {}
    for file_id, text in connection.execute(
        select(value.c.data_file_id, value.c.partition_value)
        .join_from(file, value, value.c.data_file_id == file.c.data_file_id)
        .where(file.c.table_id == table.table_id, condition)
        .order_by(value.c.data_file_id, value.c.partition_key_index)
    ):
        keys[file_id] = (*keys.get(file_id, ()), text)
    return keys


def exists(connection: Connection, table: Table, key: PartitionKey) -> bool:
    """Tell whether the partition exists."""
    return (
        connection.execute(
            select(partition.c.key).where(
                partition.c.table_id == table.table_id, partition.c.key == encode_key(key)
            )
        ).scalar_one_or_none()
        is not None
    )


def add(connection: Connection, table: Table, keys: Iterable[PartitionKey], snapshot: Snapshot) -> None:
    """Note that these partitions exist and were changed by ``snapshot``."""
    for key in keys:
        changed = connection.execute(
            update(partition)
            .where(partition.c.table_id == table.table_id, partition.c.key == encode_key(key))
            .values(modified_at=snapshot.time)
        )
        if not changed.rowcount:
            connection.execute(
                insert(partition).values(
                    table_id=table.table_id,
                    key=encode_key(key),
                    created_at=snapshot.time,
                    modified_at=snapshot.time,
                )
            )


def remove(connection: Connection, table: Table, key: PartitionKey) -> None:
    """Forget a partition; its files are ended by the caller."""
    connection.execute(
        delete(partition).where(partition.c.table_id == table.table_id, partition.c.key == encode_key(key))
    )
