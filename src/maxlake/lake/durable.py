"""Files that survive power loss: written under a temporary name, synced, renamed, directory synced.

Nothing in the catalog may name a file that has not been through :func:`publish` (design.md §4, step 1).
"""

from __future__ import annotations

import os
from pathlib import Path

from maxlake.failpoints import Failpoint, reach

#: Prefix of files nobody may read yet; what a crash leaves of them is collected.
TEMPORARY_PREFIX = ".incomplete-"


def temporary_path(final: Path) -> Path:
    """Return the name under which ``final`` is written."""
    return final.with_name(TEMPORARY_PREFIX + final.name)


def sync_directory(path: Path) -> None:
    """Make the entries of a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path, *, within: Path) -> None:
    """Create a directory and its missing parents, durable in the directories up to ``within``."""
    path.mkdir(parents=True, exist_ok=True)
    _sync_directories(path.parent, within)


def _sync_directories(path: Path, within: Path) -> None:
    """Sync ``path`` and its parents up to ``within``, those that exist already too.

    Whoever created one of them, a moment ago or before it was killed, may not have come to sync it.
    """
    for directory in (path, *path.parents):
        sync_directory(directory)
        if directory == within:
            return


def publish(final: Path, *, within: Path) -> None:
    """Give a complete temporary file its final name, durable in the directories up to ``within``."""
    temporary = temporary_path(final)
    reach(Failpoint.BEFORE_PART_SYNC)
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    reach(Failpoint.AFTER_PART_SYNC)
    temporary.rename(final)
    reach(Failpoint.AFTER_PART_RENAME)
    _sync_directories(final.parent, within)
    reach(Failpoint.AFTER_DIRECTORY_SYNC)
