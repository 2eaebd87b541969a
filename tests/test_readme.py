"""What the README shows runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from maxlake.testing import LocalServer, local_server

README = Path(__file__).parents[1] / "README.md"
#: Where the README's reader has started a server.
ENDPOINT = "http://127.0.0.1:8700/api"


def example(name: str) -> str:
    found = re.search(rf"<!-- example: {name} -->\n```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert found, f"README.md has no example {name!r}"
    return found[1]


def run(code: str, server: LocalServer) -> str:
    assert ENDPOINT in code
    key = f"access_id, secret = {server.access_id!r}, {server.secret!r}\n"
    program = key + code.replace(ENDPOINT, server.endpoint)
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_first_program_reads_what_it_wrote() -> None:
    with local_server() as server:
        assert run(example("first-program"), server) == "[{'id': 2, 'name': 'b', 'day': 'tue'}]\n"


def test_the_make_targets_exist() -> None:
    targets = re.findall(r"^make ([\w-]+)", README.read_text(), re.MULTILINE)
    makefile = (README.parent / "Makefile").read_text()
    assert targets
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
