"""Named points at which a test may kill the process: ``MAXLAKE_FAILPOINT=name:n`` (the n-th pass, from 1).

Without the variable, reaching a point costs one comparison.
"""

from __future__ import annotations

import os
import signal
import threading
from enum import StrEnum

VARIABLE = "MAXLAKE_FAILPOINT"


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


AnyPoint = Failpoint | BlobPoint | MaintenancePoint


def _known(name: str) -> AnyPoint:
    for kind in (Failpoint, BlobPoint):
        if name in set(kind):
            return kind(name)
    return MaintenancePoint(name)


_name, _, _nth = os.environ.get(VARIABLE, "").partition(":")
_armed = _known(_name) if _name else None
_left = int(_nth or 1)
_lock = threading.Lock()


def reach(point: AnyPoint) -> None:
    """Kill this process at once, as a power cut would, if this is the point and the pass asked for."""
    global _left  # noqa: PLW0603 - one process, one failpoint
    if point is not _armed:
        return
    with _lock:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
