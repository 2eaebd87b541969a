"""File lists: the living files of a table, kept in memory and brought up to date by what changed since.

Asking the catalog for 10,000 files and their partitions takes tens of milliseconds, for the handful that
came and went since the last time less than one.
"""

from __future__ import annotations

import threading
from bisect import insort
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, or_, select
from sqlalchemy import Table as SqlTable

from maxlake.lake import ducklake, foreign, partitions, snapshots
from maxlake.lake.database import chunks
from maxlake.lake.file_details import delete_detail, file_detail
from maxlake.lake.files import DeleteFile, ListedFile, PlannedFile
from maxlake.lake.partitions import PartitionKey
from maxlake.lake.tables import Table
from maxlake.protocol.errors import ConflictError

#: How much larger than its compressed file a file of unknown origin is taken to be.
GUESSED_COMPRESSION = 4
#: Files all lists of a project may hold together: about 200 MB of objects.
CAPACITY = 400_000

_GROUPS = msgspec.json.Decoder(tuple[tuple[int, int], ...])
_DELETED_GROUPS = msgspec.json.Decoder(tuple[int, ...])


def load(
    connection: Connection, table: Table, condition: ColumnElement[bool], deletes: ColumnElement[bool]
) -> list[ListedFile]:
    """Return the files of a table that fulfil ``condition``, in no order.

    ``deletes`` picks the delete file of each, at most one, or none (``false()``): its rows are taken off.
    Raises ``ChangedElsewhere`` for files another program added in ways we do not read.
    """
    file, removed = ducklake.data_file, ducklake.delete_file
    rows = connection.execute(
        select(
            file.c.data_file_id,
            file.c.begin_snapshot,
            file.c.path,
            file.c.record_count,
            file.c.file_size_bytes,
            file.c.row_id_start,
            file_detail.c.raw_size,
            file_detail.c.key,
            file_detail.c.bucket,
            file_detail.c.groups,
            file.c.partial_max,
            file_detail.c.updates,
            removed.c.delete_file_id,
            removed.c.path,
            removed.c.delete_count,
            delete_detail.c.groups,
            file.c.path_is_relative,
            file.c.mapping_id,
            file.c.encryption_key,
        )
        .outerjoin_from(file, file_detail, file_detail.c.data_file_id == file.c.data_file_id)
        .outerjoin(removed, and_(removed.c.data_file_id == file.c.data_file_id, deletes))
        .outerjoin(delete_detail, delete_detail.c.delete_file_id == removed.c.delete_file_id)
        .where(file.c.table_id == table.table_id, condition)
    ).all()
    foreign_keys = _foreign_keys(connection, table, [row[0] for row in rows if row[7] is None])
    keys = {text: partitions.decode_key(text) for text in {row[7] for row in rows} if text is not None}
    directory = str(table.path)
    listed: list[ListedFile] = []
    for row in rows:
        file_id, begin, path, count, size, row_id, raw_size, text, bucket, groups, partial, updates, *rest = (
            row
        )
        delete_file_id, delete_path, deleted, deleted_groups, *form = rest
        if text is None:
            _check_form(table, path, *form)
            key = foreign_keys[file_id]
        else:
            key = keys[text]
        planned = PlannedFile(
            f"{directory}/{path}",
            count,
            size * GUESSED_COMPRESSION if raw_size is None else raw_size,
            key,
            _GROUPS.decode(groups) if groups else (),
            bucket,
        )
        if delete_file_id is not None:
            gone = DeleteFile(f"{directory}/{delete_path}", deleted)
            by_group = _DELETED_GROUPS.decode(deleted_groups) if deleted_groups else ()
            planned = _without(planned, gone, by_group)
        listed.append(
            ListedFile(key, row_id or 0, file_id, begin, planned, partial, delete_file_id, bool(updates))
        )
    return listed


