"""Everything the server knows about the peculiarities of clients (drift.md part A).

A client is recognised from its request alone; what it needs is a ``Dialect``. Nothing else in the server
looks at a user agent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any, TypeVar

import msgspec
from starlette.datastructures import Headers

from maxlake.protocol.enums import Codec, TunnelCodec, WriteMode
from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.messages.blobs import WriteBlobsResponse
from maxlake.protocol.messages.read import IncrementalReadOptions
from maxlake.protocol.messages.write import GetWriteSessionResponse, StreamInfo, StreamStatus
from maxlake.service.blob_columns import Addressing

C = TypeVar("C")

_CODECS = {codec.value: codec for codec in Codec}
_TUNNEL_CODECS = {codec.value: codec for codec in TunnelCodec}
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


class BlobLayers(Enum):
    """What lies around the blobs of an answer, beside the checksums of their blocks (wire.md §11.4)."""

    #: Nothing, whatever the client accepts: on the rest official Python clients disagree, one silently.
    NEVER_COMPRESSED = auto()
    #: LZ4 inside the checksums, which the client expects without being told.
    ALWAYS_LZ4 = auto()
    #: Nothing, unless the client refuses that; then what it accepts, inside the checksums.
    AS_ACCEPTED = auto()


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one kind of client needs."""

    #: Where this client expects the compression it asked for (drift.md A.1).
    layer: Layer
    #: Whether ``Streams`` is a list, as the documentation iterates it, or a map (drift.md A.4).
    lists_streams: bool
    #: Whether a preview's ``Limit`` of 0 means that none was chosen: C++ always sends one.
    zero_limit_is_default: bool = False
    #: How blobs are compressed on their way to this client (drift.md A.2).
    blob_layers: BlobLayers = BlobLayers.NEVER_COMPRESSED
    #: Whether a blob that is read alone has a frame: without one 0.13.0 loses some, and every mime type
    #: (drift.md A.3).
    frames_single_blob: bool = False
    #: What ``ColumnIndex`` of a blob counts (drift.md A.11).
    blob_addressing: Addressing = Addressing.COLUMN_ID
    #: Whether a batch of blobs may be answered with a warning: on one, V2 fails after a successful upload.
    takes_batch_warnings: bool = True
    #: The scale this client gives a decimal declared with scale 0 in Arrow that is sent without a schema:
    #: PyODPS takes 0 for not given.
    whole_decimal_scale: int = 0


#: Our own client.
MAXLAKE = Dialect(
    Layer.IPC_BUFFERS,
    lists_streams=True,
    frames_single_blob=True,
    blob_addressing=Addressing.POSITION,
    whole_decimal_scale=18,
)
STORAGE_API_V2 = replace(MAXLAKE, takes_batch_warnings=False)
#: That of PyODPS 0.13.1, told from MaxStorage by less than certain signs: frames would harm the latter.
STORAGE_API_V2_0_13_1 = Dialect(
    Layer.IPC_BUFFERS, lists_streams=True, takes_batch_warnings=False, whole_decimal_scale=18
)
MAX_STORAGE = Dialect(Layer.WHOLE_BODY, lists_streams=True, whole_decimal_scale=18)
JAVA = Dialect(
    Layer.IPC_BUFFERS,
    lists_streams=False,
    zero_limit_is_default=True,
    blob_layers=BlobLayers.ALWAYS_LZ4,
)
OTHER = Dialect(
    Layer.IPC_BUFFERS,
    lists_streams=False,
    zero_limit_is_default=True,
    blob_layers=BlobLayers.AS_ACCEPTED,
)


def recognise(headers: Headers, target: str) -> Dialect:
    """Tell who asks, from the request's headers and its Target (drift.md A.0).

    Our own client names itself before the PyODPS it runs on, and speaks the documented dialect. PyODPS
    0.13.1 holds two clients: MaxStorage omits the default schema from Target, and writes the compression
    header after Content-Type.
    """
    agent = headers.get("user-agent", "")
    if agent.startswith("maxlake/"):
        return MAXLAKE
    found = _PYODPS.match(agent)
    if found is None:
        return JAVA if agent.startswith("JavaSDK") else OTHER
    version = tuple(int(part) for part in found.groups())
    if version >= (0, 13, 2):
        return MAX_STORAGE
    if version == (0, 13, 1) and (".schemas." not in target or _compression_after_content_type(headers)):
        return MAX_STORAGE
    return STORAGE_API_V2_0_13_1 if version == (0, 13, 1) else STORAGE_API_V2


