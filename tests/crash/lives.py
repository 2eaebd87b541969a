"""One life of the server process: from its start to its death by a failpoint or a signal."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

from maxlake.failpoints import VARIABLE
from maxlake.testing import LocalServer, local_server

PROJECT = "demo"
#: Seconds that a killed process may take to be gone.
DEATH_TIME = 10.0


@contextmanager
def life(root: Path, failpoint: str = "") -> Iterator[LocalServer]:
    """Serve ``root`` again, with the failpoint ``name:n`` armed."""
    with local_server(root, PROJECT, environment={VARIABLE: failpoint}) as server:
        yield server


def assert_killed(server: LocalServer) -> None:
    """The process was killed by SIGKILL: it neither lives nor ended by itself."""
    deadline = time.monotonic() + DEATH_TIME
    while time.monotonic() < deadline:
        ended = os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is not None:
            assert ended.si_code == os.CLD_KILLED, f"exited with {ended.si_status}"
            assert ended.si_status == signal.SIGKILL
            return
        time.sleep(0.005)
    raise AssertionError("the connection broke, but the server lives")


@contextmanager
def killed_after(server: LocalServer, seconds: float) -> Iterator[None]:
    """Kill the server at a moment that has nothing to do with what it does."""
    timer = Timer(seconds, os.kill, (server.pid, signal.SIGKILL))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
