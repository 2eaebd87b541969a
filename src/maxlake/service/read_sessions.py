"""Read sessions: a pinned plan, cut into splits (wire.md §4, drift.md B)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

import msgspec
from sqlalchemy import select, update

from maxlake.lake import partitions, plans, snapshots, tables
from maxlake.lake.changes import CHANGE_COLUMNS
from maxlake.lake.plans import Plan, Wanted
from maxlake.lake.selections import CountedSelection, Stopped, count_selected
from maxlake.lake.tables import StoredColumn, Table
from maxlake.protocol import limits
from maxlake.protocol.columns import Column, read_schema, write_schema
from maxlake.protocol.enums import IncrementalMode, SessionStatus, SplitMode
from maxlake.protocol.errors import ConflictError, ErrorCode, NotFoundError, invalid_argument
from maxlake.protocol.messages.read import (
    ArrowOptions,
    CreateReadSessionRequest,
    ReadSessionResponse,
    SessionStats,
)
from maxlake.protocol.messages.schema import ReadSchema, WriteSchema
from maxlake.protocol.partitions import PartitionFilter, parse_partition_filter
from maxlake.protocol.targets import RowTarget, TableTarget
from maxlake.service import pins, session_expiry, store
from maxlake.service.incremental import Versions, resolve
from maxlake.service.pins import Pin
from maxlake.service.predicates import SessionPredicate, session_predicate
from maxlake.service.project import Project, check_owner, new_id
from maxlake.service.session_splits import cut, required_buckets


class ReadSession(msgspec.Struct, frozen=True, kw_only=True):
    """What a session is, from its creation to its end; only its expiry ever changes.

    ``counted`` says where the rows of a predicate lie, in mode RowOffset, whose readers address by them.
    """

    session_id: str
    table: str
    columns: tuple[StoredColumn, ...]
    arrow_options: ArrowOptions
    split_mode: SplitMode
    ends: tuple[int, ...]
    buckets: tuple[int, ...]
    plan: Plan
    versions: Versions
    predicate: SessionPredicate | None
    counted: CountedSelection | None = None
    latest_version: int
    data_schema: ReadSchema
    table_schema: WriteSchema

    @property
    def record_count(self) -> int:
        """Rows of the session, -1 where a predicate has yet to be evaluated (drift.md B.5)."""
        if self.counted is not None:
            return self.counted.record_count
        exact = self.predicate is None or not self.plan.record_count
        return self.plan.record_count if exact else -1


#: Made before threads are: two that made it at once, at the first reads of a session, crashed in msgspec.
_STORED = msgspec.msgpack.Decoder(ReadSession)


@dataclass(frozen=True)
class _Meant:
    """What a request says of a table, found to be right; it stays so while the table's schema does."""

    data_columns: Sequence[Column]
    partition_columns: Sequence[Column]
    predicate: SessionPredicate | None
    buckets: tuple[int, ...] | None
    wanted: Wanted

    @classmethod
    def of(cls, table: Table, request: CreateReadSessionRequest) -> _Meant:
        _check_lengths(request)
        predicate = session_predicate(table, request.filter_predicate)
        columns, keys = table.columns.columns, table.columns.partition_columns
        data_columns = _chosen(columns, request.required_data_columns, "data column")
        partition_columns = _chosen(keys, request.required_partition_columns, "partition column")
        buckets = required_buckets(table, request)
        wanted = Wanted(
            wanted_partitions(table, request.required_partitions),
            None if buckets is None else frozenset(buckets),
            None if predicate is None else predicate.selection().filter,
        )
        return cls(data_columns, partition_columns, predicate, buckets, wanted)


def _check_lengths(request: CreateReadSessionRequest) -> None:
    for name, given, most in (
        ("RequiredPartitions", request.required_partitions, limits.MAX_REQUIRED_PARTITIONS),
        ("RequiredDataColumns", request.required_data_columns, limits.MAX_COLUMNS),
        ("RequiredPartitionColumns", request.required_partition_columns, limits.MAX_PARTITION_COLUMNS),
        ("RequiredBucketIds", request.required_bucket_ids, limits.MAX_BUCKETS),
    ):
        if len(given) > most:
            raise invalid_argument(f"{name} has {len(given)} entries, of at most {most}")


