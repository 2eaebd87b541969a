"""A real terminal, driven by tmux: what a person would see of a command."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

COLUMNS, LINES = 100, 24
PROMPT = "$ "
_SECONDS = 90.0
_LOOK = 0.05


class Terminal:
    """A shell in a terminal of COLUMNS by LINES. Made by ``terminal``."""

    def __init__(self, tmux: Path, socket: Path) -> None:
        self._tmux = [str(tmux), "-S", str(socket), "-f", os.devnull]

    def do(self, *arguments: str) -> str:
        """Run a command of tmux and return what it says."""
        done = subprocess.run([*self._tmux, *arguments], check=True, capture_output=True, text=True)
        return done.stdout

    def begin(self, command: str) -> None:
        """Type a command on an empty screen."""
        self.do("send-keys", "clear", "Enter")
        self.wait_for(lambda screen: screen.strip() == PROMPT.strip())
        self.do("send-keys", "-l", command)
        self.do("send-keys", "Enter")

    def run(self, command: str) -> str:
        """Type a command and return the screen when it is done."""
        self.begin(command)
        return self.wait_until_done()

    def wait_until_done(self) -> str:
        """Return the screen once it ends with a prompt."""
        return self.wait_for(
            lambda screen: screen.rstrip().endswith("\n" + PROMPT.strip()) and len(screen.split("\n")) > 1
        )

    def screen(self, *, colours: bool = False) -> str:
        """Return what stands on the screen; ``colours`` as ANSI escapes."""
        return self.do("capture-pane", "-p", *(["-e"] if colours else [])).rstrip()

    def wait_for(self, seen: object) -> str:
        """Return the screen as soon as ``seen``, a text or a condition, is on it. Raises TimeoutError."""
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            screen = self.screen()
            if seen(screen) if callable(seen) else str(seen) in screen:
                return screen
            time.sleep(_LOOK)
        raise TimeoutError(f"not seen: {seen}; the screen:\n{self.screen()}")


@contextmanager
def terminal(tmux: Path, directory: Path, environment: Mapping[str, str]) -> Iterator[Terminal]:
    """A shell in ``directory`` that finds the commands of this environment."""
    with tempfile.TemporaryDirectory() as place:
        made = Terminal(tmux, Path(place, "tmux"))
        said = {"PS1": PROMPT, "TERM": "xterm-256color", **environment}
        settings = " ".join(f"{name}={quote(value)}" for name, value in said.items())
        size = ("-x", str(COLUMNS), "-y", str(LINES))
        made.do("new-session", "-d", *size, "-c", str(directory), f"exec env {settings} sh")
        try:
            yield made
        finally:
            made.do("kill-server")
