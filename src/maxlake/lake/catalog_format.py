"""The format of a catalog: the number of the build's idea of what our own tables hold.

DuckLake's own version says nothing of them, and a catalog that lacks a column of ours fails only later, at
whatever needs it first.
"""

from __future__ import annotations

from sqlalchemy import Connection, inspect, select

from maxlake.lake import ducklake
from maxlake.protocol.errors import ConflictError, ErrorCode

#: To be raised with every change of a ``maxlake_…`` table, and of a structure that is kept in one.
FORMAT = 1
#: Where the number stands in DuckLake's metadata; catalogs made before there was one count as format 0.
FORMAT_KEY = "maxlake_format"


def check(connection: Connection, project: str) -> None:
    """Raise ``CatalogFormat`` if the catalog was made in another format; a new one has none yet."""
    metadata = ducklake.catalog_metadata
    if not inspect(connection).has_table(metadata.name):
        return
    rows = connection.execute(
        select(metadata.c.key, metadata.c.value).where(metadata.c.key.in_(("version", FORMAT_KEY)))
    )
    known = {row.key: row.value for row in rows}
    found = known.get(FORMAT_KEY, "0")
    if known and found != str(FORMAT):
        raise ConflictError(
            ErrorCode.CATALOG_FORMAT,
            f"the catalog has format {found}, and this build of maxlake reads format {FORMAT}; nothing was "
            "changed. Serve it with the build that made it; to go on with this one, read the tables from "
            "there and write them to a new root",
            where=f"project {project}",
        )
