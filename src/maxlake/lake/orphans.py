"""Orphans: files in the data directory that no row names, left by uploads and merges that were cut."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, select

from maxlake.failpoints import MaintenancePoint, reach
from maxlake.lake import ducklake
from maxlake.lake.cleanup import remove_file, table_directories
from maxlake.lake.durable import TEMPORARY_PREFIX
from maxlake.lake.lake import CREATED_AT

#: What uploads and merges write; nothing else is ever taken for an orphan.
SUFFIX = ".parquet"
#: Directories of this depth hold a table each: schema and table.
TABLE_DEPTH = 2


@dataclass(frozen=True)
class StrayFile:
    """A file found below the data directory; its path is relative to that."""

    path: str
    stored_bytes: int

    @property
    def owner(self) -> str:
        """The id of the session that wrote the file, if an upload did."""
        name = self.path.rpartition("/")[2].removeprefix(TEMPORARY_PREFIX)
        return name.partition("-")[0]


def catalog_age(connection: Connection) -> datetime | None:
    """Return when the catalog was made, None if it does not say.

    Files that are older cannot come from its uploads: a data directory of another catalog, say.
    """
    metadata = ducklake.catalog_metadata
    text = connection.execute(
        select(metadata.c.value).where(metadata.c.key == CREATED_AT)
    ).scalar_one_or_none()
    return None if text is None else datetime.fromisoformat(text)


def files_between(data: Path, first: datetime, last: datetime) -> Iterator[list[StrayFile]]:
    """Yield the files last written between two times, a table's at a time. Links are not followed."""
    yield from _tables(data, "", first.timestamp(), last.timestamp(), 0)


def _tables(data: Path, below: str, first: float, last: float, depth: int) -> Iterator[list[StrayFile]]:
    if depth == TABLE_DEPTH:
        files = list(_files(data, below, first, last))
        if files:
            yield files
        return
    for entry in _entries(data / below):
        if entry.is_dir(follow_symlinks=False):
            yield from _tables(data, f"{below}{entry.name}/", first, last, depth + 1)


def _files(data: Path, below: str, first: float, last: float) -> Iterator[StrayFile]:
    waiting = [below]
    while waiting:
        directory = waiting.pop()
        for entry in _entries(data / directory):
            if entry.is_dir(follow_symlinks=False):
                waiting.append(f"{directory}{entry.name}/")
            elif entry.is_file(follow_symlinks=False) and entry.name.endswith(SUFFIX):
                with suppress(FileNotFoundError):  # its session was aborted, say
                    found = entry.stat(follow_symlinks=False)
                    if first <= found.st_mtime <= last:
                        yield StrayFile(f"{directory}{entry.name}", found.st_size)


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def unnamed(connection: Connection, data: Path, files: Sequence[StrayFile]) -> list[StrayFile]:
    """Return those of a table's files that no row of the catalog names."""
    place = "/".join(files[0].path.split("/")[:TABLE_DEPTH]) + "/"
    scheduled = ducklake.files_scheduled_for_deletion
    named = set(connection.execute(select(scheduled.c.path)).scalars())
    for table_id, (directory, relative) in table_directories(connection).items():
        whole = directory if relative else directory.removeprefix(f"{data}/")
        if whole.startswith(place) or place.startswith(whole):
            for kind in (ducklake.data_file, ducklake.delete_file):
                rows = connection.execute(
                    select(kind.c.path, kind.c.path_is_relative).where(kind.c.table_id == table_id)
                )
                named.update(f"{whole}{path}" if is_relative else path for path, is_relative in rows)
    # Other programs may name files by their whole path.
    return [file for file in files if file.path not in named and f"{data}/{file.path}" not in named]


def remove(data: Path, files: Sequence[StrayFile]) -> list[StrayFile]:
    """Remove orphans; return those that are gone."""
    gone = [file for file in files if remove_file(data, file.path)]
    if gone:
        reach(MaintenancePoint.AFTER_ORPHAN_REMOVAL)
    return gone


def remove_empty_directories(data: Path, known: Collection[str], before: datetime) -> None:
    """Remove the directories of tables that are no more, where they are empty and nobody filled them lately.

    ``known`` are the directories of all tables there are, with a slash.
    """
    for schema in _entries(data):
        if not schema.is_dir(follow_symlinks=False):
            continue
        for table in _entries(Path(schema.path)):
            if table.is_dir(follow_symlinks=False) and f"{schema.name}/{table.name}/" not in known:
                _remove_if_empty(Path(table.path), before.timestamp())


def _remove_if_empty(directory: Path, before: float) -> None:
    for entry in _entries(directory):
        if entry.is_dir(follow_symlinks=False):
            _remove_if_empty(Path(entry.path), before)
    # Whoever is about to write a file here has just made the directory, or another file in it.
    with suppress(OSError):
        if directory.stat().st_mtime <= before:
            directory.rmdir()
