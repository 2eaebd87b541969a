"""Maintenance: small files merged, old versions and unneeded files gone, leftovers removed (design.md §4).

Nothing a session may still read is touched: read sessions pin the versions they show, write sessions own the
files they have uploaded.
"""

from __future__ import annotations

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection, select

from maxlake.lake import cleanup, compaction, orphans, snapshot_expiry, snapshots
from maxlake.lake.cleanup import CatalogFile, Pin
from maxlake.lake.compaction import Merge
from maxlake.lake.orphans import StrayFile
from maxlake.protocol.enums import WriteSessionState
from maxlake.service import blob_maintenance, store
from maxlake.service.project import Project
from maxlake.service.session_expiry import forget

_log = logging.getLogger(__name__)


class TableReport(msgspec.Struct, frozen=True, kw_only=True):
    """The merges of one table: how many, of how many files, and the bytes on disk of these.

    ``bytes_after`` is what the merged files take; before a merge it is taken to be the same.
    """

    table: str
    merges: int
    files: int
    bytes: int
    bytes_after: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a run of maintenance did, or would do. Bytes on disk; ``errors`` as text, the log has them whole.

    ``blobs_removed`` counts files, which hold a large blob or many small ones.

    ``finished`` is False where time ran out or the run was stopped: the next one goes on.
    """

    project: str
    tables: tuple[TableReport, ...] = ()
    snapshots_expired: int = 0
    files_removed: int = 0
    bytes_removed: int = 0
    orphans_removed: int = 0
    orphan_bytes: int = 0
    blobs_removed: int = 0
    blob_bytes: int = 0
    errors: tuple[str, ...] = ()
    finished: bool = True


@dataclass(frozen=True)
class Plan:
    """What there is to do. ``oldest`` is the oldest snapshot to keep; ``errors`` says what was left out."""

    merges: list[Merge]
    oldest: int
    snapshots: int
    unneeded: list[CatalogFile]
    orphans: list[StrayFile]
    errors: list[str]
    blobs: list[StrayFile] = field(default_factory=list[StrayFile])

    def report(self, project: Project) -> Report:
        """Return what doing all of it will have done."""
        return Report(
            project=project.name,
            tables=_by_table((merge, merge.stored_bytes) for merge in self.merges),
            snapshots_expired=self.snapshots,
            files_removed=len(self.unneeded),
            bytes_removed=sum(file.stored_bytes for file in self.unneeded),
            orphans_removed=len(self.orphans),
            orphan_bytes=sum(file.stored_bytes for file in self.orphans),
            blobs_removed=len(self.blobs),
            blob_bytes=sum(file.stored_bytes for file in self.blobs),
            errors=tuple(self.errors),
        )


class Watch:
    """Is told how far a run has come; this one does not listen."""

    def planned(self, plan: Plan) -> None:
        """Work begins."""

    def advanced(self, merge: Merge) -> None:
        """A merge was done, or left."""


def survey(project: Project, now: datetime) -> Plan:
    """Return what :func:`maintain` would do, without doing any of it."""
    plan = _survey_tables(project, now)
    errors = list(plan.errors)
    blobs: list[StrayFile] = []
    with _reported(errors, "blobs"):
        blobs = blob_maintenance.survey(project, now)
    return replace(plan, blobs=blobs, errors=errors)


def _survey_tables(project: Project, now: datetime) -> Plan:
    errors: list[str] = []
    merges: list[Merge] = []
    with project.lake.database.read() as connection:
        for table in compaction.fragmented_tables(connection):
            with _reported(errors, table.full_name):
                merges += compaction.find_merges(connection, table)
        retention = timedelta(seconds=project.settings.snapshot_retention)
        oldest = snapshot_expiry.oldest_to_keep(connection, now - retention)
        count = snapshot_expiry.count_before(connection, oldest)
        unneeded = cleanup.unneeded(connection, oldest, _pins(connection, project, now))
    return Plan(merges, oldest, count, unneeded, list(_orphans(project, now)), errors)


def maintain(
    project: Project,
    now: datetime,
    *,
    merge_seconds: float = math.inf,
    stopped: Callable[[], bool] = lambda: False,
    watch: Watch = Watch(),  # noqa: B008 - has no state
) -> Report:
    """Merge small files, then remove what nobody needs any more.

    No merge begins after ``merge_seconds``; once ``stopped`` says so, one under way is given up, and nothing
    else begins.
    What goes wrong with a table is logged and reported, and the others go on. May run in several processes
    at once: what one has done the others leave.
    """
    end = time.monotonic() + merge_seconds
    forget(project, now)
    plan = _survey_tables(project, now)
    watch.planned(plan)
    errors = list(plan.errors)
    merged: list[tuple[Merge, int]] = []
    finished = True
    for merge in plan.merges:
        if stopped() or time.monotonic() >= end:
            finished = False
            break
        with _reported(errors, merge.table.full_name):
            done = compaction.perform(project.lake, merge, stopped)
            if done is not None:
                merged.append((merge, done.stored_bytes))
        watch.advanced(merge)
    if stopped():
        return Report(project=project.name, tables=_by_table(merged), errors=tuple(errors), finished=False)
    expired = snapshot_expiry.expire(project.lake.database, plan.oldest)
    removed = _remove_unneeded(project, now)
    lost = orphans.remove(project.lake.data, plan.orphans)
    _forget_tables(project, now)
    blobs: list[StrayFile] = []
    with _reported(errors, "blobs"):
        blobs = blob_maintenance.collect(project, now)
    return Report(
        project=project.name,
        tables=_by_table(merged),
        snapshots_expired=expired,
        files_removed=len(removed),
        bytes_removed=sum(file.stored_bytes for file in removed),
        orphans_removed=len(lost),
        orphan_bytes=sum(file.stored_bytes for file in lost),
        blobs_removed=len(blobs),
        blob_bytes=sum(file.stored_bytes for file in blobs),
        errors=tuple(errors),
        finished=finished,
    )


@contextmanager
def _reported(errors: list[str], where: str) -> Generator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the other tables go on
        _log.exception("maintenance of %s", where)
        errors.append(f"{where}: {error}")


def _by_table(merged: Iterable[tuple[Merge, int]]) -> tuple[TableReport, ...]:
    by_name: defaultdict[str, list[tuple[Merge, int]]] = defaultdict(list)
    for merge, size in merged:
        by_name[merge.table.full_name].append((merge, size))
    return tuple(
        TableReport(
            table=name,
            merges=len(merges),
            files=sum(len(merge.sources) for merge, _ in merges),
            bytes=sum(merge.stored_bytes for merge, _ in merges),
            bytes_after=sum(size for _, size in merges),
        )
        for name, merges in by_name.items()
    )


def _pins(connection: Connection, project: Project, now: datetime) -> list[Pin]:
    """Return what read sessions need. Those past their grace need nothing: :func:`maintain` forgets them."""
    session = store.read_session
    gone = now - timedelta(seconds=project.settings.refresh_grace)
    rows = connection.execute(
        select(session.c.table_id, session.c.first_snapshot, session.c.last_snapshot)
        .distinct()
        .where(session.c.expires_at >= gone)
    )
    return [Pin(*row) for row in rows]


def _remove_unneeded(project: Project, now: datetime) -> list[CatalogFile]:
    """Remove what no snapshot has; asked again, for sessions may have begun before the snapshots expired."""
    with project.lake.database.read() as connection:
        pins = _pins(connection, project, now)
        left = cleanup.left_scheduled(connection, pins)
        unneeded = cleanup.unneeded(connection, snapshots.oldest_kept(connection), pins)
    cleanup.remove_scheduled(project.lake, left)
    return cleanup.remove(project.lake, unneeded)


def _orphans(project: Project, now: datetime) -> Iterator[StrayFile]:
    """Yield old files that neither the catalog nor an open session owns.

    The disk is asked first: a file the catalog names later than that has an open session, or is young.
    """
    session = store.write_session
    data = project.lake.data
    with project.lake.database.read() as connection:
        made = orphans.catalog_age(connection)
    if made is None:
        return
    for files in orphans.files_between(data, made, now - timedelta(seconds=project.settings.orphan_age)):
        with project.lake.database.read() as connection:
            unnamed = orphans.unnamed(connection, data, files)
            writing = select(session.c.session_id).where(session.c.state == WriteSessionState.NORMAL)
            owners = set(connection.execute(writing).scalars()) if unnamed else set()
        yield from (file for file in unnamed if file.owner not in owners)


def _forget_tables(project: Project, now: datetime) -> None:
    snapshot_expiry.forget_definitions(project.lake.database)
    with project.lake.database.read() as connection:
        known = {directory for directory, _ in cleanup.table_directories(connection).values()}
    before = now - timedelta(seconds=project.settings.orphan_age)
    orphans.remove_empty_directories(project.lake.data, known, before)
