"""Statements that read or write rows: planned, computed by a worker, committed (design.md §4, §9)."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection

from maxlake.lake import commits, definitions, plans, snapshots, tables, upserts
from maxlake.lake.partitions import PartitionKey
from maxlake.lake.parts import Part
from maxlake.lake.plans import Plan, Wanted
from maxlake.lake.sql import jobs
from maxlake.lake.sql.jobs import Done, Failed, Inserted, Job, Rows, Scan
from maxlake.lake.tables import StoredColumn, Table, TableOptions
from maxlake.lake.upserts import Upsert
from maxlake.protocol.columns import OPERATION_COLUMN, TableSchema
from maxlake.protocol.errors import (
    BadRequestError,
    BusyError,
    ConflictError,
    ErrorCode,
    InternalError,
    MaxlakeError,
)
from maxlake.protocol.limits import MAX_RESULT_BYTES, MAX_UPSERT_ATTEMPTS, QUERY_MEMORY, QUERY_TIME
from maxlake.protocol.partitions import PartitionFilter
from maxlake.protocol.sql import places
from maxlake.protocol.sql.changes import rows_of
from maxlake.protocol.sql.inserts import rows_to_insert
from maxlake.protocol.sql.lineage import declared_types
from maxlake.protocol.sql.model import (
    Change,
    CreateTableAs,
    Insert,
    Query,
    RenamePartition,
    RowStatement,
    TableScan,
)
from maxlake.protocol.types.model import OdpsType
from maxlake.service import pins, session_parts, sql_blobs, sql_targets
from maxlake.service.pins import Pin
from maxlake.service.predicates import session_predicate
from maxlake.service.project import Project
from maxlake.service.sql_session import Session

_MOST_THREADS = 4


@dataclass(frozen=True)
class Found:
    """What a statement left: a query its rows, with their columns, others nothing to read."""

    plan: Plan | None = None
    columns: tuple[StoredColumn, ...] = ()


#: Is called in the transaction that makes what a statement did visible.
End = Callable[[Connection, Found], None]


def execute(
    session: Session,
    instance_id: str,
    statement: RowStatement,
    cancelled: Callable[[], bool],
    end: End,
) -> None:
    """Run a statement to its end, which ``end`` records in the same transaction as its rows.

    Raises what is wrong with the statement, and ``Cancelled``; then nothing of it is visible.
    """
    project = session.project
    work = _Work(session, instance_id, statement)
    if work.is_done_already():
        with project.lake.database.write() as connection:
            end(connection, Found())
        return
    for _ in range(MAX_UPSERT_ATTEMPTS):
        if _attempt(project, work, cancelled, end):
            return
    raise upserts.outrun(f"instance {instance_id}")


def _attempt(project: Project, work: _Work, cancelled: Callable[[], bool], end: End) -> bool:
    """Run a statement once; False, and nothing done, if others changed the rows it has read meanwhile."""
    planned = work.planned()
    spill = Path(planned.job.spill)
    try:
        spill.mkdir(parents=True, exist_ok=True)
        outcome = project.queries.workers.run(planned.job, cancelled)
        if isinstance(outcome, Failed):
            raise _error(outcome, planned.job.text)
        return work.finish(planned, outcome, end)
    finally:
        shutil.rmtree(spill, ignore_errors=True)
        for pin in planned.pins:
            pins.remove(project.lake.database, pin.session_id)


def plan(session: Session, instance_id: str, statement: RowStatement) -> Planned:
    """Plan a statement as :func:`execute` does; its files stay pinned until the pins expire."""
    return _Work(session, instance_id, statement).planned()


def _error(failed: Failed, text: str) -> MaxlakeError:
    if failed.busy:
        return BusyError(failed.code, failed.message)
    if failed.code is ErrorCode.INTERNAL_SERVER_ERROR:
        return InternalError(failed.code, failed.message)
    if failed.code in (ErrorCode.CANCELLED, ErrorCode.REQUEST_TIMEOUT):
        return ConflictError(failed.code, failed.message)
    place = None if failed.offset is None else places.find(text, failed.offset, failed.message)
    return BadRequestError(failed.code, failed.message, place=place)


@dataclass(frozen=True)
class Planned:
    """A job whose files are pinned; ``target`` is the table an INSERT writes to."""

    job: Job
    pins: Sequence[Pin]
    target: Table | None


class _Work:
    """One statement on its way."""

    def __init__(self, session: Session, instance_id: str, statement: RowStatement) -> None:
        self._session = session
        self._project = session.project
        self._database = session.project.lake.database
        self._data = str(session.project.lake.data)
        self._id = instance_id
        self._statement = statement

    def is_done_already(self) -> bool:
        """Tell whether CREATE TABLE IF NOT EXISTS finds its table. Raises ``ObjectAlreadyExists``."""
        statement = self._statement
        if not isinstance(statement, CreateTableAs):
            return False
        with self._database.read() as connection:
            found = self._session.find(connection, statement.table)
            tables.check_schema(connection, self._session.schema_of(statement.table))
        if found and not statement.if_not_exists:
            raise ConflictError(ErrorCode.ALREADY_EXISTS, f"table {found.full_name} already exists")
        return found is not None

    def planned(self) -> Planned:
        """Plan the job and pin the files it reads."""
        while True:
            with self._database.read() as connection:
                snapshot = snapshots.latest(connection)
                target = self._target(connection)
                query = self._query(target)
                read = [(scan, self._session.get(connection, scan.table)) for scan in query.scans]
                scans = [self._scan(connection, scan, table, snapshot) for scan, table in read]
            tables_read = [table for _, table in read]
            job = self._job(query, scans, tables_read, target)
            pinned = self._pins({table.table_id for table in tables_read}, snapshot)
            with self._database.write() as connection:
                if snapshots.oldest_kept(connection) > snapshot:
                    continue
                for pin in pinned:
                    pins.add(connection, pin, b"")
            return Planned(job, pinned, target)

    def _target(self, connection: Connection) -> Table | None:
        """Return the table the statement changes, None if it reads only, or makes one."""
        statement = self._statement
        if not isinstance(statement, Insert | Change | RenamePartition):
            return None
        target = self._session.get(connection, statement.table)
        if isinstance(statement, Change):
            sql_targets.check_change(target, statement)
        elif isinstance(statement, RenamePartition):
            sql_targets.check_rename(connection, target, statement)
        return target

    def _query(self, target: Table | None) -> Query:
        match self._statement:
            case Query() as query:
                return query
            case Change() as change:
                assert target is not None
                columns = [column.name for column in target.columns.all_columns]
                return rows_of(change, columns, [*target.options.primary_key, *target.partition_keys])
            case RenamePartition() as renamed:
                assert target is not None
                return rows_to_insert(renamed.table, [column.name for column in target.columns.columns])
            case statement:
                return statement.query

    def _scan(self, connection: Connection, scan: TableScan, table: Table, snapshot: int) -> Scan:
        """List the files of a table that may hold rows the query needs."""
        conditions = " AND ".join(f"({text})" for text in scan.conditions if _is_predicate(table, text))
        predicate = session_predicate(table, conditions)
        wanted = Wanted(
            self._partitions(table), filter=None if predicate is None else predicate.selection().filter
        )
        plan = plans.plan(self._project.lake, connection, table, wanted, snapshot)
        return Scan(scan.scan, tuple(table.stored.values()), plan.files)

    def _partitions(self, table: Table) -> PartitionFilter:
        """Return which partitions of the tables it reads a statement takes, before any condition."""
        if not isinstance(self._statement, RenamePartition):
            return PartitionFilter({}, {})
        key = sql_targets.partition_key(table, self._statement.old)
        return PartitionFilter({}, {tuple(table.partition_keys): frozenset({key})})

    def _pins(self, table_ids: set[int], snapshot: int) -> list[Pin]:
        return [
            Pin(
                session_id=f"{self._id}.{table_id}",
                table_id=table_id,
                principal=self._session.principal,
                first_snapshot=snapshot,
                last_snapshot=snapshot,
                expires_at=datetime.now(UTC) + timedelta(seconds=QUERY_TIME),
            )
            for table_id in sorted(table_ids)
        ]

    def _job(self, query: Query, scans: Sequence[Scan], read: Sequence[Table], target: Table | None) -> Job:
        columns = {
            scan.name: [(column.name, column.type) for column in table.columns.all_columns]
            for scan, table in zip(scans, read, strict=True)
        }
        declared = declared_types(query, columns)
        return Job(
            text=query.text,
            data=self._data,
            spill=str(self._project.spill / self._id),
            scans=tuple(scans),
            output=self._rows(declared) if target is None else self._inserted(target, read, declared),
            memory=QUERY_MEMORY,
            threads=min(os.cpu_count() or 1, _MOST_THREADS),
        )

    def _rows(self, declared: Sequence[OdpsType | None]) -> Rows:
        texts = tuple(None if t is None else str(t) for t in declared)
        if isinstance(self._statement, CreateTableAs):
            sql_blobs.check_created(declared)
            return Rows(self._data, self._new_path(self._statement), self._id, texts)
        return Rows(str(self._project.results), self._id, self._id, texts, MAX_RESULT_BYTES)

    def _new_path(self, statement: CreateTableAs) -> str:
        """Return where the rows of a table lie that is created when they are there."""
        return f"{self._session.schema_of(statement.table).lower()}/{self._new_directory(statement)}"

    def _new_directory(self, statement: CreateTableAs) -> str:
        return f"{statement.table.name.lower()}-{self._id}"

    def _inserted(
        self, target: Table, read: Sequence[Table], declared: Sequence[OdpsType | None]
    ) -> Inserted:
        statement = self._statement
        if isinstance(statement, Insert):
            given = sql_targets.given(target, statement)
            fixed = sql_targets.fixed(target, statement.partition)
        elif isinstance(statement, RenamePartition):
            given = tuple(column.name for column in target.columns.columns)
            fixed = sql_targets.fixed(target, statement.new)
        else:
            given = (*(column.name for column in target.columns.all_columns), OPERATION_COLUMN)
            fixed = {}
        sql_blobs.check_inserted(target, read, given, declared)
        return Inserted(
            directory=self._data,
            path=str(target.path),
            # Each attempt writes files of its own.
            name=f"{self._id}-{uuid.uuid4().hex[:12]}",
            stored=tuple(target.stored.values()),
            options=target.options,
            given=given,
            fixed=fixed,
        )

    def finish(self, planned: Planned, done: Done, end: End) -> bool:
        """Make the rows visible; what cannot be leaves nothing. False where the statement is to run again."""
        match self._statement:
            case Insert() | Change() | RenamePartition():
                assert planned.target is not None
                return self._finish_rows(planned.target, done, end)
            case CreateTableAs() as statement:
                self._finish_create(statement, done, end)
            case Query():
                with self._database.write() as connection:
                    end(connection, Found(jobs.result_plan(self._id, done.parts), done.columns))
        return True

    def _finish_rows(self, target: Table, done: Done, end: End) -> bool:
        parts = list(done.parts)
        try:
            sql_blobs.check_written(self._project, target, parts)
        except BaseException:
            self._discard(target, None, parts)
            raise
        replaced = self._replaced(target, done)
        if not target.options.primary_key or not parts:
            return self._commit(target, None, parts, replaced, end)
        try:
            with self._project.lake.upserting(target):
                for _ in range(MAX_UPSERT_ATTEMPTS):
                    name = f"{self._id}-commit-{uuid.uuid4().hex[:12]}"
                    upsert = upserts.prepare(self._project.lake, target, parts, name, replaced)
                    if upsert is not None and self._commit(target, upsert, parts, replaced, end):
                        return True
                    if self._depends_on_rows:
                        return False
            raise upserts.outrun(target.full_name)
        finally:
            session_parts.remove_files(self._project.lake.data, target.path, parts)

    @property
    def _depends_on_rows(self) -> bool:
        """Whether what the target held when the statement was planned decides what it does."""
        return isinstance(self._statement, Change | RenamePartition)

    def _replaced(self, target: Table, done: Done) -> set[PartitionKey]:
        match self._statement:
            case Insert() as insert:
                return sql_targets.replaced(target, insert, done)
            case RenamePartition() as renamed:
                return {sql_targets.partition_key(target, renamed.old)}
            case _:
                return set()

    def _commit(
        self, target: Table, upsert: Upsert | None, parts: list[Part], replaced: set[PartitionKey], end: End
    ) -> bool:
        """Commit parts, or what an upsert made of them; False, and nothing done, if that comes too late."""
        try:
            with self._database.write() as connection:
                now = tables.get_by_id(connection, target.table_id)
                sql_targets.check_unaltered(now, target)
                if self._depends_on_rows and sql_targets.has_changed(now, target):
                    applied = False
                elif upsert is None:
                    assert now is not None
                    commits.commit(connection, now, parts, replaced=replaced)
                    applied = True
                else:
                    applied = upsert.apply(connection)
                if applied and isinstance(self._statement, RenamePartition):
                    sql_targets.rename_partition(connection, target, self._statement)
                if applied:
                    end(connection, Found())
        except MaxlakeError:  # then no row names the files; after a COMMIT that failed one may
            self._discard(target, upsert, parts)
            raise
        if not applied:
            self._discard(target, upsert, parts if upsert is None else [])
        return applied

    def _discard(self, target: Table, upsert: Upsert | None, parts: list[Part]) -> None:
        if upsert is not None:
            upsert.discard()
        session_parts.remove_files(self._project.lake.data, target.path, parts)

    def _finish_create(self, statement: CreateTableAs, done: Done, end: End) -> None:
        columns = tuple(column.column for column in done.columns)
        with self._database.write() as connection:
            table = definitions.create_table(
                connection,
                self._session.schema_of(statement.table),
                statement.table.name,
                TableSchema(columns, ()),
                TableOptions(
                    comment=statement.comment or "",
                    lifecycle=statement.lifecycle,
                    properties=dict(statement.properties),
                ),
                self._session.principal,
                directory=self._new_directory(statement),
            )
            commits.commit(connection, table, done.parts)
            end(connection, Found())


def _is_predicate(table: Table, text: str) -> bool:
    """Tell whether a condition is one files can be pruned by; what is not is left to DuckDB."""
    try:
        session_predicate(table, text)
    except BadRequestError:
        return False
    return True
