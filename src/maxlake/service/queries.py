"""Statements that read or write rows: planned, computed by a worker, committed (design.md §4, §9)."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from maxlake.lake import commits, definitions, tables, upserts
from maxlake.lake.partitions import PartitionKey
from maxlake.lake.parts import Part
from maxlake.lake.plans import Plan
from maxlake.lake.sql import jobs
from maxlake.lake.sql.jobs import Done, Failed
from maxlake.lake.tables import StoredColumn, Table, TableOptions
from maxlake.lake.upserts import Upsert
from maxlake.protocol.columns import TableSchema
from maxlake.protocol.errors import (
    BadRequestError,
    BusyError,
    ConflictError,
    ErrorCode,
    InternalError,
    MaxlakeError,
)
from maxlake.protocol.limits import MAX_UPSERT_ATTEMPTS
from maxlake.protocol.sql import places
from maxlake.protocol.sql.model import (
    Change,
    CreateTableAs,
    Insert,
    Query,
    RenamePartition,
    RowStatement,
)
from maxlake.service import pins, session_parts, sql_blobs, sql_targets
from maxlake.service.project import Project
from maxlake.service.query_jobs import JobPlanner, Planned, new_directory
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
    planned = work.planner.planned()
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


def _error(failed: Failed, text: str) -> MaxlakeError:
    if failed.busy:
        return BusyError(failed.code, failed.message)
    if failed.code is ErrorCode.INTERNAL_SERVER_ERROR:
        return InternalError(failed.code, failed.message)
    if failed.code in (ErrorCode.CANCELLED, ErrorCode.REQUEST_TIMEOUT):
        return ConflictError(failed.code, failed.message)
    place = None if failed.offset is None else places.find(text, failed.offset, failed.message)
    return BadRequestError(failed.code, failed.message, place=place)


class _Work:
    """One statement on its way."""

    def __init__(self, session: Session, instance_id: str, statement: RowStatement) -> None:
        self.planner = JobPlanner(session, instance_id, statement)
        self._session = session
        self._project = session.project
        self._database = session.project.lake.database
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
                directory=new_directory(statement, self._id),
            )
            commits.commit(connection, table, done.parts)
            end(connection, Found())
