"""Named points at which a test may kill the process, or let what it does fail.

``MAXLAKE_FAILPOINT=name:n`` kills it at the n-th pass, from 1. ``MAXLAKE_FAULTS`` names a directory: a file
in it that is named as a point and holds a number lets that pass fail, counted from when it came, and goes.
Without the variables, reaching a point costs two comparisons.
"""

from __future__ import annotations

import os
import signal
import threading
from enum import StrEnum
from pathlib import Path

VARIABLE = "MAXLAKE_FAILPOINT"
FAULTS_VARIABLE = "MAXLAKE_FAULTS"


class Failpoint(StrEnum):
    """The points, in the order in which an upload and its commit pass them."""

    BEFORE_PART_SYNC = "before-part-sync"
    AFTER_PART_SYNC = "after-part-sync"
    AFTER_PART_RENAME = "after-part-rename"
    AFTER_DIRECTORY_SYNC = "after-directory-sync"
    BEFORE_PART_TRANSACTION = "before-part-transaction"
    AFTER_PART_TRANSACTION = "after-part-transaction"
    BEFORE_WRITE_ANSWER = "before-write-answer"
    BEFORE_COMMIT_TRANSACTION = "before-commit-transaction"
    AFTER_COMMIT_TRANSACTION = "after-commit-transaction"
    BEFORE_COMMIT_ANSWER = "before-commit-answer"


class BatchPoint(StrEnum):
    """The points at which rows pass, a record batch at a time."""

    BEFORE_STORING_BATCH = "before-storing-batch"
    BEFORE_ANSWERING_BATCH = "before-answering-batch"


class BlobPoint(StrEnum):
    """The points, in the order in which an upload of blobs passes them."""

    BEFORE_BLOB_SYNC = "before-blob-sync"
    AFTER_BLOB_SYNC = "after-blob-sync"
    BEFORE_BLOB_ANSWER = "before-blob-answer"


class MaintenancePoint(StrEnum):
    """The points, in the order in which a run of maintenance passes them beside those of its files."""

    BEFORE_MERGE_TRANSACTION = "before-merge-transaction"
    AFTER_MERGE_TRANSACTION = "after-merge-transaction"
    AFTER_EXPIRY_TRANSACTION = "after-expiry-transaction"
    BEFORE_SCHEDULE_TRANSACTION = "before-schedule-transaction"
    AFTER_SCHEDULE_TRANSACTION = "after-schedule-transaction"
    AFTER_FILE_REMOVAL = "after-file-removal"
    AFTER_REMOVAL_TRANSACTION = "after-removal-transaction"
    AFTER_ORPHAN_REMOVAL = "after-orphan-removal"
    AFTER_BLOB_REMOVAL = "after-blob-removal"


AnyPoint = Failpoint | BatchPoint | BlobPoint | MaintenancePoint


class InjectedError(RuntimeError):
    """What a test let fail."""


def _known(name: str) -> AnyPoint:
    for kind in (Failpoint, BatchPoint, BlobPoint):
        if name in set(kind):
            return kind(name)
    return MaintenancePoint(name)


_name, _, _nth = os.environ.get(VARIABLE, "").partition(":")
_armed = _known(_name) if _name else None
_left = int(_nth or 1)
_directory = os.environ.get(FAULTS_VARIABLE)
_lock = threading.Lock()


def reach(point: AnyPoint) -> None:
    """Kill this process at once, as a power cut would, if this is the point and the pass asked for.

    Raises InjectedError if they are those of a fault.
    """
    global _left  # noqa: PLW0603 - one process, one failpoint
    if _directory is not None:
        _pass(Path(_directory, point))
    if point is not _armed:
        return
    with _lock:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _pass(fault: Path) -> None:
    with _lock:
        try:
            left = int(fault.read_text()) - 1
        except FileNotFoundError:
            return
        if left:
            fault.write_text(str(left))
            return
        fault.unlink()
    raise InjectedError(f"a test lets this fail: {fault.name}")
