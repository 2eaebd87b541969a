"""Files that survive power loss: written under a temporary name, synced, renamed, directory synced.

Nothing in the catalog may name a file that has not been through :func:`publish` (design.md §4, step 1).
"""

from __future__ import annotations

import os
from pathlib import Path

from maxlake import failpoints

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


def make_directory(path: Path) -> None:
    """Create a directory and its missing parents, each durable in its own parent."""
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(exist_ok=True)
    sync_directory(path.parent)


def publish(final: Path) -> None:
    """Give a completely written temporary file its final name, durably."""
    temporary = temporary_path(final)
    failpoints.reach("before-part-sync")
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    failpoints.reach("after-part-sync")
    temporary.rename(final)
    failpoints.reach("after-part-rename")
    sync_directory(final.parent)
