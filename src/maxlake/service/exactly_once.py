"""Exactly-once streams: tokens fence writers, offsets tell repeated rows from new (wire.md §9.3, A.12).

The row offset of a stream is the number of its rows. Whoever asked for a token last is the only writer; of
the token no more than its hash is kept, and no message names it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, insert, select

from maxlake.lake.database import AnyRow
from maxlake.protocol.errors import ConflictError, DeniedError, ErrorCode
from maxlake.protocol.messages.write import StreamAddress, WriteRowsRequest, WriteRowsResponse
from maxlake.service import store

# Made before threads are (see read_sessions).
_ANSWER = msgspec.msgpack.Decoder(WriteRowsResponse)
_HOW_TO_ASK = "ask for a token with TableGetWriteStream and ExactlyOnceMode=true"


@dataclass(frozen=True)
class AccessToken:
    """A new token: its text goes to the writer once, its hash into the stream's row."""

    text: str
    hash: str


def new_token() -> AccessToken:
    """Return a token nobody can guess."""
    text = secrets.token_urlsafe(32)
    return AccessToken(text, _hash(text))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _is_writer(stream: AnyRow, request: WriteRowsRequest) -> bool:
    return hmac.compare_digest(stream.token_hash, _hash(request.access_token))


def check_writer(stream: AnyRow, request: WriteRowsRequest, where: str) -> None:
    """Raise unless an upload is of the stream's mode, and, if that is exactly-once, has its latest token.

    ``InvalidStreamStatus`` and ``RowOffsetMismatch`` for a RowOffset too many or too few, ``NoPermission``
    for a token that is missing, wrong or replaced by a newer one.
    """
    if not stream.token_hash:
        if request.row_offset is not None:
            raise ConflictError(
                ErrorCode.INVALID_STREAM_STATUS,
                f"the stream is not in exactly-once mode: leave RowOffset out, or {_HOW_TO_ASK}",
                where=where,
            )
        return
    if request.row_offset is None:
        raise ConflictError(
            ErrorCode.ROW_OFFSET_MISMATCH,
            f"the stream is in exactly-once mode: send RowOffset={stream.record_count} and the access token",
            where=where,
        )
    if not _is_writer(stream, request):
        raise DeniedError(
            ErrorCode.NO_PERMISSION,
            f"this is not the stream's latest access token, so another may be writing; {_HOW_TO_ASK}",
            where=where,
        )


def is_next(stream: AnyRow, request: WriteRowsRequest) -> bool:
    """Tell whether an upload comes from the stream's writer and belongs where the stream ends."""
    return _is_writer(stream, request) and request.row_offset == stream.record_count


def earlier_answer(
    connection: Connection, stream: AnyRow, request: WriteRowsRequest, where: str
) -> WriteRowsResponse | None:
    """Return the answer the rows at this offset got; None if they are the stream's next.

    Raises ``RowOffsetMismatch`` for an offset beyond the stream's, or one at which no upload began.
    """
    offset = request.row_offset
    if offset is None or offset == stream.record_count:
        return None
    answer = None
    if offset < stream.record_count:
        answer = connection.execute(
            select(store.batch.c.answer).where(
                store.batch.c.session_id == stream.session_id,
                store.batch.c.stream_id == stream.stream_id,
                store.batch.c.row_offset == offset,
            )
        ).scalar_one_or_none()
    if answer is None:
        at = "is beyond its end" if offset > stream.record_count else "is where no upload began"
        raise ConflictError(
            ErrorCode.ROW_OFFSET_MISMATCH,
            f"the next rows of the stream belong at RowOffset {stream.record_count}; {offset} {at}",
            where=where,
        )
    return _ANSWER.decode(answer)


def check_repeated(answer: WriteRowsResponse, record_count: int, request: WriteRowsRequest) -> None:
    """Raise ``RowOffsetMismatch`` if a repetition has not as many rows as the upload first taken there."""
    if answer.record_count != record_count:
        raise ConflictError(
            ErrorCode.ROW_OFFSET_MISMATCH,
            f"the upload first taken at RowOffset {request.row_offset} had {answer.record_count} rows, this "
            f"one has {record_count}; the rows after it belong at RowOffset {answer.exactly_once_row_offset}",
            where=f"write session {request.stream.session_id}, stream {request.stream.stream_id}",
        )


def remember(connection: Connection, address: StreamAddress, offset: int, answer: WriteRowsResponse) -> None:
    """Keep the answer for repetitions. Uploads without rows change nothing, and may come again as new."""
    if answer.record_count:
        connection.execute(
            insert(store.batch).values(
                session_id=address.session_id,
                stream_id=address.stream_id,
                row_offset=offset,
                answer=msgspec.msgpack.encode(answer),
            )
        )
