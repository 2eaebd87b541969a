"""Instances: SQL statements submitted over REST (rest.md §6).

What defines tables or asks about them runs at once, in the submitting call. What reads or writes rows runs in
a process of its own, while its client polls. A bad statement is a failed instance, not a failed call.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from maxlake.failpoints import Failpoint, reach
from maxlake.lake.plans import Plan
from maxlake.lake.tables import StoredColumn
from maxlake.protocol.enums import InstanceStatus, TaskKind
from maxlake.protocol.errors import (
    BadRequestError,
    ConflictError,
    ErrorCode,
    MaxlakeError,
    NotFoundError,
    invalid_argument,
)
from maxlake.protocol.limits import INSTANCE_LEASE, MAX_REQUEST_TOKEN, RESULT_LIFETIME
from maxlake.protocol.sql.model import Definition, RowStatement
from maxlake.protocol.sql.statements import Script, parse_script
from maxlake.service import queries, questions, statements, store
from maxlake.service.project import Project, new_id
from maxlake.service.query_jobs import JobPlanner
from maxlake.service.sql_session import Session

_log = logging.getLogger(__name__)
_ROW = store.instance.c


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One statement. ``result`` is its text, or the error's; ``plan`` has the rows a query gave."""

    instance_id: str
    task_name: str
    query: str
    settings: Mapping[str, str]
    owner: str
    started_at: datetime
    status: InstanceStatus
    priority: int = 9
    kind: TaskKind = TaskKind.SQL
    ended_at: datetime | None = None
    result: str = ""
    columns: tuple[StoredColumn, ...] = ()
    plan: Plan | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the statement has been run, wholly."""
        return self.status is InstanceStatus.SUCCESS


# Made before threads are (see read_sessions).
_STORED = msgspec.msgpack.Decoder(Instance)

#: The number PyODPS picks its exception class by (rest.md §6.2).
_SQL_CODES = {
    ErrorCode.NO_SUCH_TABLE: "ODPS-0130131",
    ErrorCode.NO_SUCH_SCHEMA: "ODPS-0130131",
    ErrorCode.SEMANTIC_ERROR: "ODPS-0130071",
    ErrorCode.ALREADY_EXISTS: "ODPS-0130071",
    ErrorCode.NO_PERMISSION: "ODPS-0130013",
    ErrorCode.DATA_ERROR: "ODPS-0121095",
    ErrorCode.CANCELLED: "ODPS-0110000",
    ErrorCode.INTERNAL_SERVER_ERROR: "ODPS-0010000",
}
_SQL_DEFAULT_CODE = "ODPS-0420411"


def submit(
    project: Project,
    *,
    task_name: str,
    query: str,
    settings: Mapping[str, str],
    uuid: str,
    priority: int,
    principal: str,
    kind: TaskKind = TaskKind.SQL,
) -> Instance:
    """Begin a statement, or tell its cost; a repeated ``uuid`` is answered with the instance it made before.

    What may succeed at the next try is raised, not recorded.
    """
    if len(uuid) > MAX_REQUEST_TOKEN:
        raise invalid_argument(f"a uuid has at most {MAX_REQUEST_TOKEN} characters")
    token = f"{principal}/{uuid}" if uuid else None
    instance = Instance(
        instance_id=new_id(),
        task_name=task_name,
        query=query,
        settings=settings,
        owner=principal,
        started_at=datetime.now(UTC),
        status=InstanceStatus.WAITING,
        priority=priority,
        kind=kind,
    )
    try:
        script = parse_script(query)
        session = Session(project, {**settings, **script.settings}, principal)
        if kind is TaskKind.COST:
            estimated = _ended(instance, InstanceStatus.SUCCESS, result=_cost(session, script))
            return _record(project, token, lambda _: estimated)
    except MaxlakeError as error:
        if error.retryable:
            raise
        failed = _failed(instance, error)
        return _record(project, token, lambda _: failed)
    if isinstance(script.statement, RowStatement):
        return _begin(project, token, instance, session, script.statement)
    return _record(project, token, lambda connection: _at_once(connection, instance, session, script))


def _cost(session: Session, script: Script) -> str:
    """Return what a statement would read: of its cost nothing else is known before it runs."""
    statement = script.statement
    planner = JobPlanner(session, "", statement) if isinstance(statement, RowStatement) else None
    cost = {"Input": planner.input_bytes() if planner else 0, "UDF": 0, "Complexity": 1.0}
    return json.dumps({"Cost": {"SQL": cost}})


def _record(project: Project, token: str | None, end: Callable[[Connection], Instance]) -> Instance:
    """Store what becomes of an instance, in the transaction of its statement."""
    with project.lake.database.write() as connection:
        known = _find(connection, _ROW.uuid == token) if token else None
        if known:
            return known
        instance = end(connection)
        _insert(connection, token, instance)
    return instance


def _at_once(connection: Connection, instance: Instance, session: Session, script: Script) -> Instance:
    try:
        with connection.begin_nested():
            if isinstance(script.statement, Definition):
                statements.run(connection, session, script.statement)
                text = ""
            else:
                assert not isinstance(script.statement, RowStatement)
                text = questions.answer(connection, session, script.statement)
    except MaxlakeError as error:
        if error.retryable:
            raise
        return _failed(instance, error)
    return _ended(instance, InstanceStatus.SUCCESS, result=text)


def _begin(
    project: Project, token: str | None, instance: Instance, session: Session, statement: RowStatement
) -> Instance:
    begun = _record(project, token, lambda _: instance)
    if begun is not instance:
        return begun
    try:
        project.queries.start(
            instance.instance_id,
            lambda cancelled: _run(project, instance, session, statement, cancelled),
            lambda held: _renew(project, held),
        )
    except MaxlakeError:
        with project.lake.database.write() as connection:
            connection.execute(delete(store.instance).where(_ROW.instance_id == instance.instance_id))
        raise
    return instance


def _run(
    project: Project,
    instance: Instance,
    session: Session,
    statement: RowStatement,
    cancelled: Callable[[], bool],
) -> None:
    """Run a statement in this thread, and record how it ended."""
    try:
        instance = msgspec.structs.replace(instance, status=InstanceStatus.RUNNING)
        _finish(project, instance)

        def end(connection: Connection, found: queries.Found) -> None:
            plan, columns = (found.plan, found.columns) if found.plan else (None, ())
            _check_lease(connection, instance)
            _update(connection, _ended(instance, InstanceStatus.SUCCESS, plan=plan, columns=columns))
            reach(Failpoint.BEFORE_COMMIT_TRANSACTION)

        queries.execute(session, instance.instance_id, statement, cancelled, end)
        reach(Failpoint.AFTER_COMMIT_TRANSACTION)
    except MaxlakeError as error:
        _finish(project, _failed(instance, error, stopped=cancelled() and not project.queries.closing))
    except Exception:  # noqa: BLE001 - whatever it is, clients poll for the end
        _log.exception("instance %s", instance.instance_id)
        _finish(project, _ended(instance, InstanceStatus.FAILED, result="ODPS-0010000: internal error"))


def _ended(instance: Instance, status: InstanceStatus, **values: object) -> Instance:
    return msgspec.structs.replace(instance, status=status, ended_at=datetime.now(UTC), **values)


def _failed(instance: Instance, error: MaxlakeError, *, stopped: bool = False) -> Instance:
    status = InstanceStatus.CANCELLED if stopped else InstanceStatus.FAILED
    return _ended(instance, status, result=_sql_error(error))


def _sql_error(error: MaxlakeError) -> str:
    if error.code is ErrorCode.PARSE_ERROR:
        return str(error)
    place = "" if error.place is None else "[{},{}]".format(*error.place)
    return f"{_SQL_CODES.get(error.code, _SQL_DEFAULT_CODE)}:{place} {error}"


# -- rows of the catalog -----------------------------------------------------------------------------


def _values(instance: Instance) -> dict[str, object]:
    lease = None if instance.status.ended else datetime.now(UTC) + timedelta(seconds=INSTANCE_LEASE)
    return {
        "status": instance.status,
        "lease_until": lease,
        "ended_at": instance.ended_at,
        "content": msgspec.msgpack.encode(instance),
    }


def _insert(connection: Connection, token: str | None, instance: Instance) -> None:
    connection.execute(
        insert(store.instance).values(
            instance_id=instance.instance_id,
            uuid=token,
            principal=instance.owner,
            started_at=instance.started_at,
            **_values(instance),
        )
    )


def _update(connection: Connection, instance: Instance) -> None:
    connection.execute(
        update(store.instance)
        .where(_ROW.instance_id == instance.instance_id, _ROW.ended_at.is_(None))
        .values(_values(instance))
    )


def _check_lease(connection: Connection, instance: Instance) -> None:
    """Raise unless the instance still counts as running: who asked meanwhile was told that it has failed."""
    found = connection.execute(
        select(_ROW.instance_id).where(
            _ROW.instance_id == instance.instance_id, _ROW.lease_until >= datetime.now(UTC)
        )
    ).first()
    if found is None:
        raise ConflictError(
            ErrorCode.INVALID_SESSION_STATUS,
            f"the server gave no sign for {INSTANCE_LEASE} s and counted as gone; run the statement again",
            where=instance.instance_id,
        )


def _finish(project: Project, instance: Instance) -> None:
    with project.lake.database.write() as connection:
        _update(connection, instance)


def _renew(project: Project, held: Sequence[str]) -> None:
    until = datetime.now(UTC) + timedelta(seconds=INSTANCE_LEASE)
    with project.lake.database.write() as connection:
        connection.execute(
            update(store.instance)
            .where(_ROW.instance_id.in_(held), _ROW.ended_at.is_(None))
            .values(lease_until=until)
        )


def _find(connection: Connection, condition: ColumnElement[bool]) -> Instance | None:
    row = connection.execute(select(_ROW.content, _ROW.lease_until).where(condition)).one_or_none()
    return None if row is None else _decoded(row.content, row.lease_until)


def _decoded(content: bytes, lease_until: datetime | None) -> Instance:
    """Return an instance; one whose server is gone has failed."""
    instance = _STORED.decode(content)
    if lease_until is None or lease_until >= datetime.now(UTC):
        return instance
    return msgspec.structs.replace(
        instance,
        status=InstanceStatus.FAILED,
        ended_at=lease_until,
        result="ODPS-0010000: the server that ran the statement ended; nothing of it is visible",
    )


def get(project: Project, instance_id: str, principal: str) -> Instance:
    """Return an instance of the caller; raises ``NoSuchObject``, which clients look for (rest.md §6.2)."""
    with project.lake.database.read() as connection:
        instance = _find(connection, _ROW.instance_id == instance_id)
    if instance is None or instance.owner != principal:
        raise NotFoundError(ErrorCode.NO_SUCH_OBJECT, f"instance {instance_id!r} does not exist")
    return instance


def list_instances(
    project: Project,
    principal: str,
    *,
    first: datetime | None,
    last: datetime | None,
    status: Sequence[InstanceStatus],
    before: str,
    limit: int,
) -> list[Instance]:
    """Return at most ``limit`` instances of the caller, the newest first, begun between two times.

    ``before`` is the id after which the list goes on; no ``status`` means any.
    """
    conditions = [_ROW.principal == principal]
    conditions += [] if first is None else [_ROW.started_at >= first]
    conditions += [] if last is None else [_ROW.started_at < last]
    conditions += [_ROW.status.in_(status)] if status else []
    conditions += [_ROW.instance_id < before] if before else []
    with project.lake.database.read() as connection:
        rows = connection.execute(
            select(_ROW.content, _ROW.lease_until)
            .where(*conditions)
            .order_by(_ROW.instance_id.desc())
            .limit(limit)
        ).all()
    return [_decoded(row.content, row.lease_until) for row in rows]


def stop(project: Project, instance_id: str, principal: str) -> None:
    """Stop an instance; harmless for one that has ended. Raises ``NoSuchObject``."""
    if get(project, instance_id, principal).status.ended:
        return
    if not project.queries.stop(instance_id):
        raise ConflictError(
            ErrorCode.INVALID_SESSION_STATUS,
            "another server runs this instance: stop it there",
            where=instance_id,
        )


def rows_of(project: Project, instance_id: str, principal: str) -> Instance:
    """Return an instance whose rows can be read: one of a query that has succeeded (wire.md §12).

    Raises ``NoSuchObject``, also when the rows have expired, ``InvalidSessionStatus`` while it runs, and
    ``InvalidArgument`` for failed instances, ``InstanceTypeNotSupported`` for statements without rows.
    """
    instance = get(project, instance_id, principal)
    if not instance.status.ended:
        raise ConflictError(
            ErrorCode.INVALID_SESSION_STATUS, "the instance is still running; wait for it", where=instance_id
        )
    if not instance.succeeded:
        raise invalid_argument(f"the instance failed: {instance.result}", where=instance_id)
    if instance.plan is None:
        # By this code PyODPS knows, without a warning, to read the text.
        raise BadRequestError(
            ErrorCode.INSTANCE_TYPE_NOT_SUPPORTED,
            "the instance's statement gives no rows: read its result",
            where=instance_id,
        )
    if expires_at(instance) < datetime.now(UTC):
        raise NotFoundError(
            ErrorCode.NO_SUCH_OBJECT, "the rows of the instance have expired; run it again", where=instance_id
        )
    return instance


def expires_at(instance: Instance) -> datetime:
    """Return until when the rows of an instance are kept."""
    return (instance.ended_at or instance.started_at) + timedelta(seconds=RESULT_LIFETIME)
