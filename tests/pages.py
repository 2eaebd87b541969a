"""The pages users read, and what can be run of them.

Python blocks of a page run in their order in one namespace. They print what the `text` block right below
shows, and nothing if there is none. A comment above a block makes an exception: `<!-- not run: why -->`
(it is compiled only), or `<!-- file: name.py -->`, for files of a small project that pytest runs as a whole.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

from markdown_it import MarkdownIt

from maxlake.testing import LocalServer

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: Where a reader of the pages has started a server.
ENDPOINT = "http://127.0.0.1:8700/api"

_NOTE = re.compile(r"<!-- (not run|file): (.+) -->")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    language: str
    #: Of its fence, from 1.
    line: int
    text: str
    #: What the block right below shows, if that is text.
    shown: str
    not_run: bool
    #: The name of the file that this is, if it is one.
    file: str | None

    @property
    def place(self) -> str:
        return f"{self.page.name}:{self.line}"

    def compiled(self, endpoint: str = ENDPOINT) -> CodeType:
        """The code, whose errors name page and line."""
        text = self.text.replace(ENDPOINT, endpoint)
        return compile("\n" * self.line + text, str(self.page), "exec")


def blocks(page: Path, language: str) -> list[Block]:
    """The fenced blocks of a page in one language."""
    found: list[Block] = []
    note: re.Match[str] | None = None
    tokens = MarkdownIt("commonmark").parse(page.read_text())
    for token, below in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "html_block":
            note = _NOTE.fullmatch(token.content.strip())
        elif token.type == "fence" and token.map:
            kind, value = note.groups() if note else ("", None)
            shown = below.content if below and below.type == "fence" and below.info == "text" else ""
            file = value if kind == "file" else None
            line, not_run = token.map[0] + 1, kind == "not run"
            found.append(Block(page, token.info, line, token.content, shown, not_run, file))
            note = None
    return [each for each in found if each.language == language]


def run_examples(page: Path, server: LocalServer) -> int:
    """Run the Python of a page, and say how many blocks that were; what is not to be run is compiled.

    The first block that fails, or prints other than what is shown, is an AssertionError that names it.
    """
    names: dict[str, Any] = {"__name__": "__main__", "odps": server.odps()}
    names |= {"access_id": server.access_id, "secret": server.secret}
    ran = 0
    for block in blocks(page, "python"):
        code = block.compiled(server.endpoint)
        if block.not_run or block.file:
            continue
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                exec(code, names)
        except Exception as error:
            raise AssertionError(f"{block.place} failed: {traceback.format_exc()}") from error
        assert printed.getvalue() == block.shown, block.place
        ran += 1
    return ran


def run_project(page: Path, directory: Path) -> str:
    """Lay the files of a page into a directory, run pytest there, and return its last line."""
    for block in blocks(page, "python"):
        if block.file:
            (directory / block.file).write_text(block.text)
    command = [sys.executable, "-m", "pytest", "-q", "."]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        command, cwd=directory, check=False, capture_output=True, text=True, timeout=240, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]
