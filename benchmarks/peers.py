"""Starting the servers and the clients of a run, each in its own process, and talking to the clients."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.lineitem import COLUMNS
from maxlake.testing import ByteServer, LocalServer

HERE = Path(__file__).parent
START_SECONDS = 60.0


@dataclass(frozen=True)
class RowsSetup:
    """The data set: ``repeat`` times ``rows`` rows, in batches of ``batch_rows``."""

    rows: int
    seed: int
    batch_rows: int
    repeat: int = 1


class Peer:
    """A client process that waits for work."""

    def __init__(self, process: subprocess.Popen[str], server_pid: int) -> None:
        self._process = process
        self.pid = process.pid
        self.server_pid = server_pid
        size = self._answer()
        self.row_count, self.byte_count = int(size["rows"]), int(size["bytes"])

    def perform(self, action: str, streams: int, codec: str) -> dict[str, float]:
        """Do one job; return its ``seconds``, and the ``cpu`` seconds of the client process."""
        assert self._process.stdin is not None
        job = {"action": action, "streams": streams, "codec": codec}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a client ended with {self._process.wait()}; what it said stands above")
        return json.loads(line)


@contextmanager
def running(
    python: Path, kind: str, peer: dict[str, Any], rows: RowsSetup, server_pid: int
) -> Iterator[Peer]:
    """A client run by ``python``; it ends with the ``with``."""
    setup = {"kind": kind, "peer": peer, "rows": asdict(rows)}
    command = [str(python), str(HERE / "peer.py"), json.dumps(setup)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Peer(process, server_pid)
    finally:
        process.kill()
        process.wait()


def create_table(server: LocalServer, table: str) -> None:
    server.odps().create_table(table, COLUMNS)


def storage_client(
    python: Path, api: str, server: LocalServer | ByteServer, table: str, rows: RowsSetup
) -> AbstractContextManager[Peer]:
    """A client of the Storage API, by the module its classes come from."""
    peer = {
        "api": api,
        "endpoint": server.endpoint,
        "key": [server.access_id, server.secret],
        "project": server.project,
        "table": table,
        "batch_rows": rows.batch_rows,
    }
    return running(python, "storage", peer, rows, server.pid)


def whole_table_client(
    python: Path, kind: str, server: LocalServer, table: str, rows: RowsSetup
) -> AbstractContextManager[Peer]:
    """A client that sees to sessions itself: "one line", "tunnel" or "maxstorage"."""
    peer = {
        "endpoint": server.endpoint,
        "key": [server.access_id, server.secret],
        "project": server.project,
        "table": table,
    }
    return running(python, kind, peer, rows, server.pid)


@contextmanager
def flight_client(ready: Path, rows: RowsSetup, files: Path | None = None) -> Iterator[Peer]:
    """A client of pyarrow.flight and its own server, which writes its address into the file ``ready``.

    The server keeps rows in memory, or in Parquet in the directory ``files``.
    """
    command = [sys.executable, "-m", "benchmarks.flight_server", str(ready)]
    server = subprocess.Popen([*command, str(files)] if files else command)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists():
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the pyarrow.flight server did not start")
            time.sleep(0.01)
        peer = {"location": ready.read_text()}
        with running(Path(sys.executable), "flight", peer, rows, server.pid) as client:
            yield client
    finally:
        server.kill()
        server.wait()
