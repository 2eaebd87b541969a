"""Which objects the rows of each file refer to, so that nobody has to read the files to find out.

Told when a file is written, be it by an upload, a merge or a statement, and kept beside the catalog from its
commit on. Only files that other programs added have to be read, once.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec
import pyarrow as pa
from sqlalchemy import BigInteger, Column, Connection, Index, LargeBinary, String, insert, select
from sqlalchemy import Table as SqlTable

from maxlake.lake import blob_cells
from maxlake.lake.database import metadata
from maxlake.lake.tables import Table

#: One row a data file and session whose blobs its rows refer to, with the objects they are in (see
#: :func:`_pack`): some bytes a large blob, next to nothing a small one. A row without a session says that a
#: file of another program was looked at.
blob_use = SqlTable(
    "maxlake_blob_use",
    metadata,
    Column("data_file_id", BigInteger, primary_key=True, autoincrement=False),
    Column("session_id", String, primary_key=True),
    Column("objects", LargeBinary, nullable=False),
)
Index("maxlake_blob_use_session", blob_use.c.session_id)


class BlobUse(msgspec.Struct, frozen=True, array_like=True):
    """The objects of one session that rows refer to."""

    session_id: str
    objects: tuple[str, ...]


class BlobUses:
    """Collects the objects that the rows of one file refer to."""

    def __init__(self, table: Table) -> None:
        self._columns = [c for c in table.columns.columns if blob_cells.holds_blobs(c.type)]
        self._objects: set[str] = set()

    def add(self, batch: pa.RecordBatch) -> None:
        """Take notice of rows of the table's storage schema."""
        for column in self._columns:
            self._objects |= blob_cells.objects(batch.column(column.name), column.type)

    def found(self) -> tuple[BlobUse, ...]:
        """Return what was found, by session."""
        return by_session(self._objects)


def by_session(objects: Iterable[str]) -> tuple[BlobUse, ...]:
    """Return objects by the session whose upload made them; what is no object is left out."""
    sessions: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(objects):
        if name.count("/") == 2:
            sessions[name.split("/")[1]].append(name)
    return tuple(BlobUse(session_id, tuple(names)) for session_id, names in sessions.items())


def _pack(objects: Iterable[str]) -> bytes:
    return zlib.compress("\n".join(objects).encode())


def _unpack(packed: bytes) -> list[str]:
    return zlib.decompress(packed).decode().split("\n") if packed else []


def record(connection: Connection, uses: Iterable[tuple[int, Sequence[BlobUse]]]) -> None:
    """Note what data files, by their ids, refer to."""
    rows = [
        {"data_file_id": file_id, "session_id": use.session_id, "objects": _pack(use.objects)}
        for file_id, found in uses
        for use in found
    ]
    if rows:
        connection.execute(insert(blob_use), rows)


def used(connection: Connection, session_id: str) -> set[str]:
    """Return the objects of a session that rows of any kept file refer to."""
    packed = connection.execute(select(blob_use.c.objects).where(blob_use.c.session_id == session_id))
    return {name for objects in packed.scalars() for name in _unpack(objects)}
