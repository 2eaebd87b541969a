"""Uploads of the tunnel: write sessions whose numbered blocks become visible together.

A block is an attempt at a block of :mod:`.blocks`, the newest one counts: a block uploaded again takes the
place of what it was as soon as it is stored, not before. Nothing else is different: rows are staged parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection, func, select

from maxlake.lake.arrow_input import Source
from maxlake.lake.database import AnyRow
from maxlake.lake.parts import Part
from maxlake.protocol.columns import Column, read_schema
from maxlake.protocol.enums import WriteSessionState
from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.limits import MAX_TUNNEL_BLOCKS
from maxlake.protocol.messages.blocks import BlockAddress
from maxlake.protocol.messages.tunnel import TunnelStatus, UploadedBlock, UploadSession
from maxlake.protocol.targets import TableTarget
from maxlake.protocol.tunnel.decoders import BodyDecoder
from maxlake.service import blocks, store, tables, tunnel_sessions, write_commits
from maxlake.service.project import Project
from maxlake.service.tunnel_schema import tunnel_schema
from maxlake.service.write_sessions import (
    WriteSession,
    has_expired,
    load_unaborted,
    load_writable,
)

#: Makes what decodes a block of the columns given.
OpenDecoder = Callable[[Sequence[Column]], BodyDecoder]


def create(
    project: Project,
    target: TableTarget,
    partition: str,
    principal: str,
    *,
    overwrite: bool = False,
    create_partition: bool = False,
) -> UploadSession:
    """Open a session that writes to one partition, or to a table that has none.

    Raises ``InvalidArgument`` for tables with a primary key, which take upserts, and unless ``partition``
    names exactly one; ``NoSuchPartition`` unless ``create_partition``.
    """
    table = tables.get(project, target.schema, target.table)
    if table.primary_key:
        raise invalid_argument(
            "a table with a primary key takes no uploads: create an upsert session (records, not Arrow), "
            "or use a write session of the Storage API",
            where=str(target),
        )
    if create_partition:
        tables.add_partition(project, target.schema, target.table, partition)
    upload_id = tunnel_sessions.begin(project, target, table, partition, principal, overwrite=overwrite)
    return get(project, target, upload_id, principal)


def get(project: Project, target: TableTarget, upload_id: str, principal: str) -> UploadSession:
    """Return a session and the blocks it has; none once they are visible."""
    with project.lake.database.read() as connection:
        session = load_unaborted(connection, target, upload_id, principal)
        _check_takes_blocks(session)
        numbers = _newest(connection, session)
    table = session.table.columns
    return UploadSession(
        upload_id=upload_id,
        status=_status(session),
        uploaded_block_list=tuple(UploadedBlock(block_id=number) for number in sorted(numbers)),
        schema=tunnel_schema(read_schema(table.columns, table.partition_columns)),
        owner=principal,
    )


def _status(session: WriteSession) -> TunnelStatus:
    if session.state is WriteSessionState.COMMITTED:
        return TunnelStatus.CLOSED
    return TunnelStatus.EXPIRED if has_expired(session) else TunnelStatus.NORMAL


def _check_takes_blocks(session: WriteSession) -> None:
    tunnel_sessions.schema_version(session)
    if session.table.options.primary_key:
        raise invalid_argument("the session takes upserts, not blocks", where=session.where)


def _newest(connection: Connection, session: WriteSession) -> Mapping[int, AnyRow]:
    """Return the attempt that counts of each block."""
    rows = connection.execute(
        select(store.block)
        .where(store.block.c.session_id == session.session_id)
        .order_by(store.block.c.attempt_number)
    )
    return {row.block_number: row for row in rows}


def write(
    project: Project,
    target: TableTarget,
    upload_id: str,
    number: int,
    body: Source,
    open_decoder: OpenDecoder,
    principal: str,
) -> None:
    """Store a block durably, in place of what it was; nothing of it if anything is wrong.

    Raises ``SCHEMA_MISMATCH`` once the table was altered: fields would be taken for others.
    """
    if number >= MAX_TUNNEL_BLOCKS:
        raise invalid_argument(f"blockid is below {MAX_TUNNEL_BLOCKS}, not {number}; write larger blocks")
    with project.lake.database.read() as connection:
        session = load_writable(connection, target, upload_id, principal)
        _check_takes_blocks(session)
        tunnel_sessions.check_schema(session)
        attempt = _new_attempt(connection, session, number)
    address = BlockAddress(session_id=upload_id, block_number=number, attempt_number=attempt)
    decoder = open_decoder(session.table.columns.columns)
    blocks.store_attempt(project, target, session, address, body, principal, decoder)


def _new_attempt(connection: Connection, session: WriteSession, number: int) -> int:
    """Return a number that tells attempts at a block apart, and orders them by when they began."""
    block = store.block
    newest = connection.execute(
        select(func.max(block.c.attempt_number)).where(
            block.c.session_id == session.session_id, block.c.block_number == number
        )
    ).scalar_one()
    return tunnel_sessions.next_attempt(newest)


def complete(project: Project, target: TableTarget, upload_id: str, principal: str) -> UploadSession:
    """Make all blocks visible, at once and in the order of their numbers; repeating it is harmless."""
    write_commits.commit_chosen(project, target, upload_id, principal, _all_blocks)
    return get(project, target, upload_id, principal)


def _all_blocks(connection: Connection, session: WriteSession) -> tuple[list[Part], list[Part]]:
    _check_takes_blocks(session)
    tunnel_sessions.check_schema(session)
    return blocks.parts_of(connection, session, _newest(connection, session))
