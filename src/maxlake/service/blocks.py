"""Blocks: write sessions in mode BatchCompatible (wire.md §8.2).

A session has numbered blocks, each written whole by one upload, maybe in several attempts. Every attempt is
answered with a message; the commit lists messages, and exactly those attempts become visible.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import Connection, func, insert, select

from maxlake.failpoints import Failpoint, reach
from maxlake.lake.arrow_input import Source
from maxlake.lake.database import AnyRow
from maxlake.lake.parts import Part
from maxlake.protocol import columns
from maxlake.protocol.enums import SessionStatus, WriteMode
from maxlake.protocol.errors import MaxlakeError, invalid_argument
from maxlake.protocol.limits import MAX_BLOCK_ATTEMPTS, MAX_BLOCKS, MAX_INT64
from maxlake.protocol.messages.blocks import (
    BlockAddress,
    BlockSession,
    CommitMessage,
    CreateBlockSessionRequest,
    DynamicPartitionOptions,
    WriterStats,
)
from maxlake.protocol.messages.write import (
    CommitRequest,
    CommitResponse,
    StreamAddress,
    StreamSchema,
    WriteRowsResponse,
)
from maxlake.protocol.targets import TableTarget
from maxlake.protocol.tunnel.decoders import BodyDecoder
from maxlake.service import schema_versions, session_parts, store, write_commits, write_sessions
from maxlake.service.project import Project
from maxlake.service.uploads import StoredRows, discard_body, store_rows
from maxlake.service.write_sessions import BlockOptions, WriteSession, load_unaborted, load_writable
from maxlake.service.write_streams import check_address, schema_of

#: The one way we know to treat rows whose partition value cannot be: refuse them.
_REFUSE = "exception"


def create(
    project: Project, target: TableTarget, request: CreateBlockSessionRequest, principal: str
) -> BlockSession:
    """Open a session for blocks; raises ``InvalidArgument`` for options that are not served."""
    options = BlockOptions(
        partition_limit=_partition_limit(request.dynamic_partition_options),
        enhance_write_check=request.enhance_write_check,
    )
    mode = WriteMode.BATCH_COMPATIBLE
    created = write_sessions.create(project, target, request, principal, mode=mode, blocks=options)
    return get(project, target, created.session_id, principal)


def _partition_limit(options: DynamicPartitionOptions) -> int | None:
    if options.invalid_strategy.lower() != _REFUSE:
        raise invalid_argument(
            f"InvalidStrategy {options.invalid_strategy[:64]!r} is not served: rows with a partition value "
            "that cannot be are always refused, as with 'Exception'"
        )
    limit = options.dynamic_partition_limit
    if limit < -1:
        raise invalid_argument(f"DynamicPartitionLimit is at least -1, not {limit}")
    return None if limit == -1 else limit


def get(project: Project, target: TableTarget, session_id: str, principal: str) -> BlockSession:
    """Describe a session that is open or committed, as when it was created."""
    with project.lake.database.read() as connection:
        session = load_unaborted(connection, target, session_id, principal)
    options = _options(session)
    table = session.table.columns
    open_keys = [column for column in table.partition_columns if column.name not in session.partition]
    return BlockSession(
        session_id=session_id,
        session_status=SessionStatus(session.state),
        data_schema=columns.read_schema(table.columns, open_keys),
        max_block_number=MAX_BLOCKS,
        enhance_write_check=options.enhance_write_check,
    )


def _options(session: WriteSession) -> BlockOptions:
    if session.blocks is None:
        raise invalid_argument("the session was created to take streams, not blocks", where=session.where)
    return session.blocks


def reserve(project: Project, target: TableTarget, address: StreamAddress, principal: str) -> StreamSchema:
    """Answer the call that asks for quota before a block is written; nothing needs to be kept for it."""
    check_address(address)
    with project.lake.database.read() as connection:
        session = load_writable(connection, target, address.session_id, principal)
    return StreamSchema(
        table_schema=schema_of(session.table),
        table_id=str(session.table.table_id),
        schema_version=session.table.schema_version,
    )


def write(
    project: Project, target: TableTarget, address: BlockAddress, body: Source, principal: str
) -> WriteRowsResponse:
    """Store one attempt at a block durably; a repeated one is answered as the first time, and not stored.

    An upload that fails leaves nothing: the same attempt may be sent again.
    """
    if address.block_number >= MAX_BLOCKS:
        raise invalid_argument(f"BlockNumber is below MaxBlockNumber, {MAX_BLOCKS}: {address.block_number}")
    if address.attempt_number > MAX_INT64:
        raise invalid_argument(f"AttemptNumber is at most {MAX_INT64}, not {address.attempt_number}")
    with project.lake.database.read() as connection:
        session = load_writable(connection, target, address.session_id, principal)
        row = _find(connection, session, address)
    if row is not None:
        discard_body(body)
        return _answer(row)
    return store_attempt(project, target, session, address, body, principal)


def store_attempt(
    project: Project,
    target: TableTarget,
    session: WriteSession,
    address: BlockAddress,
    body: Source,
    principal: str,
    decoder: BodyDecoder | None = None,
) -> WriteRowsResponse:
    """Store an attempt at a block that was not made before; ``decoder`` as for ``store_rows``."""
    stored = store_rows(project, session, address.stream, body, decoder)
    answer = _record(project, target, address, principal, stored, session.table.schema_version)
    reach(Failpoint.BEFORE_WRITE_ANSWER)
    return answer


def _find(connection: Connection, session: WriteSession, address: BlockAddress) -> AnyRow | None:
    """Return the row of an attempt made before; raises ``InvalidArgument`` if no more may be made."""
    _options(session)
    block = store.block
    row = connection.execute(
        select(block).where(
            block.c.session_id == address.session_id,
            block.c.block_number == address.block_number,
            block.c.attempt_number == address.attempt_number,
        )
    ).one_or_none()
    if row is None:
        attempts = connection.execute(
            select(func.count()).select_from(block).where(block.c.session_id == address.session_id)
        ).scalar_one()
        if attempts >= MAX_BLOCK_ATTEMPTS:
            raise invalid_argument(
                f"a session takes at most {MAX_BLOCK_ATTEMPTS} attempts at blocks; write larger blocks",
                where=session.where,
            )
    return row


def _answer(row: AnyRow) -> WriteRowsResponse:
    return WriteRowsResponse(commit_message=row.commit_message, record_count=row.record_count)


def _record(
    project: Project,
    target: TableTarget,
    address: BlockAddress,
    principal: str,
    stored: StoredRows,
    schema_version: int,
) -> WriteRowsResponse:
    with project.lake.database.write() as connection:
        # Only a refusal in here proves that no row names the files: after a COMMIT whose outcome is
        # unknown they must stay.
        try:
            session = load_writable(connection, target, address.session_id, principal)
            row = _find(connection, session, address)
            _check_partitions(session, stored.parts)
        except MaxlakeError:
            stored.upload.discard()
            raise
        if row is not None:  # the first attempt was still under way when this one began
            stored.upload.discard()
            return _answer(row)
        message = _commit_message(address, stored.record_count)
        session_parts.add(connection, address.stream, stored.parts)
        connection.execute(
            insert(store.block).values(
                session_id=address.session_id,
                block_number=address.block_number,
                attempt_number=address.attempt_number,
                schema_version=schema_version,
                record_count=stored.record_count,
                commit_message=message,
            )
        )
        reach(Failpoint.BEFORE_PART_TRANSACTION)
    reach(Failpoint.AFTER_PART_TRANSACTION)
    return WriteRowsResponse(commit_message=message, record_count=stored.record_count)


def _commit_message(address: BlockAddress, record_count: int) -> str:
    message = CommitMessage(
        block_number=address.block_number,
        attempt_number=address.attempt_number,
        writer_stats=WriterStats(record_num=record_count),
        proof=secrets.token_urlsafe(12),
    )
    return msgspec.json.encode(message).decode()


def _check_partitions(session: WriteSession, parts: Sequence[Part]) -> None:
    """Raise ``InvalidArgument`` for rows of more partitions than DynamicPartitionLimit."""
    limit = _options(session).partition_limit
    found = len({part.key for part in parts})
    if limit is not None and found > limit and len(session.partition) < len(session.table.partition_keys):
        raise invalid_argument(
            f"the rows are of {found} partitions, and DynamicPartitionLimit is {limit}", where=session.where
        )


def commit(
    project: Project, target: TableTarget, session_id: str, request: CommitRequest, principal: str
) -> CommitResponse:
    """Make the listed blocks visible, all at once and in the order of their numbers; drop the others.

    Raises ``InvalidArgument`` for a message this session has not given out, and for a block listed twice.
    Repeating a commit is harmless.
    """
    return write_commits.commit_chosen(
        project,
        target,
        session_id,
        principal,
        lambda connection, session: _listed(connection, session, request.commit_messages),
    )


def _listed(
    connection: Connection, session: WriteSession, messages: Sequence[str] | None
) -> tuple[list[Part], list[Part]]:
    """Return the parts of the attempts that are listed, and those of all others."""
    if messages is None:
        raise invalid_argument(
            "CommitMessages is missing: it lists the blocks to commit", where=session.where
        )
    rows = connection.execute(select(store.block).where(store.block.c.session_id == session.session_id))
    given_out = {row.commit_message: row for row in rows}
    listed: dict[int, AnyRow] = {}
    for message in messages:
        row = given_out.get(message)
        if row is None:
            raise invalid_argument(
                f"no block of this session was answered with the commit message {message[:256]!r}",
                where=session.where,
            )
        if row.block_number in listed:
            raise invalid_argument(f"block {row.block_number} is listed twice", where=session.where)
        listed[row.block_number] = row
    return parts_of(connection, session, listed)


def parts_of(
    connection: Connection, session: WriteSession, attempts: Mapping[int, AnyRow]
) -> tuple[list[Part], list[Part]]:
    """Return the parts of one attempt at each block, in the order of their numbers, and all other parts."""
    parts = session_parts.by_stream(connection, session.session_id)
    chosen: list[Part] = []
    for number, row in sorted(attempts.items()):
        where = f"{session.where}, block {number}"
        schema_versions.check(
            session.table, row.schema_version, evolution=session.schema_evolution, where=where
        )
        chosen += parts.pop(_address(row).stream.stream_id, [])
    schema_versions.check_values(session.table, chosen, session.where)
    _check_partitions(session, chosen)
    return chosen, [part for others in parts.values() for part in others]


def _address(row: AnyRow) -> BlockAddress:
    return BlockAddress(
        session_id=row.session_id, block_number=row.block_number, attempt_number=row.attempt_number
    )
