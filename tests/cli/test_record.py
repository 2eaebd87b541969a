"""``maxlake record``: from its start to its end, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from maxlake.testing import byte_server, replay
from tests.testing.test_byte_server import ROWS


def started(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "maxlake.cli", "record", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_traffic_is_recorded_until_it_is_told_to_stop(tmp_path: Path) -> None:
    path = tmp_path / "traffic.jsonl"
    with byte_server(ROWS) as server, started(server.endpoint, "--to", str(path)) as process:
        assert process.stdout is not None
        endpoint = process.stdout.readline().partition("the endpoint ")[2].split()[0]
        with urlopen(f"{endpoint}/tenants") as answer:
            told = answer.read()
        process.terminate()
        assert process.wait(10) == 0
    with replay(path) as service, urlopen(f"{service.endpoint}/tenants") as answer:
        assert answer.read() == told


@pytest.mark.parametrize(
    ("service", "port", "said"),
    [
        ("ftp://127.0.0.1/api", "0", "http"),
        ("http://127.0.0.1:1/api", "70000", "65535"),
        ("http://127.0.0.1:1/api", "0", "File exists"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path: Path, service: str, port: str, said: str) -> None:
    path = tmp_path / "traffic"
    if said == "File exists":
        path.touch()
    with started(service, "--to", str(path), "--port", port) as process:
        _, error = process.communicate(timeout=30)
    assert process.returncode == 1
    assert error.startswith("maxlake record: ")
    assert said in error
