"""DuckDB's own DuckLake reader, in a process of its own: two SQLite libraries must not share one file.

Speaks lines of JSON on stdin: ``{"catalog": …, "schema": …, "table": …, "sql": …}``; answers with the length
of an Arrow IPC stream (or, negative, of an error text) as a line, then its bytes.
"""

import importlib.util
import json
import sys
import tempfile
from pathlib import Path

import duckdb
import pyarrow as pa

MEMORY_LIMIT = "1GB"
THREADS = 2


def extension(name: str) -> Path:
    found = importlib.util.find_spec(f"duckdb_extension_{name}")
    assert found is not None and found.submodule_search_locations
    return next(Path(found.submodule_search_locations[0]).rglob(f"{name}.duckdb_extension"))


def connect(temporary: str) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        config={
            "memory_limit": MEMORY_LIMIT,
            "threads": THREADS,
            "temp_directory": temporary,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )
    for name in ("ducklake", "sqlite_scanner", "postgres_scanner"):
        connection.execute(f"LOAD '{extension(name)}'")
    return connection


def answer(connection: duckdb.DuckDBPyConnection, request: dict[str, str]) -> bytes:
    connection.execute(f"ATTACH 'ducklake:{request['catalog']}' AS lake ({request['options']})")
    try:
        rows = connection.execute(request["sql"]).to_arrow_table()
    finally:
        connection.execute("DETACH lake")
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue().to_pybytes()


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        connection = connect(temporary)
        for line in sys.stdin:
            try:
                body, sign = answer(connection, json.loads(line)), 1
            except duckdb.Error as error:
                body, sign = str(error).encode(), -1
            sys.stdout.buffer.write(f"{sign * len(body)}\n".encode() + body)
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