def _without(file: PlannedFile, gone: DeleteFile, by_group: Sequence[int]) -> PlannedFile:
    """Return a file as it is once rows are gone, so many of each row group."""
    left = file.record_count - gone.count
    return msgspec.structs.replace(
        file,
        record_count=left,
        raw_size=file.raw_size * left // max(file.record_count, 1),
        groups=tuple(
            (rows - fewer, size * (rows - fewer) // max(rows, 1))
            for (rows, size), fewer in zip(file.groups, by_group, strict=False)
        ),
        deletes=gone,
    )


def _check_form(
    table: Table, path: str, is_relative: bool, mapping_id: int | None, encryption_key: str | None
) -> None:
    """Refuse a file of another program that is elsewhere, encrypted, or read by names of columns."""
    if not is_relative or ".." in PurePosixPath(path).parts:
        done = f"added the file {path}, which is not in the table's directory"
    elif mapping_id is not None:
        done = f"added the file {path}, whose columns are known by name only"
    elif encryption_key is not None:
        done = f"encrypted the file {path}"
    else:
        return
    raise foreign.refused(table.full_name, done, "insert its rows with that program instead of the file")


def _foreign_keys(connection: Connection, table: Table, file_ids: list[int]) -> dict[int, PartitionKey]:
    """Return the partition keys of files by their ids; raise ``ChangedElsewhere`` if one has none."""
    keys: dict[int, PartitionKey] = {}
    for some in chunks(file_ids):
        found = partitions.file_keys(connection, table, ducklake.data_file.c.data_file_id.in_(some))
        for file_id in some:
            key = tuple(value for value in found.get(file_id, ()) if value is not None)
            if len(key) != len(table.partition_keys):
                raise foreign.refused(
                    table.full_name,
                    f"wrote rows with no value of a partition column ({', '.join(table.partition_keys)})",
                    "delete them with that program, and insert them with values",
                )
            keys[file_id] = key
    return keys


def living_at(snapshot_id: int, file: SqlTable = ducklake.data_file) -> ColumnElement[bool]:
    """Return the condition that a data file, or a delete file, belongs to a snapshot."""
    return and_(
        file.c.begin_snapshot <= snapshot_id,
        or_(file.c.end_snapshot.is_(None), file.c.end_snapshot > snapshot_id),
    )


@dataclass(frozen=True)
class _Known:
    """The files of a table as of a snapshot, in canonical order."""

    snapshot_id: int
    files: tuple[ListedFile, ...]


class FileLists:
    """The newest known file list of each table; thread-safe, bounded by :data:`CAPACITY`."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, _Known] = OrderedDict()
        self._lock = threading.Lock()

    def at(self, connection: Connection, table: Table, snapshot_id: int) -> tuple[ListedFile, ...]:
        """Return the files of a table at a kept snapshot, in canonical order.

        ``snapshot_id`` must not be newer than the state that ``connection`` sees. Raises ``ChangedElsewhere``
        for files that cannot be read, at that snapshot or at all.
        """
        with self._lock:
            known = self._known.get(table.table_id)
        if known is None or known.snapshot_id < _followed_since(connection):
            files = _listed(connection, table, snapshot_id)
        elif known.snapshot_id == snapshot_id:
            return known.files
        elif known.snapshot_id < snapshot_id:
            files = _updated(connection, table, known, snapshot_id)
        else:  # the past is asked for once
            return _listed(connection, table, snapshot_id)
        self._remember(table.table_id, _Known(snapshot_id, files))
        return files

    def _remember(self, table_id: int, now: _Known) -> None:
        with self._lock:
            known = self._known.get(table_id)
            if known is None or known.snapshot_id < now.snapshot_id:
                self._known[table_id] = now
            self._known.move_to_end(table_id)
            held = sum(len(entry.files) for entry in self._known.values())
            while held > CAPACITY and len(self._known) > 1:
                _, evicted = self._known.popitem(last=False)
                held -= len(evicted.files)


def _followed_since(connection: Connection) -> int:
    """Return the snapshot since which a list can be brought up to date.

    What ended before the oldest snapshot is forgotten, and other programs give files that come late an early
    ``begin_snapshot``, and remove the rows of those they merged.
    """
    return max(snapshots.oldest_kept(connection), snapshots.last_foreign(connection))


def _listed(connection: Connection, table: Table, snapshot_id: int) -> tuple[ListedFile, ...]:
    deletes = living_at(snapshot_id, ducklake.delete_file)
    files = sorted(load(connection, table, living_at(snapshot_id), deletes))
    if any(listed.partial_max is not None and listed.partial_max > snapshot_id for listed in files):
        raise later_rows(table)
    return tuple(files)


def later_rows(table: Table) -> ConflictError:
    """Return the error for a file with rows of several versions, not all of them wanted."""
    return foreign.refused(
        table.full_name, "merged files of this version with files of later ones", "read a newer version"
    )


def _updated(connection: Connection, table: Table, known: _Known, snapshot_id: int) -> tuple[ListedFile, ...]:
    file, removed = ducklake.data_file, ducklake.delete_file

    def since(snapshot: ColumnElement[int]) -> ColumnElement[bool]:
        return and_(snapshot > known.snapshot_id, snapshot <= snapshot_id)

    ended = set(
        connection.execute(
            select(file.c.data_file_id).where(file.c.table_id == table.table_id, since(file.c.end_snapshot))
        ).scalars()
    )
    fewer = select(removed.c.data_file_id).where(
        removed.c.table_id == table.table_id, since(removed.c.begin_snapshot)
    )
    changed = or_(since(file.c.begin_snapshot), file.c.data_file_id.in_(fewer))
    deletes = living_at(snapshot_id, removed)
    now = load(connection, table, and_(changed, living_at(snapshot_id)), deletes)
    if not ended and not now:
        return known.files
    gone = ended.union(listed.file_id for listed in now)
    return _merged((listed for listed in known.files if listed.file_id not in gone), now)


def _merged(kept: Iterable[ListedFile], added: list[ListedFile]) -> tuple[ListedFile, ...]:
    files = list(kept)
    if len(added) > len(files) // 8:
        return tuple(sorted([*files, *added]))
    for listed in added:
        insort(files, listed)
    return tuple(files)
