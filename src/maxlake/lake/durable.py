"""Files that survive power loss: written under a temporary name, synced, renamed, directory synced.

Nothing in the catalog may name a file that has not been through :func:`publish` (design.md §4, step 1).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from maxlake.failpoints import Failpoint, reach
from maxlake.protocol.errors import ErrorCode, InternalError

#: Prefix of files nobody may read yet; what a crash leaves of them is collected.
TEMPORARY_PREFIX = ".incomplete-"


@contextmanager
def typed_failures() -> Generator[None]:
    """Raise InternalError for what the file system cannot do, before anything names the files concerned."""
    try:
        yield
    except OSError as error:
        raise InternalError(
            ErrorCode.INTERNAL_SERVER_ERROR,
            f"the server could not write files ({error.strerror or error}), so nothing of this was stored; "
            "once its disk works and has room, repeat the request",
        ) from error


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
    _sync_directories([path.parent], within)


def _up_to(path: Path, within: Path) -> Iterator[Path]:
    for directory in (path, *path.parents):
        yield directory
        if directory == within:
            return


def _sync_directories(paths: Iterable[Path], within: Path) -> None:
    """Sync the directories and their parents up to ``within``, each once, those that exist already too.

    Whoever created one of them, a moment ago or before it was killed, may not have come to sync it.
    """
    for directory in dict.fromkeys(parent for path in paths for parent in _up_to(path, within)):
        sync_directory(directory)


@typed_failures()
def publish(finals: Collection[Path], *, within: Path) -> None:
    """Give complete temporary files their final names, durable in the directories up to ``within``."""
    for final in finals:
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
    _sync_directories((final.parent for final in finals), within)
    reach(Failpoint.AFTER_DIRECTORY_SYNC)
