"""An uploaded body, decoded while it is read."""

from __future__ import annotations

from collections.abc import Callable

from maxlake.lake.arrow_input import Source
from maxlake.protocol.limits import DECODED_PIECE
from maxlake.protocol.tunnel.decoders import BodyDecoder
from maxlake.protocol.types.place import unbounded


class DecodedBody:
    """A source of what a decoder makes of another source; it ends once the decoder has found all well.

    ``reserve`` is told how much more decoder and source come to hold, and may raise.
    """

    def __init__(
        self, body: Source, decoder: BodyDecoder, reserve: Callable[[int], None] = unbounded
    ) -> None:
        self._body = body
        self._decoder = decoder
        self._reserve = reserve
        self._received = memoryview(bytearray(DECODED_PIECE))
        self._decoded = memoryview(b"")
        self._ended = False

    @property
    def held_bytes(self) -> int:
        """Bytes that are decoded and not read, or not whole."""
        return len(self._decoded) + self._decoder.held_bytes

    def readinto(self, into: memoryview, /) -> int | None:
        """Fill ``into`` from its start, as ``Source`` says; raises what body and decoder do."""
        while not self._decoded and not self._ended:
            count = self._body.readinto(self._received)
            if count is None:
                return None
            self._ended = count == 0
            before = self.held_bytes
            piece = self._decoder.feed(bytes(self._received[:count])) if count else self._decoder.finish()
            self._decoded = memoryview(piece)
            self._reserve(max(0, self.held_bytes - before))
        taken = self._decoded[: len(into)]
        into[: len(taken)] = taken
        self._decoded = self._decoded[len(taken) :]
        return len(taken)
