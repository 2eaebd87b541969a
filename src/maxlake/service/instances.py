"""Instances: SQL statements submitted over REST; so far those that define tables (rest.md §6).

A statement runs at once, in the submitting call; a bad one is a failed instance, not a failed call.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
from sqlalchemy import ColumnElement, Connection, insert, select

from maxlake.protocol.errors import ErrorCode, MaxlakeError, NotFoundError, invalid_argument
from maxlake.protocol.limits import MAX_REQUEST_TOKEN
from maxlake.service import statements, store
from maxlake.service.project import Project, new_id


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One finished statement. ``result`` is its text, or the error's."""

    instance_id: str
    task_name: str
    query: str
    settings: Mapping[str, str]
    owner: str
    started_at: datetime
    ended_at: datetime
    succeeded: bool
    result: str


#: The number PyODPS picks its exception class by (rest.md §6.2).
_SQL_CODES = {
    ErrorCode.NO_SUCH_TABLE: "ODPS-0130131",
    ErrorCode.NO_SUCH_SCHEMA: "ODPS-0130131",
    ErrorCode.ALREADY_EXISTS: "ODPS-0130071",
    ErrorCode.NO_PERMISSION: "ODPS-0130013",
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
    priority: int,  # noqa: ARG001 - nothing queues
    principal: str,
) -> Instance:
    """Run a statement; a repeated ``uuid`` is answered with the instance it made before.

    Statement and instance are one transaction. What may succeed at the next try is raised, not recorded.
    """
    if len(uuid) > MAX_REQUEST_TOKEN:
        raise invalid_argument(f"a uuid has at most {MAX_REQUEST_TOKEN} characters")
    token = f"{principal}/{uuid}" if uuid else None
    started_at = datetime.now(UTC)
    with project.lake.database.write() as connection:
        known = _find(connection, store.instance.c.uuid == token) if token else None
        if known:
            return known
        try:
            with connection.begin_nested():
                statements.run(connection, project, query, settings, principal)
            error = None
        except MaxlakeError as raised:
            if raised.retryable:
                raise
            error = raised
        instance = Instance(
            instance_id=new_id(),
            task_name=task_name,
            query=query,
            settings=settings,
            owner=principal,
            started_at=started_at,
            ended_at=datetime.now(UTC),
            succeeded=error is None,
            result=_sql_error(error) if error else "",
        )
        connection.execute(
            insert(store.instance).values(
                instance_id=instance.instance_id,
                uuid=token,
                ended_at=instance.ended_at,
                content=msgspec.msgpack.encode(instance),
            )
        )
    return instance


def _find(connection: Connection, condition: ColumnElement[bool]) -> Instance | None:
    content = connection.execute(select(store.instance.c.content).where(condition)).scalar_one_or_none()
    return msgspec.msgpack.decode(content, type=Instance) if content else None


def _sql_error(error: MaxlakeError) -> str:
    if error.code is ErrorCode.PARSE_ERROR:
        return str(error)
    return f"{_SQL_CODES.get(error.code, _SQL_DEFAULT_CODE)}:[1,1] {error}"


def get(project: Project, instance_id: str, principal: str) -> Instance:
    """Return an instance of the caller; raises ``NoSuchObject``, which clients look for (rest.md §6.2)."""
    with project.lake.database.read() as connection:
        instance = _find(connection, store.instance.c.instance_id == instance_id)
    if instance is None or instance.owner != principal:
        raise NotFoundError(ErrorCode.NO_SUCH_OBJECT, f"instance {instance_id!r} does not exist")
    return instance
