"""Streams of the tunnel: rows are visible as soon as their upload is acknowledged, by :mod:`.streaming`.

Nothing is kept of a stream: its id says of which table its rows are, and in which version of its columns.
"""

from __future__ import annotations

import re

from maxlake.lake import partitions
from maxlake.lake import tables as lake_tables
from maxlake.lake.arrow_input import Source
from maxlake.lake.tables import Table
from maxlake.protocol.columns import read_schema
from maxlake.protocol.errors import ErrorCode, NotFoundError
from maxlake.protocol.messages.streaming import STREAMING_SESSION
from maxlake.protocol.messages.tunnel import StreamUploadSession
from maxlake.protocol.messages.write import StreamAddress, WriteRowsRequest
from maxlake.protocol.partitions import resolve
from maxlake.protocol.targets import TableTarget
from maxlake.protocol.tunnel.decoders import RecordDecoder
from maxlake.service import schema_versions, streaming, tables
from maxlake.service.project import Project
from maxlake.service.tunnel_schema import tunnel_schema

SLOT = "0"
_ID = re.compile(r"stream-([0-9]{1,18})-([0-9]{1,18})")


def create(
    project: Project, target: TableTarget, partition: str, worker: str, *, create_partition: bool = False
) -> StreamUploadSession:
    """Begin a stream to one partition, or to a table that has none; ``worker`` serves its one slot.

    Raises ``InvalidArgument`` unless ``partition`` names exactly one; ``NoSuchPartition`` unless
    ``create_partition``.
    """
    if create_partition:
        tables.add_partition(project, target.schema, target.table, partition)
    tables.one_partition(project, target.schema, target.table, partition)
    table = _table(project, target)
    return _described(table, f"stream-{table.table_id}-{table.schema_version}", worker)


def _table(project: Project, target: TableTarget) -> Table:
    with project.lake.database.read() as connection:
        return lake_tables.get(connection, target.schema, target.table)


def _described(table: Table, stream_id: str, worker: str) -> StreamUploadSession:
    return StreamUploadSession(
        session_name=stream_id,
        schema=tunnel_schema(read_schema(table.columns.columns, table.columns.partition_columns)),
        schema_version=str(table.schema_version),
        slots=((SLOT, worker),),
    )


def get(project: Project, target: TableTarget, stream_id: str, worker: str) -> StreamUploadSession:
    """Return a stream. Raises ``SCHEMA_MISMATCH`` once the table was altered."""
    return _described(_checked(project, target, stream_id), stream_id, worker)


def _checked(project: Project, target: TableTarget, stream_id: str) -> Table:
    table = _table(project, target)
    found = _ID.fullmatch(stream_id)
    if found is None or int(found[1]) != table.table_id:
        raise NotFoundError(
            ErrorCode.NO_SUCH_OBJECT, "the table has no such stream: create one", where=table.full_name
        )
    schema_versions.check(table, int(found[2]), evolution=False, where=table.full_name)
    return table


def write(
    project: Project, target: TableTarget, stream_id: str, partition: str, body: Source, retry_id: str
) -> None:
    """Store the rows of an upload and make them visible; one repeated under its ``retry_id`` counts once.

    Raises ``SCHEMA_MISMATCH`` once the table was altered: fields would be taken for others.
    """
    table = _checked(project, target, stream_id)
    spec = tables.one_partition(project, target.schema, target.table, partition)
    values = partitions.canonical(table, resolve(spec, table.partition_keys, complete=True))
    stream = StreamAddress(session_id=STREAMING_SESSION, stream_id=stream_id, stream_version=1)
    request = WriteRowsRequest(stream=stream, table_id=str(table.table_id), retry_id=retry_id)
    decoder = RecordDecoder(table.columns.columns)
    streaming.write(project, target, request, body, partition=values, decoder=decoder)
