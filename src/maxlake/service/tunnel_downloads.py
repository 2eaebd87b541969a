"""Downloads of the tunnel: read sessions by row number, on a table, a partition, or the rows of a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from maxlake.protocol import limits
from maxlake.protocol.enums import SessionStatus
from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.messages.read import (
    CreateReadSessionRequest,
    ReadAddress,
    ReadRowsRequest,
    ReadSessionResponse,
)
from maxlake.protocol.messages.tunnel import DownloadSession, TunnelStatus
from maxlake.protocol.targets import InstanceTarget, RowTarget
from maxlake.protocol.types.model import OdpsType
from maxlake.protocol.types.text import parse_type
from maxlake.service import read_sessions, rows, tables
from maxlake.service.project import Project
from maxlake.service.rows import RowStream
from maxlake.service.tunnel_schema import tunnel_schema


@dataclass(frozen=True)
class RowRange:
    """Rows of a download: ``count`` of them from ``start``, fewer where it ends; no columns are all."""

    start: int
    count: int
    columns: tuple[str, ...]


def create(project: Project, target: RowTarget, partition: str, principal: str) -> DownloadSession:
    """Open a session on the rows as they are now.

    Raises ``InvalidArgument`` unless ``partition`` names exactly one where the table has any,
    ``NoSuchPartition``, ``InstanceTypeNotSupported`` for statements without rows, and as read sessions do.
    """
    if isinstance(target, InstanceTarget):
        from maxlake.service import instance_sessions  # noqa: PLC0415 - loads the SQL parser

        whole = CreateReadSessionRequest()
        return _answer(instance_sessions.create(project, target, whole, principal), principal)
    spec = tables.one_partition(project, target.schema, target.table, partition)
    request = CreateReadSessionRequest(required_partitions=(str(spec),) if spec.pairs else ())
    return _answer(read_sessions.create(project, target, request, principal), principal)


def get(project: Project, target: RowTarget, download_id: str, principal: str) -> DownloadSession:
    """Return a session, as it was when it was opened."""
    if isinstance(target, InstanceTarget):
        from maxlake.service import instance_sessions  # noqa: PLC0415 - as above

        found = instance_sessions.get(project, target, download_id, refresh=False, principal=principal)
    else:
        found = read_sessions.get(project, target, download_id, principal=principal)
    return _answer(found, principal)


def _answer(session: ReadSessionResponse, owner: str) -> DownloadSession:
    expired = session.session_status is SessionStatus.EXPIRED
    return DownloadSession(
        download_id=session.session_id,
        status=TunnelStatus.EXPIRED if expired else TunnelStatus.NORMAL,
        record_count=session.record_count,
        schema=tunnel_schema(session.data_schema),
        owner=owner,
    )


@dataclass(frozen=True)
class TypedRows:
    """Rows on their way out, and the types of their columns."""

    types: Sequence[OdpsType]
    rows: RowStream


def read(
    project: Project,
    target: RowTarget,
    download_id: str,
    wanted: RowRange,
    principal: str,
    *,
    table_order: bool,
) -> TypedRows:
    """Read rows of a session; columns come as they are asked for, or in the table's order.

    Raises ``InvalidArgument`` for columns the rows do not have, partition keys among them.
    """
    session = read_sessions.open_session(project, target, download_id, principal)
    types = {column.name: parse_type(column.type) for column in session.data_schema.data_columns}
    asked = {name.lower() for name in wanted.columns}
    unknown = asked - {name.lower() for name in types}
    if unknown:
        raise invalid_argument(f"rows have no column {min(unknown)!r}; they have: {', '.join(types)}")
    address = ReadAddress(session_id=download_id, offset=wanted.start, count=wanted.count)
    request = ReadRowsRequest(
        data_columns=wanted.columns or tuple(types),
        data_columns_unordered=table_order,
        max_batch_raw_size=limits.TUNNEL_BATCH_BYTES,
    )
    where = project.results if isinstance(target, InstanceTarget) else project.lake.data
    found = rows.rows_of(where, session, address, request)
    return TypedRows([types[name] for name in found.schema.names], found)
