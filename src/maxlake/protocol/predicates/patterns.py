"""Patterns written out: of LIKE, and regular expressions in RE2's language."""

from __future__ import annotations

import re

from maxlake.protocol.limits import MAX_PATTERN_LENGTH
from maxlake.protocol.predicates.errors import Mistake

_PIECE = re.compile(
    r"(?P<escape>\\.)|(?P<set>\[\^?\]?(?:\\.|\[:\^?[a-z]+:\]|[^\]\\])*\])|(?P<group>\((?:\?.[^)\w]?)?)|.",
    re.DOTALL,
)
_NOT_IN_RE2 = ("(?=", "(?!", "(?>", "(?<=", "(?<!", "(?#", "(?P=", "(?P>", "(?(")
_REPLACEMENT = re.compile(r"\\(.?)", re.DOTALL)


def check_length(pattern: str) -> str:
    """Return a pattern of at most ``MAX_PATTERN_LENGTH`` characters. Raises :class:`Mistake`."""
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise Mistake(f"The pattern is longer than {MAX_PATTERN_LENGTH} characters")
    return pattern


def check_pattern(pattern: str) -> tuple[str, int]:
    """Return a regular expression with the number of its groups.

    Raises :class:`Mistake` for back-references, look-around and what else RE2 leaves out by design;
    whether the rest is well-formed only RE2 itself can say.
    """
    groups = 0
    for piece in _PIECE.finditer(check_length(pattern)):
        text = piece.group()
        if piece.lastgroup == "escape" and text[1] in "123456789kgQEGZ":
            raise Mistake(f"Regular expressions have no {text!r} here: back-references are not supported")
        if piece.lastgroup == "group":
            if text.startswith(_NOT_IN_RE2):
                raise Mistake(f"Regular expressions have no {text!r} here: look-around is not supported")
            groups += text == "(" or text.startswith(("(?P<", "(?<"))
    return pattern, groups


def check_replacement(text: str, groups: int) -> str:
    r"""Return a replacement in which a backslash stands before a group's number or a backslash only."""
    for match in _REPLACEMENT.finditer(check_length(text)):
        after = match.group(1)
        if after != "\\" and not (after.isascii() and after.isdigit() and int(after) <= groups):
            raise Mistake(f"The replacement has {match.group()!r}, but there are groups \\0 to \\{groups}")
    return text


def check_like(pattern: str, escape: str) -> str:
    """Return a LIKE pattern that does not end in the middle of an escape. Raises :class:`Mistake`."""
    if len(escape) != 1:
        raise Mistake("ESCAPE needs one character")
    position = 0
    while position < len(check_length(pattern)):
        if pattern[position] == escape:
            position += 1
            if position == len(pattern):
                raise Mistake(f"The pattern ends with the escape character {escape!r}")
        position += 1
    return pattern
