"""Incremental reads: which versions of a table a session shows (wire.md §4.5, design.md §6)."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from sqlalchemy import Connection

from maxlake.lake import plans, snapshots, tables
from maxlake.lake.lake import Lake
from maxlake.lake.plans import Plan, Wanted
from maxlake.lake.tables import Table
from maxlake.protocol.enums import IncrementalMode
from maxlake.protocol.errors import ConflictError, ErrorCode, invalid_argument
from maxlake.protocol.messages.read import CreateReadSessionRequest, IncrementalRange, IncrementalReadOptions


class Versions(msgspec.Struct, frozen=True):
    """The snapshots a session covers: of ``first`` (exclusive) to ``last``, or just ``last``."""

    last: int
    mode: IncrementalMode | None = None
    first: int | None = None

    @property
    def oldest(self) -> int:
        """The oldest snapshot the session needs."""
        return self.last if self.first is None else self.first

    def plan(self, lake: Lake, connection: Connection, table: Table, wanted: Wanted) -> Plan:
        """List the files of these versions that may hold wanted rows."""
        if self.first is None:
            return plans.plan(lake, connection, table, wanted, self.last)
        if self.mode is IncrementalMode.CDC:
            return plans.plan_changes(lake, connection, table, wanted, self.first, self.last)
        return plans.plan_inserted(lake, connection, table, wanted, self.first, self.last)

    @property
    def range(self) -> IncrementalRange:
        """The answer's IncrementalReadOptions."""
        if self.mode is None:
            return IncrementalRange()
        return IncrementalRange(
            mode=self.mode, start_version=-1 if self.first is None else self.first, end_version=self.last
        )


def resolve(connection: Connection, table: Table, request: CreateReadSessionRequest) -> Versions:
    """Return the versions a session reads: the newest, or those of its IncrementalReadOptions.

    A lower bound is exclusive, an upper one inclusive; versions above 0 win over timestamps, which mean the
    last version at or before them. Without an upper bound the newest version is meant. Without a lower one
    ``append`` is all rows of the table at the upper, ``cdc`` all changes since the table was made.
    Raises ``InvalidArgument`` for unknown modes, malformed timestamps and versions that never were, and
    ``VersionExpired`` for those that are no more.
    """
    newest = snapshots.latest(connection)
    if not request.incremental_read:
        return Versions(newest)
    options = request.incremental_read_options or IncrementalReadOptions()
    bounds = _Bounds(connection, table, newest)
    mode = _mode(options.mode)
    last = bounds.version(*_upper(options))
    first = bounds.version(*_lower(options))
    if last is None:
        last = newest
    if first is None and mode is IncrementalMode.CDC:
        first = bounds.created
    bounds.check(first, last)
    return Versions(bounds.kept(last), mode, None if first is None else bounds.kept(first))


def _mode(text: str | None) -> IncrementalMode:
    if not text:
        return IncrementalMode.APPEND
    try:
        return IncrementalMode(text.lower())
    except ValueError:
        raise invalid_argument(f"the incremental read modes are append and cdc, not {text!r}") from None


def _lower(options: IncrementalReadOptions) -> tuple[int | None, str | None]:
    if isinstance(options.from_, int):
        return options.from_, None
    return options.start_version, options.from_ or options.start_time_stamp


def _upper(options: IncrementalReadOptions) -> tuple[int | None, str | None]:
    if isinstance(options.to, int):
        return options.to, None
    return options.end_version, options.to or options.end_time_stamp


class _Bounds:
    """The versions of one table that can be asked for."""

    def __init__(self, connection: Connection, table: Table, newest: int) -> None:
        self._connection = connection
        self._where = table.full_name
        self._newest = newest
        self._oldest = snapshots.oldest_kept(connection)
        self._same_since = max(
            tables.last_change(connection, table, self._oldest),
            # Which tables another program changed before the oldest kept version nobody knows any more.
            min(snapshots.last_foreign(connection), self._oldest),
        )
        self.created = table.created_snapshot

    def version(self, version: int | None, time: str | None) -> int | None:
        """Return the snapshot that a version or a timestamp means, None when neither is given."""
        if version is not None:
            if version <= 0:
                raise invalid_argument(f"a version is a positive number, not {version}", where=self._where)
            return version
        if time is None or not time.strip():
            return None
        instant = _instant(time.strip())
        found = snapshots.at_time(self._connection, instant)
        if found is not None:
            return found
        if self.created <= self._oldest and self._oldest:
            raise self._expired(f"the time {time!r}")
        return self.created

    def check(self, first: int | None, last: int) -> None:
        """Refuse versions of the future, ranges that end before they begin, and what has expired."""
        for version in (first, last):
            if version is not None and version > self._newest:
                raise invalid_argument(
                    f"there is no version {version} yet; the newest is {self._newest}", where=self._where
                )
        if last < self.created:
            raise invalid_argument(
                f"the table was created in version {self.created}, after version {last}", where=self._where
            )
        if first is not None and first > last:
            raise invalid_argument(
                f"the start version {first} is after the end version {last}", where=self._where
            )
        oldest = last if first is None else first
        oldest = max(self.kept(oldest), self.created)
        if oldest < self._oldest:
            raise self._expired(f"version {oldest}")
        if not snapshots.all_kept(self._connection, oldest, max(oldest, last)):
            raise self._expired(f"a version from {oldest} to {last}")

    def kept(self, version: int) -> int:
        """Return the version itself, or the oldest kept one if the table has not changed between them."""
        return max(version, self._oldest) if version >= self._same_since else version

    def _expired(self, what: str) -> ConflictError:
        return ConflictError(
            ErrorCode.VERSION_EXPIRED,
            f"{what} has expired: the oldest version kept is {self._oldest}; read the whole table once, then "
            "go on from its LatestVersion",
            where=self._where,
        )


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError):
        raise invalid_argument(f"{text[:64]!r} is no timestamp; write yyyy-mm-dd hh:mm:ss (UTC)") from None
