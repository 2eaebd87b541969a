"""A real client's process, and the behaviours its script has."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import pytest

from maxlake.testing import LocalServer
from tests.clients.environments import start_in_client

SCRIPTS = Path(__file__).parent / "scripts"
Address = dict[str, object]
#: Our command line; a client's process has none of this one's environment.
_OURS = ["env", f"PYTHONPATH={os.environ.get('PYTHONPATH', '')}", sys.executable, "-m", "maxlake.cli"]


def behaviours(*scripts: str) -> list[tuple[str, str]]:
    """Name and variant of everything the scripts mark with `@behaviour(...)`, in order.

    Read, not imported: the modules need the client's environment.
    """
    return [
        (node.name, variant)
        for script in scripts
        for node in ast.parse((SCRIPTS / script).read_text()).body
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "behaviour"
        for variant in [ast.literal_eval(argument) for argument in decorator.args] or [""]
    ]


def reads(variant: str = "") -> list[tuple[str, str]]:
    """What every client reads: all behaviours of the modules `reads_*`, for one variant of a client."""
    scripts = sorted(path.name for path in SCRIPTS.glob("reads_*.py"))
    return [(name, variant) for name, _ in behaviours(*scripts)]


def left_to_test_all(found: list[tuple[str, str]]) -> list[Any]:
    """Mark behaviours that much the same others stand for in `make test`."""
    return [pytest.param(each, marks=pytest.mark.slow) for each in found]


def label(behaviour: tuple[str, str]) -> str:
    return "-".join(filter(None, behaviour))


class RealClient:
    """One interpreter with a real client, kept for all the behaviours of a module.

    Its script is given the servers' addresses, by the names it knows them by.
    """

    def __init__(self, release: str, script: str, addresses: dict[str, Address], log: Path) -> None:
        self._log = log
        with log.open("w") as stderr:
            self._process = start_in_client(release, SCRIPTS / script, json.dumps(addresses), stderr=stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            assert self._process.stdin
            self._process.stdin.close()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def show(self, behaviour: tuple[str, str]) -> None:
        """Run a behaviour; fails with the client's traceback."""
        if error := self.error_of(behaviour):
            pytest.fail(error, pytrace=False)

    def error_of(self, behaviour: tuple[str, str]) -> str | None:
        """Run a behaviour; return the client's traceback, None if all went well."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(behaviour) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            pytest.fail(f"the client's process died:\n{self._log.read_text()[-4000:]}", pytrace=False)
        return json.loads(answer)["error"]


def address(server: LocalServer, endpoint: str = "") -> Address:
    """What a client's process is told of a server, reached at `endpoint` if that is another."""
    return {
        "endpoint": endpoint or server.endpoint,
        "access_id": server.access_id,
        "secret": server.secret,
        "project": server.project,
        "maintenance": [*_OURS, "maintain", "--root", str(server.root)],
    }
