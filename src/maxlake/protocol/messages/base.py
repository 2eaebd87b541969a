"""The common form of messages, and their decoding: frozen, PascalCase, unknown keys ignored (wire.md §1)."""

from __future__ import annotations

from functools import cache
from threading import Lock
from typing import TypeVar

import msgspec

from maxlake.protocol.errors import invalid_argument

M = TypeVar("M", bound="Message")


class Message(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """Base of every message."""


_making = Lock()


@cache
def _decoder(kind: type[M]) -> msgspec.json.Decoder[M]:
    # One at a time: threads that meet a type for the first time together crashed in msgspec.
    with _making:
        return msgspec.json.Decoder(kind)


def decode(body: bytes, kind: type[M]) -> M:
    """Decode a JSON body; an empty one counts as ``{}``. Raises ``InvalidArgument`` naming the bad field."""
    try:
        return _decoder(kind).decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid_argument(f"the request body is not a valid {kind.__name__}: {error}") from error


def decode_flag(value: object, name: str) -> bool:
    """Read a flag that arrives as JSON boolean or as text in any case (drift.md A.9)."""
    text = str(value).strip().lower()
    if text not in ("true", "false"):
        raise invalid_argument(f"{name} must be true or false, not {value!r}")
    return text == "true"
