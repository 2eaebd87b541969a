"""The server starts where there is no home directory and no network, and asks for neither."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

START_SECONDS = 60


def test_it_starts_without_home_and_without_network(tool: Callable[[str], Path], tmp_path: Path) -> None:
    trace, ready = tmp_path / "trace", tmp_path / "ready.json"
    server = subprocess.Popen(
        [
            *(tool("strace"), "-f", "-qq", "-e", "trace=connect,sendto,sendmmsg", "-o", trace),
            *(sys.executable, "-m", "maxlake.cli", "serve"),
            *("--root", tmp_path / "root", "--port", "0", "--ready-file", ready),
        ],
        # A file is no directory, for root neither: nothing below can be made.
        env={**os.environ, "HOME": "/dev/null/home"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists() and server.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert ready.exists(), server.stderr and server.stderr.read().decode()
        os.kill(json.loads(ready.read_bytes())["pid"], signal.SIGTERM)
        assert server.wait(START_SECONDS) == 0
    finally:
        server.kill()
    outside = [line for line in trace.read_text().splitlines() if re.search(r"AF_INET6?\b", line)]
    assert not outside
