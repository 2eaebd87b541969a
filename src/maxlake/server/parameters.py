"""Query parameters, typed on access."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from maxlake.protocol.errors import invalid_argument

_UNSIGNED = re.compile(r"[0-9]{1,20}")
_UNSAFE_IN_IDENTIFIER = re.compile(r"[\x00-\x1f\x7f-\x9f&=]")
_UINT64_MAX = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of one request. An empty value counts as not given, except for ``flag``."""

    values: Mapping[str, str]

    def flag(self, name: str) -> bool:
        """Tell whether ``name`` stands in the query, with or without a value (``?extended``)."""
        return name in self.values

    def text(self, name: str) -> str | None:
        """Return the value, or None if it is absent or empty."""
        return self.values.get(name) or None

    def identifier(self, name: str) -> str:
        """Return a required identifier.

        Raises InvalidArgument if it is missing, or holds characters that make the signed string
        ambiguous (``&``, ``=`` and control characters; auth.md §1).
        """
        value = self.text(name)
        if value is None:
            raise invalid_argument(f"the query parameter {name} is missing")
        return checked_identifier(value, name)

    def unsigned(self, name: str) -> int | None:
        """Return an unsigned 64-bit number, None if not given (drift.md B.24). Raises InvalidArgument."""
        value = self.text(name)
        if value is None:
            return None
        if not _UNSIGNED.fullmatch(value) or int(value) > _UINT64_MAX:
            raise invalid_argument(f"the query parameter {name} is not an unsigned number: {value[:64]!r}")
        return int(value)

    def boolean(self, name: str) -> bool:
        """Return a ``true`` or ``false`` of any case; False if not given. Raises InvalidArgument."""
        value = (self.text(name) or "false").lower()
        if value not in ("true", "false"):
            raise invalid_argument(f"the query parameter {name} is neither true nor false: {value[:64]!r}")
        return value == "true"


def checked_identifier(value: str, name: str) -> str:
    """Return ``value`` if the signed string says unambiguously what it is. Raises InvalidArgument."""
    if _UNSAFE_IN_IDENTIFIER.search(value):
        raise invalid_argument(f"{name} holds '&', '=' or control characters: {value[:64]!r}")
    return value
