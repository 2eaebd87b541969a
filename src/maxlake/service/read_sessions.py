"""Read sessions: a pinned plan, cut into splits (wire.md §4, drift.md B)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from sqlalchemy import Connection, insert, select, update

from maxlake.lake import partitions, plans, snapshots, tables
from maxlake.lake.plans import Plan
from maxlake.lake.tables import StoredColumn, Table
from maxlake.protocol import limits
from maxlake.protocol.columns import Column, read_schema, write_schema
from maxlake.protocol.enums import SessionStatus, SplitMode
from maxlake.protocol.errors import ConflictError, ErrorCode, NotFoundError, invalid_argument
from maxlake.protocol.messages.read import (
    ArrowOptions,
    CreateReadSessionRequest,
    ReadSessionResponse,
    SessionStats,
    SplitOptions,
)
from maxlake.protocol.messages.schema import ReadSchema, WriteSchema
from maxlake.protocol.partitions import PartitionFilter, parse_partition_filter
from maxlake.protocol.targets import TableTarget
from maxlake.protocol.types.text import parse_type
from maxlake.service import expiry, store
from maxlake.service.project import Project, check_owner, new_id


class ReadSession(msgspec.Struct, frozen=True, kw_only=True):
    """What a session is, from its creation to its end; only its expiry ever changes."""

    session_id: str
    table: str
    columns: tuple[StoredColumn, ...]
    arrow_options: ArrowOptions
    split_mode: SplitMode
    ends: tuple[int, ...]
    plan: Plan
    latest_version: int
    data_schema: ReadSchema
    table_schema: WriteSchema

    @property
    def read_columns(self) -> tuple[Column, ...]:
        """The columns of the session, in the order they are sent."""
        return tuple(
            Column(
                name=column.name,
                type=parse_type(column.type),
                nullable=column.nullable,
                column_id=column.column_id,
            )
            for column in self.columns
        )


def create(
    project: Project, target: TableTarget, request: CreateReadSessionRequest, principal: str
) -> ReadSessionResponse:
    """Pin the table's files as of now and plan the splits; the answer is NORMAL at once.

    Raises ``InvalidArgument`` for unknown columns and partition keys, ``NoSuchTable``.
    """
    _refuse_unsupported(request)
    expires_at = project.new_expiry()
    expiry.sweep(project)
    with project.lake.database.write() as connection:
        table = tables.get(connection, target.schema, target.table)
        wanted = wanted_partitions(table, request.required_partitions)
        data_columns = _chosen(table.columns.columns, request.required_data_columns, "data column")
        partition_columns = _chosen(
            table.columns.partition_columns, request.required_partition_columns, "partition column"
        )
        plan = plans.plan(connection, table, wanted, snapshots.latest(connection))
        session = ReadSession(
            session_id=new_id(),
            table=table.full_name,
            columns=tuple(table.stored[column.name] for column in (*data_columns, *partition_columns)),
            arrow_options=request.arrow_options,
            split_mode=request.split_options.split_mode,
            ends=tuple(_cut(plan, request.split_options, request.split_max_file_num)),
            plan=plan,
            latest_version=table.latest_snapshot,
            data_schema=read_schema(data_columns, partition_columns),
            table_schema=write_schema(table.columns.columns, table.columns.partition_columns),
        )
        connection.execute(
            insert(store.read_session).values(
                session_id=session.session_id,
                table_id=table.table_id,
                principal=principal,
                expires_at=expires_at,
                content=msgspec.msgpack.encode(session),
            )
        )
    return _response(session, expires_at, SessionStatus.NORMAL)


def wanted_partitions(table: Table, specs: Sequence[str]) -> PartitionFilter:
    """Read RequiredPartitions; values are compared as files carry them (drift.md B.1)."""
    return parse_partition_filter(
        specs, table.partition_keys, lambda values: partitions.canonical(table, values)
    )


def _refuse_unsupported(request: CreateReadSessionRequest) -> None:
    if request.filter_predicate.strip():
        raise invalid_argument("FilterPredicate is not supported by this version; filter what you read")
    if request.incremental_read:
        raise invalid_argument("IncrementalRead is not supported by this version; read the whole table")
    if request.required_bucket_ids or request.split_options.split_mode is SplitMode.BUCKET:
        raise invalid_argument("Bucket splits are not supported by this version; use Size or Parallelism")


def _chosen(columns: Sequence[Column], names: Sequence[str], what: str) -> list[Column]:
    """Return the wanted columns in table order; no names means all."""
    known = {column.name.lower(): column for column in columns}
    wanted = {name.lower() for name in names}
    unknown = [name for name in names if name.lower() not in known]
    if unknown:
        raise invalid_argument(f"unknown {what} {unknown[0]!r}; there are: {', '.join(known) or 'none'}")
    return [column for name, column in known.items() if not wanted or name in wanted]


def _cut(plan: Plan, options: SplitOptions, max_files: int) -> list[int]:
    """Return the row at which each split ends; RowOffset has no splits (drift.md B.5, B.23)."""
    match options.split_mode:
        case SplitMode.SIZE:
            target = max(
                options.split_number or limits.DEFAULT_SPLIT_SIZE,
                limits.MIN_SPLIT_SIZE,
                plan.raw_size // limits.MAX_SPLITS,
            )
            return plans.split_by_size(
                plan, target, cross_partition=options.cross_partition, max_files=max_files
            )
        case SplitMode.PARALLELISM:
            if not 1 <= options.split_number <= limits.MAX_SPLITS:
                raise invalid_argument(
                    f"SplitNumber is the number of splits in mode Parallelism, 1 to {limits.MAX_SPLITS}, "
                    f"not {options.split_number}"
                )
            return plans.split_by_count(plan, options.split_number)
        case _:
            return []


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
        record_count=session.plan.record_count,
        split_mode=session.split_mode,
        data_schema=session.data_schema,
        table_schema=session.table_schema,
        session_stats=SessionStats(
            estimated_size=session.plan.raw_size, estimated_row_count=session.plan.record_count
        ),
        latest_version=session.latest_version,
    )
