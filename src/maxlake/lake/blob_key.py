"""The key that signs a project's references: in its catalog, so that it goes where the project goes.

Nodes that share the catalog share it, and a copy of the project's directory can read its own blobs.
"""

from __future__ import annotations

import secrets

from sqlalchemy import BigInteger, Column, Connection, LargeBinary, Table, insert, select

from maxlake.lake.database import metadata
from maxlake.protocol.blob_references import KEY_BYTES

#: One row.
blob_key = Table(
    "maxlake_blob_key",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("key", LargeBinary, nullable=False),
)


def load(connection: Connection) -> bytes:
    """Return the project's key, made now if there is none. In a write transaction."""
    found = connection.execute(select(blob_key.c.key)).scalar_one_or_none()
    if found is not None:
        return bytes(found)
    made = secrets.token_bytes(KEY_BYTES)
    connection.execute(insert(blob_key).values(id=0, key=made))
    return made