def _compression_after_content_type(headers: Headers) -> bool:
    names = [name for name in headers if name in ("accept-encoding", "content-type")]
    return accepted_codec(headers) is not None and names == ["content-type", "accept-encoding"]


def accepted_codec(headers: Headers) -> Codec | None:
    """Return the first codec of ours that the client accepts, in its order; None for plain (drift.md A.1)."""
    return _first_accepted(headers, _CODECS)


def accepted_tunnel_codec(headers: Headers) -> TunnelCodec | None:
    """Return how a download is compressed for this client; None for not at all."""
    return _first_accepted(headers, _TUNNEL_CODECS)


def _first_accepted(headers: Headers, codecs: Mapping[str, C]) -> C | None:
    for word, refused in _offers(headers):
        if word in codecs and not refused:
            return codecs[word]
    return None


def _offers(headers: Headers) -> Iterator[tuple[str, bool]]:
    """Yield the encodings a client names, in its order, and whether it refuses them (RFC 9110 §12.5.3)."""
    for offer in headers.get("accept-encoding", "").split(","):
        word, _, weight = (part.strip().lower() for part in offer.partition(";"))
        yield word, _REFUSED.fullmatch(weight) is not None


def read_compression(dialect: Dialect, headers: Headers) -> Compression | None:
    """Return how rows go to this client, None for plain (drift.md A.1)."""
    codec = accepted_codec(headers)
    return None if codec is None else Compression(codec, dialect.layer)


def preview_compression(_: Dialect, headers: Headers) -> Compression | None:
    """Return how previews go: only C++ asks for compression there, and reads IPC buffers (wire.md §6)."""
    codec = accepted_codec(headers)
    return None if codec is None else Compression(codec, Layer.IPC_BUFFERS)


@dataclass(frozen=True, slots=True)
class BlobForm:
    """How blobs go to one client: inside the checksums perhaps compressed, inside of that perhaps framed."""

    codec: Codec | None
    framed: bool


def blob_form(dialect: Dialect, headers: Headers, count: int) -> BlobForm:
    """Return how ``count`` blobs go to this client (drift.md A.2, A.3)."""
    framed = count != 1 or dialect.frames_single_blob
    match dialect.blob_layers:
        case BlobLayers.ALWAYS_LZ4:
            return BlobForm(Codec.LZ4_FRAME, framed)
        case BlobLayers.AS_ACCEPTED if not _accepts_identity(headers):
            return BlobForm(accepted_codec(headers), framed)
        case _:
            return BlobForm(None, framed)


def _accepts_identity(headers: Headers) -> bool:
    """Tell whether a client takes plain bodies: all do that do not say otherwise (RFC 9110 §12.5.3)."""
    refused = dict(_offers(headers))
    return not refused.get("identity", refused.get("*", False))


def blob_batch(answer: WriteBlobsResponse, dialect: Dialect) -> WriteBlobsResponse:
    """Shape the answer to a batch of blobs: without a warning for clients that fail on one."""
    return answer if dialect.takes_batch_warnings else msgspec.structs.replace(answer, warning_message="")


def content_codec(content_encoding: str) -> Codec | None:
    """Return what an upload is compressed with, None for nothing (wire.md §11.1). Raises InvalidArgument."""
    return _content_codec(content_encoding, _CODECS)


def tunnel_content_codec(content_encoding: str) -> TunnelCodec | None:
    """Return what a block is compressed with, None for nothing. Raises InvalidArgument."""
    return _content_codec(content_encoding, _TUNNEL_CODECS)


def _content_codec(content_encoding: str, codecs: Mapping[str, C]) -> C | None:
    word = content_encoding.strip().lower()
    if word in ("", "identity"):
        return None
    if word not in codecs:
        raise invalid_argument(f"Content-Encoding {word[:64]!r} is not taken; {', '.join(codecs)} are")
    return codecs[word]


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
