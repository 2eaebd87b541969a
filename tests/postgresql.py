"""A PostgreSQL server for tests: its own data directory, a free port, the user ``postgres`` when root."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

USER = "postgres"
START_SECONDS = 30.0


@dataclass(frozen=True)
class Postgresql:
    """A running server."""

    port: int

    @property
    def url(self) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    @property
    def duckdb_catalog(self) -> str:
        return f"postgres:host=127.0.0.1 port={self.port} user={USER} dbname=postgres"


@contextmanager
def running_postgresql(programs: Path) -> Iterator[Postgresql]:
    """Start a server from the directory of its programs; stop it and remove its data afterwards.

    It leaves its data to the kernel: what tests kill is neither the machine nor PostgreSQL.
    """
    directory = Path(tempfile.mkdtemp(prefix="maxlake-postgresql-"))
    as_user = {"user": USER} if os.getuid() == 0 else {}
    if as_user:
        shutil.chown(directory, USER)
    data = directory / "data"
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", USER, "-A", "trust", "--no-sync"],
        check=True,
        capture_output=True,
        cwd=directory,
        **as_user,
    )
    port = _free_port()
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, "-p", str(port), "-k", directory, "-h", "127.0.0.1", "-F"],
            stdout=log,
            stderr=log,
            cwd=directory,
            **as_user,
        )
    try:
        _wait_until_ready(server, port, directory / "log")
        yield Postgresql(port)
    finally:
        server.send_signal(signal.SIGINT)  # "fast": connections are ended, not waited for
        server.wait(START_SECONDS)
        shutil.rmtree(directory)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _wait_until_ready(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        if "ready to accept connections" in log.read_text(errors="replace"):
            return
        time.sleep(0.05)
    raise RuntimeError(f"PostgreSQL did not start on port {port}:\n{log.read_text(errors='replace')}")
