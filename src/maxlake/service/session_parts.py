"""The parts a write session has uploaded and not yet committed: rows of ``maxlake_part``, files on disk."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from maxlake.lake.parts import Part
from maxlake.protocol.messages.write import StreamAddress
from maxlake.service import store

_log = logging.getLogger(__name__)

#: Made before threads are (see read_sessions).
_STORED = msgspec.msgpack.Decoder(Part)


def add(connection: Connection, address: StreamAddress, parts: Sequence[Part]) -> None:
    """Append parts to a stream. Positions only grow: a replaced stream leaves gaps, never a place to fill."""
    last = connection.execute(
        select(func.max(store.part.c.position)).where(store.part.c.session_id == address.session_id)
    ).scalar_one()
    if parts:
        connection.execute(
            insert(store.part),
            [
                {
                    "session_id": address.session_id,
                    "stream_id": address.stream_id,
                    "position": position,
                    "content": msgspec.msgpack.encode(part),
                }
                for position, part in enumerate(parts, 0 if last is None else last + 1)
            ],
        )


def of_stream(connection: Connection, session_id: str, stream_id: str) -> list[Part]:
    """Return the parts of the newest version of a stream, in order of arrival."""
    return _decoded(connection, store.part.c.session_id == session_id, store.part.c.stream_id == stream_id)


def of_session(connection: Connection, session_id: str) -> list[Part]:
    """Return the parts of all streams of a session."""
    return _decoded(connection, store.part.c.session_id == session_id)


def by_stream(connection: Connection, session_id: str) -> dict[str, list[Part]]:
    """Return the parts of a session by stream id, each in order of arrival."""
    found: dict[str, list[Part]] = {}
    rows = connection.execute(
        select(store.part.c.stream_id, store.part.c.content)
        .where(store.part.c.session_id == session_id)
        .order_by(store.part.c.position)
    )
    for stream_id, content in rows:
        found.setdefault(stream_id, []).append(_STORED.decode(content))
    return found


def _decoded(connection: Connection, *conditions: ColumnElement[bool]) -> list[Part]:
    rows = connection.execute(
        select(store.part.c.content).where(*conditions).order_by(store.part.c.position)
    ).scalars()
    return [_STORED.decode(content) for content in rows]


def blob_objects(connection: Connection) -> set[str]:
    """Return the objects that rows uploaded and not yet committed refer to."""
    contents = connection.execute(select(store.part.c.content)).scalars()
    parts = (_STORED.decode(content) for content in contents)
    return {name for part in parts for use in part.blobs for name in use.objects}


def drop_stream(connection: Connection, address: StreamAddress) -> None:
    """Forget what a stream has uploaded."""
    for kind in (store.part, store.upload, store.batch):
        connection.execute(
            delete(kind).where(kind.c.session_id == address.session_id, kind.c.stream_id == address.stream_id)
        )


def drop_session(connection: Connection, session_id: str) -> None:
    """Forget what a session has uploaded: it is committed, or never will be."""
    for kind in (store.block, store.part, store.upload, store.batch):
        connection.execute(delete(kind).where(kind.c.session_id == session_id))


def remove_files(data: Path, table_path: PurePosixPath, parts: Sequence[Part]) -> None:
    """Remove files no row names any more; maintenance collects what cannot be removed now."""
    for part in parts:
        path = data / table_path / part.path
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("left behind, to be collected: %s: %s", path, error)
