"""Cleanup: files that no kept snapshot and no pin names lose their rows first, then their place on disk.

In between they stand in ``ducklake_files_scheduled_for_deletion``, for the next run to take up what was cut.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from sqlalchemy import Column, Connection, delete, func, insert, select, true
from sqlalchemy import Table as SqlTable

from maxlake.failpoints import MaintenancePoint, reach
from maxlake.lake import ducklake
from maxlake.lake.blob_uses import blob_use
from maxlake.lake.database import Database
from maxlake.lake.file_details import delete_detail, file_detail, removal
from maxlake.lake.lake import Lake

_log = logging.getLogger(__name__)

#: Files whose rows one transaction removes: with the statistics of a hundred columns, tens of milliseconds.
FILES_AT_ONCE = 200


class Pin(NamedTuple):
    """A reader of a table's versions ``first`` to ``last``: their files, and those in between, must stay."""

    table_id: int
    first: int
    last: int


@dataclass(frozen=True)
class CatalogFile:
    """A data or delete file. ``path`` is below the data directory if ``relative``."""

    file_id: int
    kind: SqlTable
    path: str
    relative: bool
    stored_bytes: int


def unneeded(connection: Connection, oldest: int, pins: Collection[Pin]) -> list[CatalogFile]:
    """Return the files that ended at ``oldest``, the oldest snapshot kept, or before, and no pin names.

    Delete files come first: with a data file go the rows of those it still has.
    They stay unneeded: no new pin may be older than the oldest snapshot.
    """
    ranges: defaultdict[int, set[tuple[int, int]]] = defaultdict(set)
    for pin in pins:
        if pin.first < oldest:
            ranges[pin.table_id].add((pin.first, pin.last))
    directories = table_directories(connection)
    found: list[CatalogFile] = []
    for kind in (ducklake.delete_file, ducklake.data_file):
        for row in connection.execute(
            select(
                _file_id(kind),
                kind.c.table_id,
                kind.c.begin_snapshot,
                kind.c.end_snapshot,
                kind.c.path,
                kind.c.path_is_relative,
                func.coalesce(kind.c.file_size_bytes, 0),
            ).where(kind.c.end_snapshot <= oldest)
        ):
            file_id, table_id, begin, end, path, relative, size = row
            if any(begin <= last and end > first for first, last in ranges[table_id]):
                continue
            directory, directory_is_relative = directories[table_id]
            whole = f"{directory}{path}" if relative else path
            found.append(CatalogFile(file_id, kind, whole, relative and directory_is_relative, size))
    return found


def _file_id(kind: SqlTable) -> Column[int]:
    return kind.c.data_file_id if kind is ducklake.data_file else kind.c.delete_file_id


def table_directories(connection: Connection) -> dict[int, tuple[str, bool]]:
    """Return the directory of every table the catalog knows, with a slash, and if it is below the data's."""
    named, schema = ducklake.table, ducklake.schema
    rows = connection.execute(
        select(
            named.c.table_id, schema.c.path, schema.c.path_is_relative, named.c.path, named.c.path_is_relative
        ).join_from(named, schema, schema.c.schema_id == named.c.schema_id)
    )
    return {
        table_id: (f"{above}{path}", above_is_relative) if relative else (path, False)
        for table_id, above, above_is_relative, path, relative in rows
    }


def remove(lake: Lake, files: Sequence[CatalogFile]) -> list[CatalogFile]:
    """Remove files that :func:`unneeded` found; return them but for those another run was faster with."""
    removed: list[CatalogFile] = []
    for start in range(0, len(files), FILES_AT_ONCE):
        some = _schedule(lake.database, files[start : start + FILES_AT_ONCE])
        reach(MaintenancePoint.AFTER_SCHEDULE_TRANSACTION)
        remove_scheduled(lake, [file.path for file in some if file.relative])
        removed += some
    return removed


