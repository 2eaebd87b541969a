"""The messages of an Arrow IPC stream, each received whole: what survives a broken connection, and the only
way to know that a stream ended at its end marker.

Arrow's own readers take the end of the bytes for the end of the stream; a service that cannot finish reports
it by leaving the marker out (wire.md §5).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from maxlake.client.buffers import BufferRing
from maxlake.client.errors import MalformedAnswerError, TruncatedStreamError
from maxlake.protocol.limits import CLIENT_MAX_MESSAGE, MAX_ARROW_METADATA

if TYPE_CHECKING:
    from collections.abc import Callable

_PREFIX_SIZE = 8
_CONTINUATION = 0xFFFFFFFF
#: Positions in the vtable of a flatbuffer table: two sizes, then its fields.
_FIRST_FIELD = 4
_HEADER_TYPE, _HEADER, _BODY_LENGTH = (_FIRST_FIELD + 2 * number for number in (1, 2, 3))


class MessageKind(IntEnum):
    """What a message holds, as Arrow's format numbers it (Message.fbs); ``END`` is the end marker."""

    END = 0
    SCHEMA = 1
    DICTIONARY = 2
    ROWS = 3


@dataclass(frozen=True)
class ArrowMessage:
    """One message: prefix and metadata (``head``), body, and how many rows it holds."""

    kind: MessageKind
    head: bytes
    body: memoryview
    row_count: int = 0


class ArrowFormatError(ValueError):
    """The bytes are not an Arrow IPC stream."""


class ArrowMessages:
    """Takes the messages of one answer off ``readinto``, which returns 0 only at the answer's proper end."""

    def __init__(self, readinto: Callable[[memoryview], int], ring: BufferRing) -> None:
        self._readinto = readinto
        self._ring = ring
        self._ended = False

    def next(self) -> ArrowMessage:
        """Return the next message; the last is the end marker, after which nothing comes.

        Raises ``TruncatedStreamError`` if the bytes end before it, ``MalformedAnswerError`` if they are not
        Arrow, and what ``readinto`` raises.
        """
        try:
            return self._next()
        except ArrowFormatError as error:
            raise MalformedAnswerError(
                f"the service answered 200, but {error}", code="MalformedAnswer", status_code=200
            ) from error

    def _next(self) -> ArrowMessage:
        prefix = self._exactly(memoryview(bytearray(_PREFIX_SIZE)))
        continuation, length = struct.unpack("<Ii", prefix)
        if continuation != _CONTINUATION or not 0 <= length <= MAX_ARROW_METADATA:
            raise ArrowFormatError("the bytes are no Arrow message")
        if length == 0:
            if self._readinto(memoryview(bytearray(1))):
                raise ArrowFormatError("bytes follow the end of the Arrow stream")
            return ArrowMessage(MessageKind.END, bytes(prefix), memoryview(b""))
        metadata = bytes(self._exactly(memoryview(bytearray(length))))
        kind, body_length, row_count = _described(metadata)
        body = self._exactly(self._ring.take(body_length)) if body_length else memoryview(b"")
        return ArrowMessage(kind, bytes(prefix) + metadata, body, row_count)

    def _exactly(self, view: memoryview) -> memoryview:
        filled = 0
        while filled < len(view):
            count = self._readinto(view[filled:])
            if count == 0:
                raise TruncatedStreamError(
                    "the rows end before their end marker: the service could not send them all",
                    code="TruncatedStream",
                    status_code=200,
                )
            filled += count
        return view


def _described(metadata: bytes) -> tuple[MessageKind, int, int]:
    """Return what a message's metadata (a flatbuffer) says: its kind, bytes of body, and rows."""
    try:
        (message,) = struct.unpack_from("<I", metadata, 0)
        kind = MessageKind(_field(metadata, message, _HEADER_TYPE, "<B"))
        body_length = _field(metadata, message, _BODY_LENGTH, "<q")
        header = _position(metadata, message, _HEADER)
        row_count = 0
        if kind is MessageKind.ROWS and header:
            (to_batch,) = struct.unpack_from("<I", metadata, header)
            row_count = _field(metadata, header + to_batch, _FIRST_FIELD, "<q")
    except (struct.error, ValueError) as error:
        raise ArrowFormatError("the metadata of an Arrow message is damaged") from error
    if kind is MessageKind.END or not 0 <= body_length <= CLIENT_MAX_MESSAGE or row_count < 0:
        raise ArrowFormatError(f"an Arrow message has {body_length} bytes and {row_count} rows")
    return kind, body_length, row_count


def _position(metadata: bytes, table: int, slot: int) -> int:
    """Return where a field of a flatbuffer table is; 0 if the table leaves it out."""
    (to_vtable,) = struct.unpack_from("<i", metadata, table)
    vtable = table - to_vtable
    if vtable < 0 or slot + 2 > struct.unpack_from("<H", metadata, vtable)[0]:
        return 0
    (offset,) = struct.unpack_from("<H", metadata, vtable + slot)
    return table + offset if offset else 0


def _field(metadata: bytes, table: int, slot: int, kind: str) -> int:
    position = _position(metadata, table, slot)
    return int(struct.unpack_from(kind, metadata, position)[0]) if position else 0
