"""An uploaded body, decoded while it is read."""

from __future__ import annotations

from maxlake.lake.arrow_input import Source
from maxlake.protocol.limits import DECODED_PIECE
from maxlake.protocol.tunnel.decoders import BodyDecoder


class DecodedBody:
    """A source of what a decoder makes of another source; it ends once the decoder has found all well."""

    def __init__(self, body: Source, decoder: BodyDecoder) -> None:
        self._body = body
        self._decoder = decoder
        self._received = memoryview(bytearray(DECODED_PIECE))
        self._decoded = memoryview(b"")
        self._ended = False

    def readinto(self, into: memoryview, /) -> int | None:
        """Fill ``into`` from its start, as ``Source`` says; raises what body and decoder do."""
        while not self._decoded and not self._ended:
            count = self._body.readinto(self._received)
            if count is None:
                return None
            self._ended = count == 0
            piece = self._decoder.feed(bytes(self._received[:count])) if count else self._decoder.finish()
            self._decoded = memoryview(piece)
        taken = self._decoded[: len(into)]
        into[: len(taken)] = taken
        self._decoded = self._decoded[len(taken) :]
        return len(taken)
