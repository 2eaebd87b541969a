"""DuckDB of one job: scans as views over explicit files, then locked (design.md §9)."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from maxlake.lake import deletes
from maxlake.lake.sql.jobs import Job, Scan
from maxlake.protocol.limits import QUERY_SPILL
from maxlake.protocol.sql.duckdb_types import duckdb_type, quoted, text_literal
from maxlake.protocol.sql.names import SCANS
from maxlake.protocol.types.text import parse_type

_MACROS = "macros.sql"
#: The table of deleted rows, and what the path of a row's file is called beside it: no column has a dot.
_DELETED = f"{SCANS}.deleted"
_PATH = "file.path"


def connect(job: Job) -> duckdb.DuckDBPyConnection:
    """Return a database in memory that sees the files of the job's scans, and nothing else."""
    configuration: dict[str, Any] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "allow_unsigned_extensions": False,
        "python_enable_replacements": False,
        "memory_limit": f"{job.memory}B",
        "threads": job.threads,
        "temp_directory": job.spill,
        "max_temp_directory_size": f"{QUERY_SPILL}B",
        "errors_as_json": True,
    }
    connection = duckdb.connect(":memory:", config=configuration)
    connection.execute(files("maxlake.lake.sql").joinpath(_MACROS).read_text())
    connection.execute(f"CREATE SCHEMA {quoted(SCANS)}")
    _list_deleted(connection, job)
    for scan in job.scans:
        connection.execute(f"CREATE VIEW {quoted(SCANS)}.{quoted(scan.name)} AS {_view(scan)}")
    paths = {f"{job.data}/{file.path}" for scan in job.scans for file in scan.files}
    connection.execute(f"SET allowed_paths = {_list(map(text_literal, sorted(paths)))}")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _list(texts: Iterator[str]) -> str:
    return f"[{', '.join(texts)}]"


def _view(scan: Scan) -> str:
    """Return a query of the scan's columns; files say by field ids which of them they have."""
    if not scan.files:
        nothing = (f"CAST(NULL AS {_type(column.type)}) AS {quoted(column.name)}" for column in scan.columns)
        return f"SELECT {', '.join(nothing)} WHERE false"
    # Paths are relative to the data directory, so that nothing in its own path is taken for a pattern.
    paths = _list(text_literal(file.path) for file in scan.files)
    fields = (
        f"{column.field_id}: {{name: {text_literal(column.name)}, type: {text_literal(_type(column.type))}, "
        f"default_value: {_default(column.initial_default)}}}"
        for column in scan.columns
    )
    names = ", ".join(f"file.{quoted(column.name)}" for column in scan.columns)
    rows = (
        f"SELECT {names} FROM read_parquet({paths}, "  # noqa: S608 - names and paths of ours, quoted
        f"hive_partitioning = false, filename = {quoted(_PATH)}, "
        f"file_row_number = true, schema = MAP {{{', '.join(fields)}}}) AS file"
    )
    if not any(file.deletes for file in scan.files):
        return rows
    return (
        f"{rows} ANTI JOIN {_DELETED} AS gone ON file.{quoted(_PATH)} = gone.path "
        "AND file.file_row_number = gone.position"
    )


def _list_deleted(connection: duckdb.DuckDBPyConnection, job: Job) -> None:
    """Make the table of the rows that are gone from the files of the scans."""
    connection.execute(f"CREATE TABLE {_DELETED} (path VARCHAR, position BIGINT)")
    partly = {file.path: file.deletes for scan in job.scans for file in scan.files if file.deletes}
    for path, deleted in partly.items():
        positions = deletes.read(Path(job.data), deleted).positions
        rows = pa.table({"path": pa.repeat(pa.scalar(path), len(positions)), "position": positions})
        connection.from_arrow(rows).insert_into(_DELETED)


def _type(text: str) -> str:
    return duckdb_type(parse_type(text))


def _default(text: str | None) -> str:
    return "CAST(NULL AS VARCHAR)" if text is None else text_literal(text)
