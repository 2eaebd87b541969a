"""Read sessions: a pinned plan, cut into splits (wire.md §4, drift.md B)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from sqlalchemy import Connection, insert, select, update

from maxlake.lake import partitions, plans, snapshots, tables
from maxlake.lake.changes import CHANGE_COLUMNS
from maxlake.lake.plans import Plan, Wanted
from maxlake.lake.selections import CountedSelection, count_selected
from maxlake.lake.tables import StoredColumn, Table
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
from maxlake.protocol.targets import TableTarget
from maxlake.service import expiry, store
from maxlake.service.incremental import Versions, resolve
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
        return self.plan.record_count if self.predicate is None else -1


def create(
    project: Project, target: TableTarget, request: CreateReadSessionRequest, principal: str
) -> ReadSessionResponse:
    """Pin the table's files as of now and plan the splits; the answer is NORMAL at once.

    Raises ``InvalidArgument`` for unknown columns, partition keys, buckets and for predicates that are none,
    ``NoSuchTable``, ``VersionExpired``.
    """
    expiry.sweep(project)
    session, table_id = _planned(project, target, request)
    expires_at = project.new_expiry()
    while not _pin(project, session, table_id, principal, expires_at):
        session, table_id = _planned(project, target, request)
    if session.predicate is not None and session.split_mode is SplitMode.ROW_OFFSET:
        counted = count_selected(project.lake.data, session.plan, session.predicate.selection())
        session = msgspec.structs.replace(session, counted=counted)
        with project.lake.database.write() as connection:
            connection.execute(
                update(store.read_session)
                .where(store.read_session.c.session_id == session.session_id)
                .values(content=msgspec.msgpack.encode(session))
            )
    return _response(session, expires_at, SessionStatus.NORMAL)


def _planned(
    project: Project, target: TableTarget, request: CreateReadSessionRequest
) -> tuple[ReadSession, int]:
    """Plan a session outside of any turn: writers do not wait for it. Returns the table's id, too."""
    with project.lake.database.read() as connection:
        table = tables.get(connection, target.schema, target.table)
        predicate = session_predicate(table, request.filter_predicate)
        data_columns = _chosen(table.columns.columns, request.required_data_columns, "data column")
        partition_columns = _chosen(
            table.columns.partition_columns, request.required_partition_columns, "partition column"
        )
        buckets = required_buckets(table, request)
        wanted = Wanted(
            wanted_partitions(table, request.required_partitions),
            None if buckets is None else frozenset(buckets),
            None if predicate is None else predicate.selection().filter,
        )
        versions = resolve(connection, table, request)
        plan = versions.plan(project.lake, connection, table, wanted)
    if request.split_options.split_mode is SplitMode.BUCKET:
        plan = plans.by_bucket(plan)
    changes = CHANGE_COLUMNS if versions.mode is IncrementalMode.CDC else ()
    session = ReadSession(
        session_id=new_id(),
        table=table.full_name,
        columns=(*(table.stored[column.name] for column in (*data_columns, *partition_columns)), *changes),
        arrow_options=request.arrow_options,
        split_mode=request.split_options.split_mode,
        ends=tuple(cut(plan, request, buckets or ())),
        buckets=buckets or (),
        plan=plan,
        versions=versions,
        predicate=predicate,
        latest_version=table.latest_snapshot,
        data_schema=read_schema(data_columns, partition_columns, [column.column for column in changes]),
        table_schema=write_schema(table.columns.columns, table.columns.partition_columns),
    )
    return session, table.table_id


def _pin(project: Project, session: ReadSession, table_id: int, principal: str, expires_at: datetime) -> bool:
    """Keep the files of a plan from being deleted; False when that was too late."""
    with project.lake.database.write() as connection:
        if snapshots.oldest_kept(connection) > session.versions.oldest:
            return False
        connection.execute(
            insert(store.read_session).values(
                session_id=session.session_id,
                table_id=table_id,
                principal=principal,
                first_snapshot=session.versions.oldest,
                last_snapshot=session.versions.last,
                expires_at=expires_at,
                content=msgspec.msgpack.encode(session),
            )
        )
    return True


def wanted_partitions(table: Table, specs: Sequence[str]) -> PartitionFilter:
    """Read RequiredPartitions; values are compared as files carry them (drift.md B.1)."""
    return parse_partition_filter(
        specs, table.partition_keys, lambda values: partitions.canonical(table, values)
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
    project: Project, target: TableTarget, session_id: str, *, refresh: bool, principal: str
) -> ReadSessionResponse:
    """Return a session; ``refresh`` extends its life without listing files again (drift.md B.7)."""
    if refresh:
        with project.lake.database.write() as connection:
            session, _ = _load(connection, project, target, session_id, principal)
            expires_at = project.new_expiry()
            connection.execute(
                update(store.read_session)
                .where(store.read_session.c.session_id == session_id)
                .values(expires_at=expires_at)
            )
        return _response(session, expires_at, SessionStatus.NORMAL)
    with project.lake.database.read() as connection:
        session, expires_at = _load(connection, project, target, session_id, principal)
    expired = expires_at < datetime.now(UTC)
    return _response(session, expires_at, SessionStatus.EXPIRED if expired else SessionStatus.NORMAL)


def open_session(project: Project, target: TableTarget, session_id: str, principal: str) -> ReadSession:
    """Return a session that may be read now; an expired one raises ``InvalidSessionStatus``."""
    with project.lake.database.read() as connection:
        session, expires_at = _load(connection, project, target, session_id, principal)
    if expires_at < datetime.now(UTC):
        raise ConflictError(
            ErrorCode.INVALID_SESSION_STATUS,
            "the read session has expired; refresh it with TableGetReadSession and session_refresh=true",
            where=f"{target}, session {session_id}",
        )
    return session


def _load(
    connection: Connection, project: Project, target: TableTarget, session_id: str, principal: str
) -> tuple[ReadSession, datetime]:
    """Return a session of this table and when it expires; ``NoSuchObject`` once refreshing is too late."""
    kept = store.read_session
    this = kept.c.session_id == session_id
    row = connection.execute(select(kept.c.principal, kept.c.expires_at).where(this)).one_or_none()
    too_late = datetime.now(UTC) - timedelta(seconds=project.settings.refresh_grace)
    if row is None or row.expires_at < too_late:
        raise _gone(target, session_id)
    check_owner(row.principal, principal, f"{target}, session {session_id}")

    def content() -> bytes:
        return connection.execute(select(kept.c.content).where(this)).scalar_one()

    session = project.plans.get(session_id, lambda: msgspec.msgpack.decode(content(), type=ReadSession))
    if session.table != f"{target.schema}.{target.table}".lower():
        raise _gone(target, session_id)
    return session, row.expires_at


def _gone(target: TableTarget, session_id: str) -> NotFoundError:
    return NotFoundError(
        ErrorCode.NO_SUCH_OBJECT,
        f"there is no read session {session_id!r}; create one with TableCreateReadSession",
        where=str(target),
    )


def _response(session: ReadSession, expires_at: datetime, status: SessionStatus) -> ReadSessionResponse:
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
