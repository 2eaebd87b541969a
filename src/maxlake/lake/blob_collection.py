"""Collection: blobs that no row refers to, of any kept file or upload, go after a grace (drift.md B.17).

What rows refer to is known beside the catalog (:mod:`.blob_uses`); so a search looks at the blobs' files, and
asks the database once a session.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, delete, insert, select

from maxlake.failpoints import MaintenancePoint, reach
from maxlake.lake import blob_cells, blob_uses, ducklake
from maxlake.lake.blob_store import SUFFIX
from maxlake.lake.blob_uses import BlobUse, blob_use
from maxlake.lake.cleanup import table_directories
from maxlake.lake.database import Database
from maxlake.lake.file_details import file_detail
from maxlake.lake.lake import Lake
from maxlake.lake.orphans import StrayFile
from maxlake.protocol.errors import DamageError, ErrorCode

#: Begins the name of a file on its way out: references do not lead to it any more.
_ASIDE = ".gone-"
#: Stands for a session in the row that says that a file was looked at.
_NO_SESSION = ""


class SeenFile(NamedTuple):
    """A data file of another program, and what its rows refer to."""

    file_id: int
    uses: tuple[BlobUse, ...]


def look(lake: Lake) -> list[SeenFile]:
    """Read the files of other programs that nobody has looked at. Raises DamageError."""
    with lake.database.read() as connection:
        files = _unseen(connection)
    return [SeenFile(file_id, _references(lake.data / path)) for file_id, path in files]


def _unseen(connection: Connection) -> list[tuple[int, str]]:
    """Return id and path, below the data directory or whole, of what may hold references unknown to us."""
    file, column = ducklake.data_file, ducklake.column
    with_bytes = select(column.c.table_id).where(column.c.column_type == "blob")
    rows = connection.execute(
        select(file.c.data_file_id, file.c.table_id, file.c.path, file.c.path_is_relative).where(
            file.c.table_id.in_(with_bytes),
            file.c.data_file_id.not_in(select(file_detail.c.data_file_id)),
            file.c.data_file_id.not_in(select(blob_use.c.data_file_id)),
        )
    ).all()
    directories = table_directories(connection) if rows else {}
    return [
        (row.data_file_id, f"{directories[row.table_id][0]}{row.path}" if row.path_is_relative else row.path)
        for row in rows
    ]


def _references(file: Path) -> tuple[BlobUse, ...]:
    objects: set[str] = set()
    try:
        with pq.ParquetFile(file) as parquet:
            kinds = {field.name: blob_cells.bytes_as_blobs(field.type) for field in parquet.schema_arrow}
            wanted = {name: t for name, t in kinds.items() if blob_cells.holds_blobs(t)}
            for batch in parquet.iter_batches(columns=list(wanted)) if wanted else ():
                for name, t in wanted.items():
                    objects |= blob_cells.objects(batch.column(name), t)
    except (OSError, pa.ArrowException) as error:
        raise DamageError(
            ErrorCode.INTERNAL_SERVER_ERROR,
            f"cannot read which blobs its rows refer to: {error}",
            where=str(file),
        ) from error
    return blob_uses.by_session(objects)


def remember(database: Database, seen: Sequence[SeenFile]) -> None:
    """Note what was seen, and forget the files that the catalog no longer has."""
    with database.write() as connection:
        known = select(ducklake.data_file.c.data_file_id)
        connection.execute(delete(blob_use).where(blob_use.c.data_file_id.not_in(known)))
        looked_at = set(connection.execute(select(blob_use.c.data_file_id)).scalars()) if seen else set()
        new = [file for file in seen if file.file_id not in looked_at]
        if new:
            marks = [{"data_file_id": f.file_id, "session_id": _NO_SESSION, "objects": b""} for f in new]
            connection.execute(insert(blob_use), marks)
            blob_uses.record(connection, new)


def unreferenced(
    lake: Lake,
    before: datetime,
    *,
    writing: Collection[str],
    staged: Collection[str],
    seen: Sequence[SeenFile],
) -> Iterator[StrayFile]:
    """Yield the blobs' files that nobody has used since ``before`` and nobody refers to.

    ``writing`` are sessions whose blobs stay, ``staged`` the objects that uploaded rows refer to, ``seen``
    the files :func:`look` has read. Uploads that refer to an old file touch it first.
    """
    seen_objects = {name for file in seen for use in file.uses for name in use.objects}
    kept = seen_objects.union(staged)
    root = lake.blobs.root
    for month in _directories(root):
        for session in _directories(month):
            if session.name in writing:
                continue
            old = list(_old_files(session, before.timestamp()))
            if not old:
                continue
            with lake.database.read() as connection:
                used = blob_uses.used(connection, session.name)
            for entry in old:
                path = Path(entry.path).relative_to(root)
                name = str(path).removesuffix(SUFFIX)
                if name not in used and name not in kept:
                    yield StrayFile(str(path), entry.stat().st_size)


def _directories(place: Path) -> list[Path]:
    try:
        with os.scandir(place) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def _old_files(directory: Path, before: float) -> Iterator[os.DirEntry[str]]:
    with suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            ours = entry.name.endswith(SUFFIX) and not entry.name.startswith(_ASIDE)
            if ours and entry.is_file(follow_symlinks=False) and entry.stat().st_mtime <= before:
                yield entry


def remove(lake: Lake, files: Sequence[StrayFile], before: datetime) -> list[StrayFile]:
    """Remove files that nobody refers to; return those that are gone. One touched meanwhile stays."""
    gone = [file for file in files if _remove(lake.blobs.root / file.path, before.timestamp())]
    for month in _directories(lake.blobs.root):
        for session in _directories(month):
            with suppress(OSError):  # not empty
                if session.stat().st_mtime <= before.timestamp():
                    session.rmdir()
    return gone


def _remove(path: Path, before: float) -> bool:
    aside = path.with_name(_ASIDE + path.name)
    try:
        path.rename(aside)
    except FileNotFoundError:  # another process was first
        return False
    if aside.stat().st_mtime > before:
        aside.rename(path)
        return False
    aside.unlink()
    reach(MaintenancePoint.AFTER_BLOB_REMOVAL)
    return True


def restore(lake: Lake) -> None:
    """Put back what a run that was cut has set aside: it may have been touched."""
    for aside in lake.blobs.root.glob(f"*/*/{_ASIDE}*"):
        with suppress(FileNotFoundError):
            aside.rename(aside.with_name(aside.name.removeprefix(_ASIDE)))
