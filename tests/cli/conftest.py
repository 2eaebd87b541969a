"""What the tests of commands that talk to a service share."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from maxlake.cli.app import app
from maxlake.testing import LocalServer, local_server


@dataclass(frozen=True)
class Ran:
    """How a command ended: its exit status or last words, and what it wrote."""

    status: object
    out: str
    err: str

    @property
    def told(self) -> list[Any]:
        """What it told in JSON, a line each."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture(scope="session")
def cli_server() -> Iterator[LocalServer]:
    """A server for all commands."""
    with local_server() as running:
        yield running


def run_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> Ran:
    """Run `maxlake` with these words in this process."""
    capsys.readouterr()
    status: object = 0
    command, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    try:
        command(*bound.args, **bound.kwargs)
    except SystemExit as end:
        status = end.code
    return Ran(status, *capsys.readouterr())


@pytest.fixture
def maxlake_command(cli_server: LocalServer, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """`maxlake_command("preview", "t", key_file="k")`: connected to the server, but for what is said."""

    def run(name: str, *words: str, **other: str) -> Ran:
        place = {
            "project": cli_server.project,
            "endpoint": cli_server.endpoint,
            "key_file": str(cli_server.root / "access-key.json"),
        } | other
        options = [
            word for option, value in place.items() for word in (f"--{option.replace('_', '-')}", value)
        ]
        return run_command([name, *words, *options], capsys)

    return run
