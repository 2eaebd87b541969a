"""Everything the server knows about the peculiarities of clients (drift.md part A).

A client is recognised from its request alone; what it needs is a ``Dialect``. Nothing else in the server
looks at a user agent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import msgspec
from starlette.datastructures import Headers

from maxlake.protocol.enums import Codec, WriteMode
from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.messages.read import IncrementalReadOptions
from maxlake.protocol.messages.write import GetWriteSessionResponse, StreamInfo, StreamStatus

_CODECS = {codec.value: codec for codec in Codec}
_REFUSED = re.compile(r"q=0(\.0*)?")
_PYODPS = re.compile(r"pyodps/(\d+)\.(\d+)\.(\d+)")


class Layer(Enum):
    """What compression is applied to (wire.md §6)."""

    IPC_BUFFERS = auto()
    WHOLE_BODY = auto()


@dataclass(frozen=True, slots=True)
class Compression:
    """How rows are compressed on their way to one client."""

    codec: Codec
    layer: Layer


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one kind of client needs."""

    #: Where this client expects the compression it asked for (drift.md A.1).
    layer: Layer
    #: Whether ``Streams`` is a list, as the documentation iterates it, or a map (drift.md A.4).
    lists_streams: bool
    #: Whether a preview's ``Limit`` of 0 means that none was chosen: C++ always sends one.
    zero_limit_is_default: bool = False


STORAGE_API_V2 = Dialect(Layer.IPC_BUFFERS, lists_streams=True)
MAX_STORAGE = Dialect(Layer.WHOLE_BODY, lists_streams=True)
OTHER = Dialect(Layer.IPC_BUFFERS, lists_streams=False, zero_limit_is_default=True)


def recognise(headers: Headers, target: str) -> Dialect:
    """Tell who asks, from the request's headers and its Target (drift.md A.0).

    Our own client names itself before the PyODPS it runs on, and speaks the documented dialect. PyODPS
    0.13.1 holds two clients: MaxStorage omits the default schema from Target, and writes the compression
    header after Content-Type.
    """
    agent = headers.get("user-agent", "")
    if agent.startswith("maxlake/"):
        return STORAGE_API_V2
    found = _PYODPS.match(agent)
    if found is None:
        return OTHER
    version = tuple(int(part) for part in found.groups())
    if version >= (0, 13, 2):
        return MAX_STORAGE
    if version == (0, 13, 1) and (".schemas." not in target or _compression_after_content_type(headers)):
        return MAX_STORAGE
    return STORAGE_API_V2


def _compression_after_content_type(headers: Headers) -> bool:
    names = [name for name in headers if name in ("accept-encoding", "content-type")]
    return accepted_codec(headers) is not None and names == ["content-type", "accept-encoding"]


def accepted_codec(headers: Headers) -> Codec | None:
    """Return the first codec of ours that the client accepts, in its order; None for plain (drift.md A.1)."""
    for offer in headers.get("accept-encoding", "").split(","):
        word, _, weight = (part.strip().lower() for part in offer.partition(";"))
        if word in _CODECS and not _REFUSED.fullmatch(weight):
            return _CODECS[word]
    return None


def read_compression(dialect: Dialect, headers: Headers) -> Compression | None:
    """Return how rows go to this client, None for plain (drift.md A.1)."""
    codec = accepted_codec(headers)
    return None if codec is None else Compression(codec, dialect.layer)


def preview_compression(_: Dialect, headers: Headers) -> Compression | None:
    """Return how previews go: only C++ asks for compression there, and reads IPC buffers (wire.md §6)."""
    codec = accepted_codec(headers)
    return None if codec is None else Compression(codec, Layer.IPC_BUFFERS)


def preview_limit(limit: int | None, dialect: Dialect) -> int | None:
    """Return the limit of a preview as the client means it; None for the default."""
    return None if limit == 0 and dialect.zero_limit_is_default else limit


def incremental_options(options: IncrementalReadOptions) -> IncrementalReadOptions:
    """Return the options that are given (wire.md §4.5).

    For none Java and C++ send a version of 0 or -1, and C++ a time of -1.
    """
    given = msgspec.structs.asdict(options)
    return IncrementalReadOptions(
        **{name: None if value in (0, -1, "-1") else value for name, value in given.items()}
    )


def write_session(answer: GetWriteSessionResponse, dialect: Dialect) -> dict[str, Any]:
    """Shape TableGetWriteSession: a list or null for PyODPS, else a map id → version (drift.md A.4)."""
    streams = [_stream_entry(stream) for stream in answer.streams] or None
    versions = {stream.stream_id: stream.stream_version for stream in answer.streams}
    return {
        "Streams": streams if dialect.lists_streams else versions,
        "WarningMessage": answer.warning_message,
        "MinUncommittedStagingId": None,
    }


def _stream_entry(stream: StreamInfo) -> dict[str, Any]:
    return msgspec.to_builtins(stream)


def stream_status(answer: StreamStatus) -> dict[str, Any]:
    """Shape TableGetWriteStream: status and count in both spellings, for MaxStorage (drift.md A.5)."""
    members: dict[str, Any] = msgspec.to_builtins(answer)
    return members | {"status": members["Status"], "recordCount": members["RecordCount"]}


def route_token(host: str) -> str:
    """Return the route token: C++ takes its middle as the host of a connection pool (drift.md A.20)."""
    return f"maxlake;{host};0"


def write_mode(text: str | None) -> WriteMode | None:
    """Read WriteMode, in any case; None if it is absent (drift.md A.14, B.25). Raises InvalidArgument."""
    if text is None:
        return None
    for mode in WriteMode:
        if mode.value.lower() == text.lower():
            return mode
    raise invalid_argument(f"unknown WriteMode {text[:64]!r}; known are {', '.join(WriteMode)}")
