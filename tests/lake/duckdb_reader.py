"""``DuckdbReader``: what any DuckDB user sees of a project (promise P7)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType

import pyarrow as pa

CHILD = Path(__file__).with_name("duckdb_child.py")


class DuckdbReader:
    """One child process that attaches catalogs read-only and runs queries on them."""

    def __enter__(self) -> DuckdbReader:
        self._child = subprocess.Popen(
            [sys.executable, str(CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._child.stdin
        self._child.stdin.close()
        self._child.wait(30)

    def query(self, catalog: str, sql: str, options: str = "READ_ONLY") -> pa.Table:
        """Run ``sql``, in which the catalog is called ``lake``. Raises RuntimeError with DuckDB's error."""
        assert self._child.stdin and self._child.stdout
        request = {"catalog": catalog, "sql": sql, "options": options}
        self._child.stdin.write(json.dumps(request).encode() + b"\n")
        self._child.stdin.flush()
        length = int(self._child.stdout.readline())
        body = self._child.stdout.read(abs(length))
        if length < 0:
            raise RuntimeError(body.decode())
        return pa.ipc.open_stream(body).read_all()

    def rows(self, catalog: str, schema: str, table: str, options: str = "READ_ONLY") -> pa.Table:
        """Return all rows of a table."""
        return self.query(catalog, f'SELECT * FROM lake."{schema}"."{table}"', options)
