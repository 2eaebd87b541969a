"""Tables as Markdown, which the pages around them are written in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

#: References to the project's protocol notes, which readers of the guide do not have.
_NOTE = r"(?:types|rest|wire|auth|drift)\.md[^)]*"
_SOURCE = re.compile(rf"\s*\({_NOTE}\)|, {_NOTE}(?=\))")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells may hold inline Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def code(text: str) -> str:
    """Return ``text`` as code."""
    return f"`{text}`"


def without_sources(text: str) -> str:
    """Return a comment or docstring of the code without its references to protocol notes."""
    return _SOURCE.sub("", text)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")