def create(
    project: Project,
    target: TableTarget,
    request: CreateReadSessionRequest,
    principal: str,
    stopped: Stopped = lambda: False,
) -> ReadSessionResponse:
    """Pin the table's files as of now and plan the splits; the answer is NORMAL at once.

    Where rows have to be counted (see :func:`counts_rows`) that takes as long as reading them, unless
    ``stopped`` says that nobody wants it any more.
    Raises ``InvalidArgument`` for unknown columns, partition keys, buckets and for predicates that are none,
    ``NoSuchTable``, ``VersionExpired``, ``FlowExceeded`` for a principal with too many sessions.
    """
    session_expiry.sweep(project)
    counts = counts_rows(request)
    while True:
        session, table_id = _planned(project, target, request)
        pin = Pin(
            session_id=session.session_id,
            table_id=table_id,
            principal=principal,
            first_snapshot=session.versions.oldest,
            last_snapshot=session.versions.last,
            expires_at=project.new_expiry(),
        )
        if _pinned(project, pin, b"" if counts else msgspec.msgpack.encode(session)):
            break
    if counts:
        session = _counted(project, session, pin, stopped)
    return response(session, pin.expires_at, SessionStatus.NORMAL)


def counts_rows(request: CreateReadSessionRequest) -> bool:
    """Tell whether a session has to know where the rows of its predicate lie (drift.md B.5)."""
    by_offset = request.split_options.split_mode is SplitMode.ROW_OFFSET
    return by_offset and bool(request.filter_predicate.strip())


def _pinned(project: Project, pin: Pin, content: bytes) -> bool:
    """Keep the files of a plan from being deleted; False when that was too late."""
    with project.lake.database.write() as connection:
        if snapshots.oldest_kept(connection) > pin.first_snapshot:
            return False
        pins.add(connection, pin, content)
    return True


def _counted(project: Project, session: ReadSession, pin: Pin, stopped: Stopped) -> ReadSession:
    """Count the rows of a pinned session, then store it; a session nobody hears of is not left behind."""
    assert session.predicate is not None
    try:
        counted = count_selected(project.lake.data, session.plan, session.predicate.selection(), stopped)
        session = msgspec.structs.replace(session, counted=counted)
        content = msgspec.msgpack.encode(session)
        with project.lake.database.write() as connection:
            pins.complete(connection, pin, content)
    except BaseException:
        pins.remove(project.lake.database, pin.session_id)
        raise
    return session


def _planned(
    project: Project, target: TableTarget, request: CreateReadSessionRequest
) -> tuple[ReadSession, int]:
    """Plan a session outside of any turn: writers do not wait for it. Returns the table's id, too.

    What the request means for the table is found out between two transactions: it can take seconds.
    """
    with project.lake.database.read() as connection:
        table = tables.get(connection, target.schema, target.table)
    while True:
        meant = _Meant.of(table, request)
        with project.lake.database.read() as connection:
            now = tables.get(connection, target.schema, target.table)
            if (now.table_id, now.schema_version) == (table.table_id, table.schema_version):
                versions = resolve(connection, now, request)
                plan = versions.plan(project.lake, connection, now, meant.wanted)
                return _session(now, request, meant, versions, plan), now.table_id
        table = now


def of_rows(table: Table, request: CreateReadSessionRequest, plan: Plan) -> ReadSession:
    """Return a session of just these rows, which have the columns of ``table``."""
    return _session(table, request, _Meant.of(table, request), Versions(plan.snapshot_id), plan)


def _session(
    table: Table, request: CreateReadSessionRequest, meant: _Meant, versions: Versions, plan: Plan
) -> ReadSession:
    if request.split_options.split_mode is SplitMode.BUCKET:
        plan = plans.by_bucket(plan)
    changes = CHANGE_COLUMNS if versions.mode is IncrementalMode.CDC else ()
    chosen = (*meant.data_columns, *meant.partition_columns)
    return ReadSession(
        session_id=new_id(),
        table=table.full_name,
        columns=(*(table.stored[column.name] for column in chosen), *changes),
        arrow_options=request.arrow_options,
        split_mode=request.split_options.split_mode,
        ends=tuple(cut(plan, request, meant.buckets or ())),
        buckets=meant.buckets or (),
        plan=plan,
        versions=versions,
        predicate=meant.predicate,
        latest_version=table.latest_snapshot,
        data_schema=read_schema(
            meant.data_columns, meant.partition_columns, [column.column for column in changes]
        ),
        table_schema=write_schema(
            table.columns.columns, table.columns.partition_columns, table.options.primary_key
        ),
    )


