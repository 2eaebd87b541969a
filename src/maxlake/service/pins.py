"""Pins: read sessions as they are stored, and what each principal holds of them.

As long as its row is there, no maintenance removes the files a session reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from maxlake.lake.database import MAX_PARAMETERS, Database
from maxlake.protocol.errors import BusyError, ErrorCode
from maxlake.protocol.limits import MAX_READ_SESSION_BYTES, MAX_READ_SESSIONS
from maxlake.service import store

_session, _held = store.read_session, store.read_holding
_size = func.length(_session.c.content)

#: Bytes of sessions forgotten in one transaction: writers wait no longer than for a commit.
FORGOTTEN_AT_ONCE = 32 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One row; ``first_snapshot`` to ``last_snapshot`` are the versions whose files are kept."""

    session_id: str
    table_id: int
    principal: str
    first_snapshot: int
    last_snapshot: int
    expires_at: datetime


def add(connection: Connection, pin: Pin, content: bytes) -> None:
    """Store a session. Raises ``FlowExceeded`` if its principal would hold too many, or too large ones."""
    _hold(connection, pin.principal, 1, len(content))
    connection.execute(insert(_session).values(**vars(pin), content=content))


def complete(connection: Connection, pin: Pin, content: bytes) -> None:
    """Give a session, stored without one, its content. Raises as :func:`add`."""
    _hold(connection, pin.principal, 0, len(content))
    connection.execute(
        update(_session).where(_session.c.session_id == pin.session_id).values(content=content)
    )


def _hold(connection: Connection, principal: str, count: int, size: int) -> None:
    mine = _held.c.principal == principal
    more = {"sessions": _held.c.sessions + count, "bytes": _held.c.bytes + size}
    if not connection.execute(update(_held).where(mine).values(more)).rowcount:
        connection.execute(insert(_held).values(principal=principal, sessions=count, bytes=size))
    sessions, held = connection.execute(select(_held.c.sessions, _held.c.bytes).where(mine)).one()
    if sessions > MAX_READ_SESSIONS or held > MAX_READ_SESSION_BYTES:
        raise BusyError(
            ErrorCode.FLOW_EXCEEDED,
            f"your access key has {sessions - count} read sessions of {held - size} bytes, of at most "
            f"{MAX_READ_SESSIONS} of {MAX_READ_SESSION_BYTES}: let some expire, open fewer or smaller ones",
        )


def remove(database: Database, session_id: str) -> None:
    """Forget a session."""
    with database.write() as connection:
        _remove(connection, _session.c.session_id == session_id)


def forget(database: Database, gone: datetime) -> None:
    """Forget the sessions that expired before ``gone``, some at a time: others want to write, too."""
    expired = _session.c.expires_at < gone
    with database.read() as connection:
        sizes = connection.execute(select(_session.c.session_id, _size).where(expired)).all()
    for some in _portions([(row[0], row[1]) for row in sizes]):
        with database.write() as connection:
            _remove(connection, expired & _session.c.session_id.in_(some))


def _portions(sizes: Sequence[tuple[str, int]]) -> Iterator[list[str]]:
    portion: list[str] = []
    held = 0
    for session_id, size in sizes:
        if portion and (held + size > FORGOTTEN_AT_ONCE or len(portion) == MAX_PARAMETERS):
            yield portion
            portion, held = [], 0
        portion.append(session_id)
        held += size
    if portion:
        yield portion


def _remove(connection: Connection, condition: ColumnElement[bool]) -> None:
    # What was removed, not what was found before: another process may be doing the same.
    removed = connection.execute(delete(_session).where(condition).returning(_session.c.principal, _size))
    for principal, size in removed.all():
        connection.execute(
            update(_held)
            .where(_held.c.principal == principal)
            .values(sessions=_held.c.sessions - 1, bytes=_held.c.bytes - size)
        )
