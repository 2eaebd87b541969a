"""The server under strace: every system call that touches files, and every answer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maxlake.server.keys import ACCESS_ID_VARIABLE, SECRET_VARIABLE

CALLS = (
    "open,openat,creat,write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,fsync,fdatasync,"
    "rename,renameat,renameat2,link,linkat,mkdir,mkdirat,unlink,unlinkat"
)
#: Bytes of each written buffer that the trace shows: more than a database page.
SHOWN_BYTES = 5000
START_TIME = 60.0
KEY = ("traced-access-id", "traced-secret")


@contextmanager
def traced_server(strace: Path, root: Path, trace: Path, project: str) -> Iterator[Any]:
    """Serve ``root`` under strace, started under it (attaching needs rights); give a PyODPS entry object.

    When the ``with`` ends well, ``trace`` is complete.
    """
    ready_file = root / "ready.json"
    serve = [sys.executable, "-m", "maxlake.cli", "serve", "--root", str(root), "--port", "0"]
    process = subprocess.Popen(
        [*_strace(strace, trace), *serve, "--project", project, "--ready-file", str(ready_file)],
        env=os.environ | dict(zip((ACCESS_ID_VARIABLE, SECRET_VARIABLE), KEY, strict=True)),
        stdout=subprocess.DEVNULL,
    )
    pid = process.pid
    try:
        ready = _wait_until_ready(process, ready_file)
        pid = ready["pid"]
        yield _odps(ready["endpoint"], project)
        os.kill(pid, signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        if process.poll() is None:
            os.kill(pid, signal.SIGKILL)
            process.kill()
            process.wait()


def _strace(strace: Path, trace: Path) -> Sequence[str]:
    return (str(strace), "-f", "-yy", "-s", str(SHOWN_BYTES), "-e", f"trace={CALLS}", "-o", str(trace), "--")


def _wait_until_ready(process: subprocess.Popen[bytes], ready_file: Path) -> dict[str, Any]:
    deadline = time.monotonic() + START_TIME
    while not ready_file.exists():
        assert process.poll() is None, f"the server under strace ended with {process.returncode}"
        assert time.monotonic() < deadline, "the server under strace did not start"
        time.sleep(0.02)
    return json.loads(ready_file.read_bytes())


def _odps(endpoint: str, project: str) -> Any:
    from odps import ODPS

    return ODPS(*KEY, project, endpoint=endpoint)