def wanted_partitions(table: Table, specs: Sequence[str]) -> PartitionFilter:
    """Read RequiredPartitions; values are compared as files carry them (drift.md B.1)."""

    @cache
    def canonical(key: str, value: str) -> str:
        return partitions.canonical(table, {key: value})[key]

    return parse_partition_filter(
        specs,
        table.partition_keys,
        lambda values: {key: canonical(key, value) for key, value in values.items()},
    )


def _chosen(columns: Sequence[Column], names: Sequence[str], what: str) -> list[Column]:
    """Return the wanted columns in table order; no names means all."""
    known = {column.name.lower(): column for column in columns}
    wanted = {name.lower() for name in names}
    unknown = [name for name in names if name.lower() not in known]
    if unknown:
        raise invalid_argument(f"unknown {what} {unknown[0]!r}; there are: {', '.join(known) or 'none'}")
    return [column for name, column in known.items() if not wanted or name in wanted]


def get(
    project: Project,
    target: RowTarget,
    session_id: str,
    *,
    refresh_until: datetime | None = None,
    principal: str,
) -> ReadSessionResponse:
    """Return a session; refreshing extends its life without listing files again (drift.md B.7)."""
    session, expires_at = _load(project, target, session_id, principal)
    if refresh_until is not None:
        expires_at = refresh_until
        kept = store.read_session
        with project.lake.database.write() as connection:
            refreshed = connection.execute(
                update(kept).where(kept.c.session_id == session_id).values(expires_at=expires_at)
            )
        if not refreshed.rowcount:
            raise _gone(target, session_id)
    expired = expires_at < datetime.now(UTC)
    return response(session, expires_at, SessionStatus.EXPIRED if expired else SessionStatus.NORMAL)


def open_session(project: Project, target: RowTarget, session_id: str, principal: str) -> ReadSession:
    """Return a session that may be read now; an expired one raises ``InvalidSessionStatus``."""
    session, expires_at = _load(project, target, session_id, principal)
    if expires_at < datetime.now(UTC):
        raise ConflictError(
            ErrorCode.INVALID_SESSION_STATUS,
            "the read session has expired; get it with session_refresh=true to go on with it",
            where=f"{target}, session {session_id}",
        )
    return session


def _load(
    project: Project, target: RowTarget, session_id: str, principal: str
) -> tuple[ReadSession, datetime]:
    """Return a session of this table and when it expires; ``NoSuchObject`` once refreshing is too late."""
    kept = store.read_session
    this = kept.c.session_id == session_id
    with project.lake.database.read() as connection:
        row = connection.execute(select(kept.c.principal, kept.c.expires_at).where(this)).one_or_none()
    too_late = datetime.now(UTC) - timedelta(seconds=project.settings.refresh_grace)
    if row is None or row.expires_at < too_late:
        raise _gone(target, session_id)
    check_owner(row.principal, principal, f"{target}, session {session_id}")

    def decoded() -> ReadSession:
        with project.lake.database.read() as connection:
            content = connection.execute(select(kept.c.content).where(this)).scalar_one_or_none()
        if not content:  # forgotten meanwhile
            raise _gone(target, session_id)
        return _STORED.decode(content)

    session = project.plans.get(session_id, decoded)
    if session.table != target.full_name:
        raise _gone(target, session_id)
    return session, row.expires_at


def _gone(target: RowTarget, session_id: str) -> NotFoundError:
    return NotFoundError(
        ErrorCode.NO_SUCH_OBJECT,
        f"there is no read session {session_id!r}; create one",
        where=str(target),
    )


def response(session: ReadSession, expires_at: datetime, status: SessionStatus) -> ReadSessionResponse:
    """Return how a session is told to its clients."""
    return ReadSessionResponse(
        session_id=session.session_id,
        session_status=status,
        expiration_time=int(expires_at.timestamp() * 1000),
        splits_count=len(session.ends),
        record_count=session.record_count,
        split_mode=session.split_mode,
        data_schema=session.data_schema,
        table_schema=session.table_schema,
        session_stats=SessionStats(
            estimated_size=session.plan.raw_size, estimated_row_count=session.plan.record_count
        ),
        latest_version=session.latest_version,
        split_bucket_id=session.buckets if session.split_mode is SplitMode.BUCKET else (),
        incremental_read_options=session.versions.range,
    )
