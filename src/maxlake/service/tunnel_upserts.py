"""Upserts through the tunnel: write sessions of tables with a primary key.

An upload is an attempt at a block of :mod:`.blocks`. All of them count, in the order in which they began: one
that is repeated changes nothing.
"""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, func, select

from maxlake.lake.arrow_input import Source
from maxlake.lake.parts import Part
from maxlake.protocol.columns import read_schema
from maxlake.protocol.enums import WriteSessionState
from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.limits import MAX_TUNNEL_BLOCKS
from maxlake.protocol.messages.blocks import BlockAddress
from maxlake.protocol.messages.tunnel import UpsertSession, UpsertSlot, UpsertStatus
from maxlake.protocol.targets import TableTarget
from maxlake.protocol.tunnel.upsert_decoder import UpsertDecoder
from maxlake.service import blocks, store, tables, tunnel_sessions, write_commits, write_sessions
from maxlake.service.project import Project
from maxlake.service.tunnel_schema import tunnel_schema
from maxlake.service.write_sessions import WriteSession, has_expired, load, load_writable

#: All rows go to one bucket, whatever their hash: so they come in the order in which they count.
BUCKET = 0
_STATUS = {
    WriteSessionState.COMMITTED: UpsertStatus.COMMITTED,
    WriteSessionState.ABORTED: UpsertStatus.ABORTED,
}


def create(
    project: Project, target: TableTarget, partition: str, principal: str, worker: str
) -> UpsertSession:
    """Open a session that writes to one partition, or to a table that has none; ``worker`` serves its bucket.

    Raises ``InvalidArgument`` for tables without a primary key, and unless ``partition`` names exactly one;
    ``NoSuchPartition``.
    """
    table = tables.get(project, target.schema, target.table)
    if not table.primary_key:
        raise invalid_argument(
            "a table without a primary key takes no upserts: create an upload session", where=str(target)
        )
    upsert_id = tunnel_sessions.begin(project, target, table, partition, principal, overwrite=False)
    return get(project, target, upsert_id, principal, worker)


def get(project: Project, target: TableTarget, upsert_id: str, principal: str, worker: str) -> UpsertSession:
    """Return a session, whatever became of it."""
    with project.lake.database.read() as connection:
        session = load(connection, target, upsert_id, principal)
    _check(session)
    table = session.table
    open_status = UpsertStatus.EXPIRED if has_expired(session) else UpsertStatus.NORMAL
    return UpsertSession(
        id=upsert_id,
        status=_STATUS.get(session.state, open_status),
        schema=tunnel_schema(read_schema(table.columns.columns, table.columns.partition_columns)),
        slots=(UpsertSlot(slot_id="0", worker_addr=worker, buckets=(BUCKET,)),),
        hash_key=table.options.primary_key,
    )


def _check(session: WriteSession) -> None:
    """Raise ``InvalidArgument`` for a session that was created otherwise."""
    tunnel_sessions.schema_version(session)
    if not session.table.options.primary_key:
        raise invalid_argument("the session takes no upserts", where=session.where)


def write(project: Project, target: TableTarget, upsert_id: str, body: Source, principal: str) -> None:
    """Store rows durably; none of them if anything is wrong.

    Raises ``SCHEMA_MISMATCH`` once the table was altered: fields would be taken for others.
    """
    with project.lake.database.read() as connection:
        session = load_writable(connection, target, upsert_id, principal)
        _check(session)
        tunnel_sessions.check_schema(session)
        address = _next(connection, session)
    decoder = UpsertDecoder(session.table.columns.columns)
    blocks.store_attempt(project, target, session, address, body, principal, decoder)


def _next(connection: Connection, session: WriteSession) -> BlockAddress:
    """Return an address of its own, whose attempt number is above those of all that are stored."""
    block = store.block
    newest = connection.execute(
        select(func.max(block.c.attempt_number)).where(block.c.session_id == session.session_id)
    ).scalar_one()
    return BlockAddress(
        session_id=session.session_id,
        block_number=secrets.randbelow(MAX_TUNNEL_BLOCKS),  # tells apart those of the same moment
        attempt_number=tunnel_sessions.next_attempt(newest),
    )


def commit(
    project: Project, target: TableTarget, upsert_id: str, principal: str, worker: str
) -> UpsertSession:
    """Make all rows visible, at once; repeating it is harmless."""
    write_commits.commit_chosen(project, target, upsert_id, principal, _all)
    return get(project, target, upsert_id, principal, worker)


def _all(connection: Connection, session: WriteSession) -> tuple[list[Part], list[Part]]:
    _check(session)
    tunnel_sessions.check_schema(session)
    block = store.block
    rows = connection.execute(
        select(block)
        .where(block.c.session_id == session.session_id)
        .order_by(block.c.attempt_number, block.c.block_number)
    )
    return blocks.parts_of(connection, session, dict(enumerate(rows)))


def abort(
    project: Project, target: TableTarget, upsert_id: str, principal: str, worker: str
) -> UpsertSession:
    """Drop everything; harmless to repeat, refused after the commit."""
    write_sessions.abort(project, target, upsert_id, principal)
    return get(project, target, upsert_id, principal, worker)
