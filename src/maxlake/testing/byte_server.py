"""``byte_server()``: a service that only moves bytes, to measure what is in front of it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec
import pyarrow as pa

from maxlake.testing import row_file
from maxlake.testing.entry import entry
from maxlake.testing.local_server import ServerDiedError
from maxlake.testing.row_file import RowFile


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is told."""

    project: str
    table: str
    rows: RowFile


class Received(msgspec.Struct, kw_only=True):
    """What came so far: ended uploads, bytes of their bodies, and as many rows as clients said they hold."""

    uploads: int = 0
    byte_count: int = 0
    row_count: int = 0


_RECEIVED = msgspec.json.Decoder(Received)


class ByteServer:
    """A running byte server. Made by ``byte_server``."""

    def __init__(self, process: subprocess.Popen[bytes], project: str, table: str) -> None:
        self._process = process
        self._lock = Lock()
        self.project = project
        #: The name of its one table.
        self.table = table
        #: Any access key will do.
        self.access_id = self.secret = "any"  # noqa: S105
        #: Where clients reach it.
        self.endpoint = f"http://{self._answer()}/api"

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def received(self) -> Received:
        """Return how much was uploaded so far."""
        assert self._process.stdin is not None
        with self._lock:
            self._process.stdin.write(b"\n")
            self._process.stdin.flush()
            return _RECEIVED.decode(self._answer())

    def odps(self, **options: Any) -> Any:
        """Return a PyODPS entry object for this server; ``options`` go to ``odps.ODPS``."""
        return entry(self.access_id, self.secret, self.project, self.endpoint, **options)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ServerDiedError(f"the byte server ended with {self._process.wait()}")
        return line.decode().strip()


@contextmanager
def byte_server(rows: pa.Table | Path, table: str = "rows", project: str = "demo") -> Generator[ByteServer]:
    """Serve one table in a process of its own: reads are sent ``rows``, uploads are counted and dropped.

    ``rows`` are a table, sent in the batches it has, or a file that holds an answer of a service, such as
    ``Path("rows.arrow").write_bytes(client.read_rows_stream(session_id).read())`` makes. Splits are shares of
    its batches, by mode Parallelism as many as asked for, else one. Reading takes no work but the kernel's.

    Served are the read and write sessions and streams of the Storage API, and of REST what leads there.
    Asking for a part of a batch, for some columns or a filter, or for exactly-once is an error.
    Raises ValueError for a file that is no Arrow IPC stream, or rows that no table of MaxCompute can have.
    """
    with tempfile.TemporaryDirectory(prefix="maxlake-") as directory:
        found = (
            row_file.find(rows) if isinstance(rows, Path) else row_file.write(rows, Path(directory) / "rows")
        )
        setup = msgspec.json.encode(Setup(project=project, table=table, rows=found))
        command = [sys.executable, "-m", "maxlake.testing.byte_answers"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603
            try:
                assert process.stdin is not None
                process.stdin.write(setup + b"\n")
                process.stdin.flush()
                yield ByteServer(process, project, table)
            finally:
                process.kill()  # it has nothing to lose
