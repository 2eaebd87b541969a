"""The write sessions behind uploads and upserts of the tunnel: blocks of one partition and one schema."""

from __future__ import annotations

import time

from maxlake.protocol.enums import WriteMode
from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.messages.write import CreateWriteSessionRequest
from maxlake.protocol.targets import TableTarget
from maxlake.service import schema_versions, tables, write_sessions
from maxlake.service.project import Project
from maxlake.service.tables import Table
from maxlake.service.write_sessions import BlockOptions, WriteSession


def begin(
    project: Project, target: TableTarget, table: Table, partition: str, principal: str, *, overwrite: bool
) -> str:
    """Create the write session behind a session of the tunnel, and return its id."""
    spec = tables.one_partition(project, target.schema, target.table, partition)
    options = BlockOptions(
        partition_limit=None, enhance_write_check=False, schema_version=table.schema_version
    )
    request = CreateWriteSessionRequest(partition_spec=str(spec), overwrite=overwrite)
    mode = WriteMode.BATCH_COMPATIBLE
    return write_sessions.create(project, target, request, principal, mode=mode, blocks=options).session_id


def schema_version(session: WriteSession) -> int:
    """Return the version of the columns its rows have. Raises ``InvalidArgument`` for other sessions."""
    version = None if session.blocks is None else session.blocks.schema_version
    if version is None:
        raise invalid_argument("the session is none of the tunnel's", where=session.where)
    return version


def check_schema(session: WriteSession) -> None:
    """Raise ``SCHEMA_MISMATCH`` once the table was altered: fields would be taken for others."""
    schema_versions.check(session.table, schema_version(session), evolution=False, where=session.where)


def next_attempt(newest: int | None) -> int:
    """Return a number above ``newest``, the latest attempt stored: attempts are in the order they began."""
    return max(time.time_ns(), (newest or 0) + 1)