def _schedule(database: Database, files: Sequence[CatalogFile]) -> list[CatalogFile]:
    """Remove the rows of files and note that the files are to go; return those whose rows were there."""
    scheduled: list[CatalogFile] = []
    with database.write() as connection:
        for kind in (ducklake.delete_file, ducklake.data_file):
            ids = {file.file_id: file for file in files if file.kind is kind}
            there = connection.execute(select(_file_id(kind)).where(_file_id(kind).in_(ids))).scalars().all()
            scheduled += [ids[file_id] for file_id in there]
            connection.execute(delete(kind).where(_file_id(kind).in_(there)))
            if kind is ducklake.data_file:
                _forget(connection, there)
        known = select(ducklake.delete_file.c.delete_file_id)
        connection.execute(delete(delete_detail).where(delete_detail.c.delete_file_id.not_in(known)))
        if scheduled:
            now = datetime.now(UTC)
            connection.execute(
                insert(ducklake.files_scheduled_for_deletion),
                [
                    {
                        "data_file_id": file.file_id,
                        "path": file.path,
                        "path_is_relative": file.relative,
                        "schedule_start": now,
                    }
                    for file in scheduled
                ],
            )
            connection.execute(insert(removal), [{"path": file.path} for file in scheduled if file.relative])
        reach(MaintenancePoint.BEFORE_SCHEDULE_TRANSACTION)
    return scheduled


def _forget(connection: Connection, file_ids: Sequence[int]) -> None:
    for kind in (
        file_detail,
        blob_use,
        ducklake.file_column_stats,
        ducklake.file_variant_stats,
        ducklake.file_partition_value,
        ducklake.delete_file,
    ):
        connection.execute(delete(kind).where(kind.c.data_file_id.in_(file_ids)))


def left_scheduled(connection: Connection, pins: Collection[Pin]) -> list[str]:
    """Return the paths that a run which was cut, or another program, has left to be removed.

    The other program knew of no pins: what it left goes once all pins are of later snapshots.
    """
    scheduled, snapshot = ducklake.files_scheduled_for_deletion, ducklake.snapshot
    unpinned = scheduled.c.path.in_(select(removal.c.path))
    oldest = min((pin.last for pin in pins), default=None)
    if oldest is None:
        unpinned = true()
    else:
        time = connection.execute(
            select(snapshot.c.snapshot_time).where(snapshot.c.snapshot_id == oldest)
        ).scalar_one_or_none()
        if time is not None:
            unpinned |= scheduled.c.schedule_start < time
    below = scheduled.c.path_is_relative == True  # noqa: E712 - SQL
    return list(connection.execute(select(scheduled.c.path).where(below, unpinned)).scalars())


def remove_scheduled(lake: Lake, paths: Sequence[str]) -> None:
    """Remove scheduled files, and then the note that they are to go."""
    scheduled = ducklake.files_scheduled_for_deletion
    for start in range(0, len(paths), FILES_AT_ONCE):
        some = paths[start : start + FILES_AT_ONCE]
        gone = [path for path in some if remove_file(lake.data, path)]
        reach(MaintenancePoint.AFTER_FILE_REMOVAL)
        with lake.database.write() as connection:
            for kind in (scheduled, removal):
                connection.execute(delete(kind).where(kind.c.path.in_(gone)))
        reach(MaintenancePoint.AFTER_REMOVAL_TRANSACTION)


def remove_file(data: Path, path: str) -> bool:
    """Remove a file of the data directory; tell whether it is gone.

    Left alone are paths that lead out of the directory, through links too, and what cannot be removed.
    """
    below = PurePosixPath(path)
    place = data / below
    if below.is_absolute() or ".." in below.parts or place.parent.resolve() != data.resolve() / below.parent:
        _log.warning("not removed, outside of the data directory: %r", path)
        return False
    try:
        place.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("not removed: %r: %s", path, error.strerror)
        return False
    return True
