"""The client's closed sets; those that travel on the wire are the protocol's own."""

from __future__ import annotations

from enum import Enum

from maxlake.protocol.enums import ChecksumType, Codec, SessionStatus, SplitMode, TimeUnit

__all__ = ["ChecksumType", "Compression", "SessionStatus", "SplitMode", "Status", "TimeUnit"]


class Compression(Enum):
    """How rows are compressed inside their Arrow stream (wire.md §6), and blobs as a whole (wire.md §11)."""

    UNCOMPRESSED = 0
    ZSTD = 1
    LZ4_FRAME = 2

    @property
    def accept_encoding(self) -> str:
        """The word that asks the service for this compression."""
        return _ACCEPT_ENCODING[self]

    @property
    def content_encoding(self) -> str | None:
        """The word that tells the service of this compression; ``None`` without one."""
        return None if self is Compression.UNCOMPRESSED else _ACCEPT_ENCODING[self]

    def to_compression_name(self) -> str | None:
        """Return Arrow's name of the codec; ``None`` without compression."""
        return _ARROW_CODEC[self]


_ACCEPT_ENCODING: dict[Compression, str] = {
    Compression.UNCOMPRESSED: "identity",
    Compression.ZSTD: Codec.ZSTD.value,
    Compression.LZ4_FRAME: Codec.LZ4_FRAME.value,
}
_ARROW_CODEC: dict[Compression, str | None] = {
    Compression.UNCOMPRESSED: None,
    Compression.ZSTD: "zstd",
    Compression.LZ4_FRAME: "lz4",
}


class Status(Enum):
    """Where a reader or writer stands: RUNNING until it ended well, then OK."""

    INIT = "INIT"
    OK = "OK"
    WAIT = "WAIT"
    RUNNING = "RUNNING"
