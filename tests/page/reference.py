"""The example groups of the reference document of the documented client, as its own text divides them.

A *section* is what stands under one heading `Examples`, named for the class or method above it. It is

* its *set-up*: the code before the section's first sentence. Every group of the section begins with it;
* its *groups*: the consecutive code, with the output shown in it, under each one of its sentences.

A blank line ends the code; so does the heading of the next class or method, which follows without one. A
section without a sentence (`BlobStreamReader`) is one group without set-up.

A subclass repeats the sections of its base word for word: a group is counted once, however often it stands
there, and is named for the first place.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

#: Where the document lies beside a clone.
NAME = "storage-api-v2-client.txt"

_CLASS = re.compile(r"class odps\.apis\.storage_api_v2\.(\w+)\(")
_MEMBER = re.compile(r"(?:property )?(\w+)(?:\(.*|$)")
_HEADING = re.compile(r"class |property |\w+\(")


@dataclass(frozen=True)
class Group:
    """The code of one group and of its section's set-up, "" where there is none."""

    section: str
    setup: str
    text: str


def groups(document: str) -> list[Group]:
    """Every group of the document, in its order, each once."""
    found: dict[tuple[str, str], Group] = {}
    for section, blocks in _sections(document.splitlines()):
        setup = next((text for sentence, text in blocks if not sentence), "") if len(blocks) > 1 else ""
        for sentence, text in blocks:
            if sentence or not setup:
                found.setdefault((setup, text), Group(section, setup, text))
    return list(found.values())


def _sections(lines: list[str]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Name of each section, and its blocks of code, each with the sentence above it."""
    owner = member = ""
    for number, line in enumerate(lines):
        if match := _CLASS.match(line):
            owner = member = match[1]
        elif _HEADING.match(line) and (match := _MEMBER.match(line)):
            member = f"{owner}.{match[1]}"
        elif line == "Examples":
            yield member, list(_blocks(lines[number + 1 :]))


def _blocks(lines: list[str]) -> Iterator[tuple[str, str]]:
    sentence, code = "", list[str]()
    for line in [*lines, ""]:
        heading = _HEADING.match(line) is not None
        if code and (heading or not line):
            yield sentence, "\n".join(code) + "\n"
            sentence, code = "", []
        if heading:
            return
        if code or line.startswith(">>> "):
            code.append(line)
        elif line:
            sentence = line
