"""Recorded traffic as a file: JSON Lines, one exchange a line, after a line that names the format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")

#: Stands for what must not be told.
REMOVED = "removed"
#: Stands for every server's address: a name that resolves nowhere (RFC 2606).
HOST = "recorded.invalid"


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What requests and answers have in common. At most one of the three members of the body is there."""

    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None
    body_base64: bytes | None = None
    rows_left_out: int | None = None

    @property
    def content(self) -> bytes:
        """The body; b"" for rows that were left out."""
        return self.body_base64 or (self.body or "").encode()

    def header(self, name: str) -> str:
        """Return a header's value, "" if it is not there."""
        return next((value for found, value in self.headers if found.lower() == name), "")


class RecordedRequest(Message, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked; ``target`` is path and query as sent."""

    method: str
    target: str


class RecordedAnswer(Message, frozen=True, kw_only=True, omit_defaults=True):
    """What was answered."""

    status: int


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """A request and its answer."""

    request: RecordedRequest
    response: RecordedAnswer


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """The first line. ``path`` is that of the endpoint, such as ``/api``."""

    format: Literal["maxlake recording"] = "maxlake recording"
    version: Literal[1] = 1
    path: str


_FORMAT = msgspec.json.Decoder(Format)
_EXCHANGE = msgspec.json.Decoder(Exchange)


class RecordingWriter:
    """Writes a new file; every exchange is in it, whole, once ``add`` returns. Raises FileExistsError."""

    def __init__(self, path: Path, endpoint_path: str) -> None:
        self._file = path.open("xb", buffering=0)
        self._add(Format(path=endpoint_path))

    def add(self, exchange: Exchange) -> None:
        """Add an exchange. Not for several threads at once."""
        self._add(exchange)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _add(self, line: msgspec.Struct) -> None:
        self._file.write(msgspec.json.encode(line) + b"\n")


def read_recording(path: Path) -> tuple[Format, list[Exchange]]:
    """Return what is in a file. Raises ValueError, with the line, where it is no recording."""
    first, *lines = path.read_bytes().splitlines() or [b""]
    described = _decoded(_FORMAT, first, path, 1)
    return described, [_decoded(_EXCHANGE, line, path, number) for number, line in enumerate(lines, 2)]


def _decoded(decoder: msgspec.json.Decoder[T], line: bytes, path: Path, number: int) -> T:
    try:
        return decoder.decode(line)
    except msgspec.MsgspecError as error:
        raise ValueError(f"{path}, line {number}: not a recording of maxlake: {error}") from error


def body_members(body: bytes) -> dict[str, str | bytes]:
    """Return the member that holds a body: as text if it is text."""
    if not body:
        return {}
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body_base64": body}
