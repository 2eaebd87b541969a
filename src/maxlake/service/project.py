"""A project: the unit that owns tables and sessions, and can be copied as one directory."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from maxlake.lake.lake import Lake
from maxlake.lake.tables import Table
from maxlake.lake.upload_memory import UploadMemory
from maxlake.protocol import limits
from maxlake.protocol.errors import DeniedError, ErrorCode
from maxlake.service.group_commit import GroupCommit
from maxlake.service.plan_cache import PlanCache
from maxlake.service.query_runner import QueryRunner

if TYPE_CHECKING:
    from maxlake.service.streaming import Flush, FlushOutcome


@dataclass(frozen=True)
class ServiceSettings:
    """What an operator may change. Times in seconds, sizes in bytes; ``maintenance_interval`` 0 is never."""

    session_lifetime: float = limits.SESSION_LIFETIME
    refresh_grace: float = limits.REFRESH_GRACE
    snapshot_retention: float = limits.SNAPSHOT_RETENTION
    orphan_age: float = limits.ORPHAN_AGE
    blob_grace: float = limits.BLOB_GRACE
    maintenance_interval: float = limits.MAINTENANCE_INTERVAL
    upload_memory: int = limits.UPLOAD_MEMORY


#: Where flushes of all tables without a primary key go; no table has this id.
_SHARED_LANE = -1

#: Seconds between two sweeps of a project's ended sessions: each is a short write transaction.
SWEEP_INTERVAL = 60.0


class Interval:
    """Tells one caller in every so many seconds that something is due."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = 0.0
        self._lock = threading.Lock()

    def due(self) -> bool:
        """Whether the caller is the one to do it."""
        with self._lock:
            now = time.monotonic()
            if now < self._next:
                return False
            self._next = now + self._seconds
            return True


@dataclass(frozen=True)
class Project:
    """One open project."""

    name: str
    owner: str
    created_at: datetime
    lake: Lake
    settings: ServiceSettings
    upload_memory: UploadMemory
    plans: PlanCache = field(default_factory=PlanCache)
    sweeping: Interval = field(default_factory=lambda: Interval(SWEEP_INTERVAL))
    collecting: Interval = field(default_factory=lambda: Interval(limits.BLOB_COLLECTION_INTERVAL))
    queries: QueryRunner = field(default_factory=QueryRunner)
    _flushes: dict[int, GroupCommit[Flush, FlushOutcome]] = field(
        default_factory=dict[int, "GroupCommit[Flush, FlushOutcome]"]
    )

    def flushes(self, table: Table) -> GroupCommit[Flush, FlushOutcome]:
        """Return where flushes of a table go: those with a primary key take longer, and hold up no others."""
        lane = table.table_id if table.options.primary_key else _SHARED_LANE
        return self._flushes.setdefault(lane, GroupCommit(limits.MAX_GROUP_COMMIT))

    @property
    def results(self) -> Path:
        """The directory of the rows that queries gave, one directory below it an instance."""
        return self.lake.data.parent / "results"

    @property
    def spill(self) -> Path:
        """The directory of what running queries keep on the disk, one directory below it an instance."""
        return self.lake.data.parent / "spill"

    def new_expiry(self) -> datetime:
        """Return when a session made or refreshed now expires."""
        return datetime.now(UTC) + timedelta(seconds=self.settings.session_lifetime)


def new_id() -> str:
    """Return an id for a session or instance: unguessable, sorted by time, safe in paths."""
    return f"{datetime.now(UTC):%Y%m%d%H%M%S}{secrets.token_hex(10)}"


def check_owner(owner: str, principal: str, where: str) -> None:
    """Raise ``NoPermission`` unless the caller owns the session."""
    if owner != principal:
        raise DeniedError(ErrorCode.NO_PERMISSION, "this session belongs to another access key", where=where)
