"""Formats of instants as text, as far as two dialects of them are exactly defined."""

from __future__ import annotations

import re
from typing import Final

from maxlake.protocol.predicates.errors import Mistake

#: ODPS's own letters (to_char, to_date), in any case.
ODPS_LETTERS: Final = {"yyyy": "%Y", "mm": "%m", "dd": "%d", "hh": "%H", "mi": "%M", "ss": "%S"}
#: Java's letters (date_format), where case counts.
JAVA_LETTERS: Final = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}

_PIECE = re.compile(r"yyyy|[a-z]{2}|[-/:., _]|.", re.IGNORECASE | re.DOTALL)
_MARKS = frozenset("-/:., _")
_MOST = 64


def time_format(text: str, letters: dict[str, str]) -> str:
    """Return a format in the letters ``%Y %m %d %H %M %S`` (4, 2, 2, 2, 2, 2 digits) and punctuation.

    Raises :class:`Mistake` for anything else in it.
    """
    if not text or len(text) > _MOST:
        raise Mistake(f"A format has 1 to {_MOST} characters")
    written: list[str] = []
    for match in _PIECE.finditer(text):
        piece = match.group()
        known = letters.get(piece.lower() if letters is ODPS_LETTERS else piece)
        if known is None and piece not in _MARKS:
            raise Mistake(
                f"The format {text!r} has {piece!r}; there are {', '.join(letters)} and '-/:., _' between"
            )
        written.append(known or piece)
    return "".join(written)


def parse_format(text: str) -> str:
    """Return an ODPS format that text can be read by: a year, and each part at most once."""
    written = time_format(text, ODPS_LETTERS)
    parts = re.findall(r"%.", written)
    if "%Y" not in parts or len(set(parts)) < len(parts):
        raise Mistake(f"The format {text!r} needs a year, and each part at most once")
    return written
