"""Snapshots: one for every change of a project's tables. Their numbers are the versions clients see."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import BigInteger, Column, Connection, Table, case, func, insert, select, update

from maxlake.lake import ducklake
from maxlake.lake.database import metadata

#: One row: the newest snapshot of ours, and the newest that may be another program's (-1 for none). Unlike
#: marks of single snapshots it outlives their expiry, by whoever.
history = Table(
    "maxlake_history",
    metadata,
    Column("own_snapshot", BigInteger, nullable=False),
    Column("foreign_snapshot", BigInteger, nullable=False),
)
_NEWEST = select(func.max(ducklake.snapshot.c.snapshot_id)).scalar_subquery()
#: The newest snapshot that may be another program's: every snapshot of ours follows a known one.
LAST_FOREIGN = select(
    case((history.c.own_snapshot == _NEWEST, history.c.foreign_snapshot), else_=_NEWEST)
).scalar_subquery()


@dataclass
class Snapshot:
    """The snapshot a write transaction is making. Ids are allocated from it; :meth:`save` writes it."""

    snapshot_id: int
    time: datetime
    schema_version: int
    next_catalog_id: int
    next_file_id: int
    changes: list[str] = field(default_factory=list[str])

    def new_catalog_id(self) -> int:
        """Allocate an id for a schema, table or partitioning."""
        self.next_catalog_id += 1
        return self.next_catalog_id - 1

    def new_file_ids(self, count: int) -> range:
        """Allocate ids for data files."""
        first = self.next_file_id
        self.next_file_id += count
        return range(first, first + count)

    def change_schema(self, connection: Connection, table_id: int) -> None:
        """Note that this snapshot changes the definition of a table."""
        self.schema_version += 1
        connection.execute(
            insert(ducklake.schema_versions).values(
                begin_snapshot=self.snapshot_id, schema_version=self.schema_version, table_id=table_id
            )
        )

    def save(self, connection: Connection) -> None:
        """Write the snapshot; the last statement of every change."""
        connection.execute(
            insert(ducklake.snapshot).values(
                snapshot_id=self.snapshot_id,
                snapshot_time=self.time,
                schema_version=self.schema_version,
                next_catalog_id=self.next_catalog_id,
                next_file_id=self.next_file_id,
            )
        )
        connection.execute(
            insert(ducklake.snapshot_changes).values(
                snapshot_id=self.snapshot_id, changes_made=",".join(self.changes)
            )
        )
        before = self.snapshot_id - 1
        connection.execute(
            update(history).values(
                foreign_snapshot=case(
                    (history.c.own_snapshot == before, history.c.foreign_snapshot), else_=before
                ),
                own_snapshot=self.snapshot_id,
            )
        )


def next_snapshot(connection: Connection) -> Snapshot:
    """Begin the next snapshot inside a write transaction."""
    row = connection.execute(
        select(ducklake.snapshot).order_by(ducklake.snapshot.c.snapshot_id.desc()).limit(1)
    ).one()
    return Snapshot(
        snapshot_id=row.snapshot_id + 1,
        time=datetime.now(UTC),
        schema_version=row.schema_version,
        next_catalog_id=row.next_catalog_id,
        next_file_id=row.next_file_id,
    )


def latest(connection: Connection) -> int:
    """Return the number of the newest snapshot."""
    return connection.execute(select(func.max(ducklake.snapshot.c.snapshot_id))).scalar_one()


def oldest_kept(connection: Connection) -> int:
    """Return the number of the oldest snapshot that has not expired: files that ended before are gone."""
    return connection.execute(select(func.min(ducklake.snapshot.c.snapshot_id))).scalar_one()


def begin_history(connection: Connection) -> None:
    """Begin to tell our snapshots from those of others; all there are before may be theirs."""
    if connection.execute(select(history)).first():
        return
    newest = connection.execute(select(func.coalesce(_NEWEST, -1))).scalar_one()
    connection.execute(insert(history).values(own_snapshot=newest, foreign_snapshot=newest))


def last_foreign(connection: Connection) -> int:
    """Return the newest snapshot that may be another program's, -1 for none."""
    return connection.execute(select(LAST_FOREIGN)).scalar_one()


def all_kept(connection: Connection, first: int, last: int) -> bool:
    """Tell whether no snapshot from ``first`` to ``last`` has expired; programs can pick some in between."""
    number = ducklake.snapshot.c.snapshot_id
    kept = select(func.count()).select_from(ducklake.snapshot).where(number.between(first, last))
    return connection.execute(kept).scalar_one() == last - first + 1


def at_time(connection: Connection, time: datetime) -> int | None:
    """Return the last kept snapshot at or before a time, None before the oldest."""
    return connection.execute(
        select(func.max(ducklake.snapshot.c.snapshot_id)).where(ducklake.snapshot.c.snapshot_time <= time)
    ).scalar_one()


def new_uuid() -> str:
    """Return a fresh UUID as DuckLake stores it."""
    return str(uuid.uuid4())


def quoted(name: str) -> str:
    """Quote a name for ``changes_made``."""
    return '"' + name.replace('"', '""') + '"'
