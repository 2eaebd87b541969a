"""Read sessions on the rows of a query (wire.md §12): as those of tables, over the files of a result."""

from __future__ import annotations

from datetime import datetime

import msgspec

from maxlake.lake.sql.jobs import written_table
from maxlake.lake.tables import TableOptions
from maxlake.protocol.enums import SessionStatus
from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.messages.read import (
    CreateReadSessionRequest,
    InstanceSessionResponse,
    ReadAddress,
    ReadInstanceRequest,
    ReadSessionResponse,
)
from maxlake.protocol.targets import InstanceTarget
from maxlake.service import instances, pins, read_sessions, session_expiry
from maxlake.service.instances import Instance
from maxlake.service.pins import Pin
from maxlake.service.project import Project
from maxlake.service.read_sessions import ReadSession
from maxlake.service.rows import RowStream, rows_of

#: No table has this id: a result's files are no table's, and kept as long as the result is.
_NO_TABLE = 0


def create(
    project: Project, target: InstanceTarget, request: CreateReadSessionRequest, principal: str
) -> InstanceSessionResponse:
    """Open a session on the rows of a query that has succeeded; it ends with them at the latest.

    Raises what :func:`instances.rows_of` does, and ``InvalidArgument`` as sessions on tables do.
    """
    session_expiry.sweep(project)
    instance = instances.rows_of(project, target.instance, principal)
    session, expires_at = _session(instance, request), _expiry(project, instance)
    pin = Pin(
        session_id=session.session_id,
        table_id=_NO_TABLE,
        principal=principal,
        first_snapshot=0,
        last_snapshot=0,
        expires_at=expires_at,
    )
    with project.lake.database.write() as connection:
        pins.add(connection, pin, msgspec.msgpack.encode(session))
    return _answer(read_sessions.response(session, expires_at, SessionStatus.NORMAL))


def _session(instance: Instance, request: CreateReadSessionRequest) -> ReadSession:
    if read_sessions.counts_rows(request):
        raise invalid_argument("a result is read with a FilterPredicate in mode Size or Parallelism only")
    assert instance.plan is not None
    table = written_table(instance.instance_id, instance.columns, TableOptions())
    return read_sessions.of_rows(table, request, instance.plan)


def _expiry(project: Project, instance: Instance) -> datetime:
    return min(project.new_expiry(), instances.expires_at(instance))


def get(
    project: Project, target: InstanceTarget, session_id: str, *, refresh: bool, principal: str
) -> InstanceSessionResponse:
    """Return a session; ``refresh`` extends its life, as far as the rows are kept."""
    instance = instances.rows_of(project, target.instance, principal)
    until = _expiry(project, instance) if refresh else None
    return _answer(read_sessions.get(project, target, session_id, refresh_until=until, principal=principal))


def read(
    project: Project,
    target: InstanceTarget,
    address: ReadAddress,
    request: ReadInstanceRequest,
    principal: str,
) -> RowStream:
    """Read rows of a session, or of the whole result: C++ need not open a session."""
    instance = instances.rows_of(project, target.instance, principal)
    if address.session_id:
        session = read_sessions.open_session(project, target, address.session_id, principal)
    else:
        session = _session(instance, CreateReadSessionRequest())
    columns = request.data_columns or request.columns
    request = msgspec.structs.replace(request, data_columns=columns)
    return rows_of(project.results, session, address, request)


def _answer(response: ReadSessionResponse) -> InstanceSessionResponse:
    return InstanceSessionResponse(
        **msgspec.structs.asdict(response), download_id=response.session_id, status=response.session_status
    )
