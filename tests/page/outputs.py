"""The output an example shows, with the parts that are never the same twice taken out."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Varying(Enum):
    """What differs from run to run: how the document writes it, and what may stand for it."""

    ID = (r"\w*_\w+|[a-f0-9]{6}", r"[\w=+/.-]+")
    SIZE = (r"\d+", r"\d+")
    #: The document's dates are texts, the service's milliseconds since 1970 (drift.md A.6).
    DATE = (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", r"\d{13}|\d{4}-\d\d-\d\dT[\d:.]+Z")
    #: What an error says; the scene checks what it is about.
    MESSAGE = (r"\[error message\]|[A-Z].*", r".+(?:\n.+)*?")
    #: A value of which the document shows only a part.
    EXCERPT = (r".*\.\.\..*", r".+")

    def __init__(self, documented: str, actual: str) -> None:
        self.documented = re.compile(documented)
        self.actual = actual


@dataclass(frozen=True)
class Varies:
    """A part of a documented output, and what kind of varying it is."""

    kind: Varying
    text: str


@dataclass(frozen=True)
class Misprint:
    """A line of documented output that its own code cannot print, what it prints, and why."""

    documented: str
    printed: str
    why: str


def corrected(output: str, misprints: Iterable[Misprint]) -> str:
    for each in misprints:
        output = output.replace(each.documented, each.printed)
    return output


def agrees(documented: str, printed: str, varies: Iterable[Varies]) -> bool:
    """Tell whether `printed` is the documented output but for what varies, and for the width of blanks."""
    actual = {each.text: f"(?:{each.kind.actual})" for each in varies}
    parts = [_narrow(documented)]
    if actual:
        parts = re.split(rf"(?<!\w)({'|'.join(map(re.escape, actual))})(?!\w)", parts[0])
    pattern = "".join(actual.get(part, re.escape(part)) for part in parts)
    return re.fullmatch(pattern, _narrow(printed)) is not None


def _narrow(text: str) -> str:
    return "\n".join(" ".join(line.split()) for line in text.strip().splitlines())
