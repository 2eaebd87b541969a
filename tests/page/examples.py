"""The documented client's example groups, word for word and numbered, as `examples.txt` has them.

Each part of the file begins with `=== section` (the section's set-up) or `=== section number` (a group).
"""

import doctest
import re
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).parent / "examples.txt"

_HEAD = re.compile(r"^=== (\S+)(?: (\d+))?\n", re.MULTILINE)


@dataclass(frozen=True)
class Statement:
    """One statement of an example, and the output shown below it."""

    source: str
    output: str


@dataclass(frozen=True)
class Example:
    """A group: its section, the code that precedes every group there, its own code and output."""

    number: int
    section: str
    setup: str
    text: str


def load() -> list[Example]:
    """All groups, in the order of the document."""
    parts = _HEAD.split(FILE.read_text(encoding="utf-8"))[1:]
    setups, found = dict[str, str](), list[Example]()
    for section, number, text in zip(*(parts[start::3] for start in range(3)), strict=True):
        if number is None:
            setups[section] = text
        else:
            found.append(Example(int(number), section, setups.get(section, ""), text))
    return found


def statements(text: str) -> list[Statement]:
    """The statements of a group's text; comments that stand alone are none."""
    return [Statement(each.source, each.want) for each in doctest.DocTestParser().get_examples(text)]
