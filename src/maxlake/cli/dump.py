"""``maxlake dump``: a table into Parquet files."""

from __future__ import annotations

from pathlib import Path

import maxlake
from maxlake.cli.connection import ENVIRONMENT, Connection, failing, say, tell
from maxlake.cli.units import MEBIBYTE
from maxlake.protocol import limits


def dump(
    table: str,
    directory: Path,
    *,
    column: list[str] | None = None,
    where: str | None = None,
    partition: list[str] | None = None,
    threads: int = limits.CLIENT_THREADS,
    max_memory: int = limits.CLIENT_MAX_MEMORY // MEBIBYTE,
    json: bool = False,
    connection: Connection = ENVIRONMENT,
) -> None:
    """Write the rows of TABLE, as they are now, into Parquet files in DIRECTORY.

    Parameters
    ----------
    table
        The table.
    directory
        Where the files go: made if missing, and empty.
    column
        A column to be read; may be repeated. All if not given.
    where
        A condition in ODPS SQL.
    partition
        A partition, as day=mon; may be repeated. All if not given.
    threads
        Files written at once, at most.
    max_memory
        Mebibytes of rows held at once.
    json
        Write what was done as JSON.
    """
    with failing("dump"):
        rows = maxlake.read(
            table,
            column,
            where,
            partition,
            odps=connection.odps(),
            threads=threads,
            max_memory=max_memory * MEBIBYTE,
            progress=True,
        )
        files = rows.to_parquet(directory)
    if json:
        tell({"table": table, "version": rows.session.version, "files": [str(file) for file in files]})
    else:
        say("\n".join(str(file) for file in files))
