"""``maxlake load``: files into a table, all of them or none."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

import pyarrow as pa

import maxlake
from maxlake.cli.connection import ENVIRONMENT, Connection, failing, say, tell
from maxlake.cli.units import MEBIBYTE
from maxlake.client.oneline.file_sources import dataset_of
from maxlake.client.oneline.writing import WriteMode
from maxlake.protocol import limits
from maxlake.protocol.types.arrow import from_arrow


def load(
    *files_then_table: str,
    create: bool = False,
    partition_by: list[str] | None = None,
    partition: str | None = None,
    mode: WriteMode = WriteMode.APPEND,
    threads: int = limits.CLIENT_THREADS,
    max_memory: int = limits.CLIENT_MAX_MEMORY // MEBIBYTE,
    json: bool = False,
    connection: Connection = ENVIRONMENT,
) -> None:
    """Load FILES into TABLE and commit once: all rows are visible, or none.

    Parameters
    ----------
    files_then_table
        Parquet, CSV, TSV, JSON-lines or Arrow files, or directories of them; last, the table.
    create
        Make the table from the columns of the files if it does not exist.
    partition_by
        Columns by which a table that is made is partitioned; may be repeated.
    partition
        Where the rows go, as day=mon; the rows have what it does not say.
    mode
        What becomes of rows that are there.
    threads
        Streams at once, at most.
    max_memory
        Mebibytes of rows that wait for the service.
    json
        Write what was done as JSON.
    """
    if len(files_then_table) < 2:
        sys.exit("maxlake load: name files or directories, and last the table")
    *files, table = files_then_table
    with failing("load"):
        odps = connection.odps()
        made = create and not odps.exist_table(table)
        if made:
            _create(odps, table, dataset_of(files, {}).schema, partition_by or [])
        written = maxlake.write(
            table,
            files,
            partition,
            mode,
            odps=odps,
            threads=threads,
            max_memory=max_memory * MEBIBYTE,
            progress=True,
        )
    if json:
        tell({"table": table, "created": made, **asdict(written)})
        return
    speed = written.bytes / 1e6 / max(written.seconds, 1e-3)
    say(f"{table}: {written.rows:,} rows in {written.seconds:.1f} s ({speed:,.0f} MB/s)")


def _create(odps: Any, table: str, schema: pa.Schema, partition_by: list[str]) -> None:
    """Make a table with the columns of ``schema``; those named in ``partition_by`` become its partitions."""
    unknown = [name for name in partition_by if name not in schema.names]
    if unknown:
        raise ValueError(
            f"the files have no column {', '.join(unknown)}; they have: {', '.join(schema.names)}"
        )
    columns = [_defined(field) for field in schema if field.name not in partition_by]
    keys = [_defined(schema.field(name)) for name in partition_by]
    described: Any = (", ".join(columns), ", ".join(keys)) if keys else ", ".join(columns)
    odps.create_table(table, described)


def _defined(field: pa.Field) -> str:
    quoted = field.name.replace("`", "``")
    return f"`{quoted}` {from_arrow(field.type)}"
