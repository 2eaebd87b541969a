"""The grammar of names: projects, schemas, tables, columns, instances.

A name is letters and digits of any script, ``_`` and ``-``. What is left out is left out on purpose:
separators of targets, paths, partition specs and signed strings (design.md §9), quotes, blanks and
control characters, so that a checked name can stand in any of them unescaped.
"""

from __future__ import annotations

import re

from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.limits import MAX_NAME_BYTES, MAX_NAME_LENGTH

_NAME = re.compile(r"[\w-]+")


def check_name(text: str, what: str) -> str:
    """Return ``text`` if it is a name; ``what`` says in the error which one it should have been.

    Raises InvalidArgument for an empty, overlong (``MAX_NAME_LENGTH`` characters,
    ``MAX_NAME_BYTES`` of UTF-8) or malformed name.
    """
    if len(text) > MAX_NAME_LENGTH:
        raise invalid_argument(
            f"The {what} name is longer than {MAX_NAME_LENGTH} characters: {text[:32]!r}..."
        )
    if len(text.lower().encode()) > MAX_NAME_BYTES:
        raise invalid_argument(f"The {what} name is longer than {MAX_NAME_BYTES} bytes: {text[:32]!r}...")
    if not _NAME.fullmatch(text):
        raise invalid_argument(f"Not a {what} name: {text!r} (letters, digits, '_' and '-' only)")
    return text
