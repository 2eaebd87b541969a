"""LIKE and RLIKE as RE2 expressions, which take time linear in the text, whatever the pattern."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.predicates.tree import Like

_WILD = {"%": ".*", "_": "."}
# RE2 takes a backslash before ASCII punctuation for that character itself, and not before anything else.
_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")


def like_expression(like: Like) -> str:
    """Return the RE2 expression that finds exactly what a LIKE matches; a newline is a character.

    An escape at the very end of the pattern stands for itself.
    """
    parts = [
        _WILD[character] if wild else _PUNCTUATION.sub(r"\\\g<0>", character)
        for character, wild in _characters(like)
    ]
    return rf"(?s)\A{''.join(parts)}\z"


def like_prefix(like: Like) -> tuple[str, bool]:
    """Return the characters every match begins with, and whether these are all of it."""
    prefix: list[str] = []
    for character, wild in _characters(like):
        if wild:
            return "".join(prefix), False
        prefix.append(character)
    return "".join(prefix), True


def _characters(like: Like) -> Iterator[tuple[str, bool]]:
    """Yield the characters of a pattern without escapes, and whether each is a wildcard."""
    escaped = False
    for character in like.pattern:
        if escaped:
            yield character, False
            escaped = False
        elif character == like.escape:
            escaped = True
        else:
            yield character, character in _WILD
    if escaped:
        yield like.escape, False


def check_expression(expression: str) -> None:
    """Raise BadRequestError InvalidArgument for a text that is no regular expression of RE2's."""
    try:
        pc.match_substring_regex(pa.array([""]), expression)
    except pa.ArrowInvalid as error:
        raise invalid_argument(f"{expression[:200]!r} is no regular expression (RE2): {error}") from error
