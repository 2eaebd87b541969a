"""What a statement that reads or writes rows asks of a worker: the files it reads, and those it writes."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from maxlake.lake import plans, snapshots
from maxlake.lake.plans import Wanted
from maxlake.lake.sql.jobs import Inserted, Job, Rows, Scan
from maxlake.lake.tables import Table
from maxlake.protocol.columns import OPERATION_COLUMN
from maxlake.protocol.errors import (
    BadRequestError,
)
from maxlake.protocol.limits import MAX_RESULT_BYTES, QUERY_MEMORY, QUERY_TIME
from maxlake.protocol.partitions import PartitionFilter
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
from maxlake.service import pins, sql_blobs, sql_targets
from maxlake.service.pins import Pin
from maxlake.service.predicates import session_predicate
from maxlake.service.sql_session import Session

_MOST_THREADS = 4


@dataclass(frozen=True)
class Planned:
    """A job whose files are pinned; ``target`` is the table an INSERT writes to."""

    job: Job
    pins: Sequence[Pin]
    target: Table | None


class JobPlanner:
    """Plans one statement of a session."""

    def __init__(self, session: Session, instance_id: str, statement: RowStatement) -> None:
        self._session = session
        self._project = session.project
        self._database = session.project.lake.database
        self._data = str(session.project.lake.data)
        self._id = instance_id
        self._statement = statement

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

    def input_bytes(self) -> int:
        """Return the size, as Arrow data, of the files the statement reads. Raises ``NoSuchTable``."""
        with self._database.read() as connection:
            query = self._query(self._target(connection))
            snapshot = snapshots.latest(connection)
            scans = [
                self._scan(connection, scan, self._session.get(connection, scan.table), snapshot)
                for scan in query.scans
            ]
        return sum(file.raw_size for scan in scans for file in scan.files)

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
        return f"{self._session.schema_of(statement.table).lower()}/{new_directory(statement, self._id)}"

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


def new_directory(statement: CreateTableAs, instance_id: str) -> str:
    """Return the name of the directory of a table that is created with its rows."""
    return f"{statement.table.name.lower()}-{instance_id}"


def _is_predicate(table: Table, text: str) -> bool:
    """Tell whether a condition is one files can be pruned by; what is not is left to DuckDB."""
    try:
        session_predicate(table, text)
    except BadRequestError:
        return False
    return True
