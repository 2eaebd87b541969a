"""Blobs being received: one after the other as a whole, or piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import msgspec

from maxlake.client.blob_layers import CheckedFile, Lookahead
from maxlake.client.errors import MalformedAnswerError, TruncatedStreamError
from maxlake.protocol.frames import NO_FRAMES, FrameError, FrameReader

if TYPE_CHECKING:
    from maxlake.client.blob_layers import Readable

#: From this size on the first eight bytes of a blob alone are not taken for the length of a header (wire.md
#: §11.5).
_MOST_HEADER = 1024
_ANY = msgspec.json.Decoder()
_HEADER_KEYS = {"ContentType", "CustomFileName", "PartitionValues", "ColumnIndex", "DistributionKey"}


class BlobDataIterator:
    """Yields ``(data, mime_type)`` of each blob in ``raw_stream``, the body of an answer without compression.

    A mime type that was not given on upload is ``None``. A single blob may come without a frame, and then
    has none; many always have frames. Raises ``ChecksumError`` for a damaged block, ``TruncatedStreamError``
    if blobs are missing at the end, ``MalformedAnswerError`` for what is no blobs.
    """

    def __init__(self, raw_stream: Readable) -> None:
        self._begin(Lookahead(CheckedFile(raw_stream)), None)

    def _begin(self, payload: Lookahead, count: int | None) -> None:
        """Read the ``count`` blobs of a payload without checksums, None if nobody knows how many."""
        self._payload = payload
        self._count = count
        self._frames = FrameReader(payload.read)
        self._framed: bool | None = None
        self._found = 0
        self._finished = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[bytes, str | None]:
        opened, mime_type = self.open_next()
        if not opened:
            raise StopIteration
        data = self.read_data()
        self.skip_remaining_data_and_footer(0)
        return data, mime_type

    def open_next(self) -> tuple[bool, str | None]:
        """Go to the next blob, the one before having been read; return whether there is one, and its type."""
        if self._finished:
            return False, None
        if self._framed is None:
            self._framed = self._is_framed()
        if not self._framed:
            self._finished = True
            # No bytes can be one empty blob or none: whoever asked knows.
            self._found = 1 if self._count == 1 or self._payload.peek(1) else 0
            return self._found == 1, None
        try:
            frame = self._frames.next_blob()
        except FrameError as error:
            raise self._malformed(error) from error
        if frame is None:
            self._finished = True
            self._check_count()
            return False, None
        self._found += 1
        return True, frame[0].content_type or None

    @property
    def left(self) -> int:
        """Bytes of the present blob not yet read; 0 where nobody says, because it has no frame."""
        return self._frames.left if self._framed else 0

    def read_data(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes of the present blob, all that is left if negative."""
        if not self._framed:
            return self._payload.read(size)
        try:
            return self._frames.read(self._frames.left if size < 0 else size)
        except FrameError as error:
            raise self._malformed(error) from error

    def at_end(self) -> bool:
        """Tell whether the present blob has been read to its end."""
        return not self._frames.left if self._framed else not self._payload.peek(1)

    def skip_remaining_data_and_footer(self, remaining_bytes: int) -> None:
        """Pass over what is left of the present blob, and over its footer."""
        while remaining_bytes > 0 and (skipped := self.read_data(min(remaining_bytes, 1024 * 1024))):
            remaining_bytes -= len(skipped)
        if self._framed:
            self._end_blob()

    def _end_blob(self) -> None:
        try:
            self._frames.end_blob()
        except FrameError as error:
            raise self._malformed(error) from error

    def _is_framed(self) -> bool:
        if self._count is not None and self._count != 1:
            return True
        start = self._payload.peek(len(NO_FRAMES))
        if self._count is None and start == NO_FRAMES and len(self._payload.peek(9)) == 8:
            return True
        length = int.from_bytes(start, "little")
        if len(start) < len(NO_FRAMES) or not 0 < length < _MOST_HEADER:
            return False
        header = self._payload.peek(len(start) + length)[len(start) :]
        try:
            found: Any = _ANY.decode(header)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        return len(header) == length and isinstance(found, dict) and set(found) <= _HEADER_KEYS

    def _check_count(self) -> None:
        if self._count is not None and self._found != self._count:
            raise TruncatedStreamError(
                f"the service sent {self._found} blobs, {self._count} were asked for", code="TruncatedStream"
            )

    def _malformed(self, error: FrameError) -> MalformedAnswerError:
        return MalformedAnswerError(
            f"the service answered 200, but blob {self._found} (from 1) cannot be read: {error}",
            code="MalformedAnswer",
            status_code=200,
        )


class BlobStreamReader:
    """Reads one blob after the other, none of them held whole. ``iterator`` is used by this reader alone."""

    def __init__(self, iterator: BlobDataIterator) -> None:
        self._iterator = iterator
        self._opened: bool | None = None
        self._mime_type: str | None = None

    @property
    def mime_type(self) -> str | None:
        """The mime type of the present blob; ``None`` if it has none."""
        self._open()
        return self._mime_type

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes of the present blob, the rest if negative; ``b""`` at its end."""
        return self._iterator.read_data(size) if self._open() else b""

    def next(self) -> BlobStreamReader | None:
        """Go to the next blob and return this reader; ``None`` after the last.

        Raises ``OSError`` if the present blob has not been read to its end.
        """
        if not self._open():
            return None
        if not self._iterator.at_end():
            raise OSError("Cannot advance to next blob: current blob has not been fully read")
        self._iterator.skip_remaining_data_and_footer(0)
        self._opened, self._mime_type = self._iterator.open_next()
        return self if self._opened else None

    def _open(self) -> bool:
        if self._opened is None:
            self._opened, self._mime_type = self._iterator.open_next()
        return self._opened
