"""What lies around downloaded blobs, taken off: the checksums of blocks, and compression on either side.

Official services compress inside the checksums, as Java and MaxStorage undo it; the documentation says that
they do it outside (wire.md §11.4). The first block tells.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from maxlake.client.errors import ChecksumError, ClientError, MalformedAnswerError
from maxlake.protocol.crc_blocks import CHECKED_BLOCK, CrcBlockReader, CrcError, is_checked_block
from maxlake.protocol.enums import Codec

if TYPE_CHECKING:
    from maxlake.client.download import Download

#: Bytes asked for at a time: whole blocks, about 1 MB.
_PIECE = 256 * CHECKED_BLOCK
#: Bytes set aside for a blob of which only its announced size is known: that may be wrong.
_MOST_ROOM = 64 * 1024 * 1024
_ARROW_CODEC = {Codec.ZSTD.value: "zstd", Codec.LZ4_FRAME.value: "lz4"}


class Readable(Protocol):
    """A file, as far as it is needed."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes, ``b""`` only at the end."""
        ...


class DownloadFile:
    """An answer's body as a file. ``read`` returns as many bytes as asked for, fewer only at the end."""

    closed = False

    def __init__(self, download: Download) -> None:
        self._download = download

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; raises as ``Download.readinto``."""
        buffer = bytearray(size if size >= 0 else _PIECE)
        view = memoryview(buffer)
        filled = 0
        while filled < len(buffer) and (count := self._download.readinto(view[filled:])):
            filled += count
        return bytes(view[:filled])


class Lookahead:
    """A file whose next bytes can be looked at. ``read`` returns exactly ``size`` bytes but at the end."""

    closed = False

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._ahead = b""

    def peek(self, size: int) -> bytes:
        """Return the next ``size`` bytes, fewer at the end, without taking them."""
        while len(self._ahead) < size and (piece := self._source.read(size - len(self._ahead))):
            self._ahead += piece
        return self._ahead[:size]

    def read(self, size: int = -1) -> bytes:
        """Return the next ``size`` bytes, all that is left if negative."""
        if size < 0:
            joined = io.BytesIO()
            while joined.write(self._take(_PIECE)):
                pass
            return joined.getvalue()
        taken = self._take(size)
        if len(taken) == size:
            return taken
        # Room is taken once: a list of pieces beside what is made of them would take twice as much.
        joined, missing = io.BytesIO(), size
        joined.seek(min(size, _MOST_ROOM) - 1)
        joined.write(b"\0")
        joined.seek(0)
        while taken:
            missing -= joined.write(taken)
            taken = self._take(missing) if missing else b""
        joined.truncate()
        return joined.getvalue()

    def _take(self, size: int) -> bytes:
        if not self._ahead:
            return self._source.read(size)
        taken, self._ahead = self._ahead[:size], self._ahead[size:]
        return taken


class CheckedFile:
    """The data of checked blocks. ``read`` raises ``ChecksumError`` for a bad one, and returns none of it."""

    closed = False

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._blocks = CrcBlockReader()
        self._ready = memoryview(b"")
        self._ended = False

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes, ``b""`` only at the end."""
        while not self._ready and not self._ended:
            piece = self._source.read(_PIECE)
            try:
                self._ready = memoryview(self._blocks.feed(piece) if piece else self._blocks.finish())
            except CrcError as error:
                raise ChecksumError(
                    f"a blob was damaged on its way: {error}; read it again", code="ChecksumMismatch"
                ) from error
            self._ended = not piece
        taken = self._ready[: size if size >= 0 else None]
        self._ready = self._ready[len(taken) :]
        return bytes(taken)


class _DecompressedFile:
    def __init__(self, source: Any, codec: str) -> None:
        self._stream = pa.CompressedInputStream(pa.PythonFile(source, mode="r"), codec)

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read(size if size >= 0 else None)
        except ClientError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise _malformed(f"its compression cannot be undone: {error}") from error


def payload_of(body: Readable, content_encoding: str | None) -> Lookahead:
    """Return the blobs of an answer's body, in their frames if they have some.

    Raises ``MalformedAnswerError`` for an unknown encoding.
    """
    if not content_encoding or content_encoding.lower() == "identity":
        return Lookahead(CheckedFile(body))
    codec = _ARROW_CODEC.get(content_encoding.lower())
    if codec is None:
        raise _malformed(f"Content-Encoding {content_encoding!r} is not known")
    source = Lookahead(body)
    if is_checked_block(source.peek(CHECKED_BLOCK)):
        return Lookahead(_DecompressedFile(CheckedFile(source), codec))
    return Lookahead(CheckedFile(_DecompressedFile(source, codec)))


def _malformed(what: str) -> MalformedAnswerError:
    return MalformedAnswerError(
        f"the service answered 200, but {what}", code="MalformedAnswer", status_code=200
    )
