"""A decoded body ends when its decoder says so, waits when its source does, and asks for what it holds."""

from __future__ import annotations

import pytest

from maxlake.protocol.errors import BadRequestError, invalid_argument
from maxlake.protocol.tunnel.decoders import RecordDecoder
from maxlake.protocol.tunnel.record_writer import RecordWriter
from maxlake.service.decoded_body import DecodedBody
from tests.server.test_tunnel import COLUMNS, ROWS, TYPES


class Pieces:
    """A source of pieces; None is a pause."""

    def __init__(self, *pieces: bytes | None) -> None:
        self._pieces = list(pieces)

    def readinto(self, into: memoryview) -> int | None:
        if not self._pieces:
            return 0
        piece = self._pieces.pop(0)
        if piece is not None:
            into[: len(piece)] = piece
        return None if piece is None else len(piece)


class Upper:
    """Makes capitals of the bytes it has seen before, and of the rest at the end, which may be wrong."""

    def __init__(self, problem: Exception | None = None) -> None:
        self._held = b""
        self._problem = problem

    @property
    def held_bytes(self) -> int:
        return len(self._held)

    def feed(self, data: bytes) -> bytes:
        made, self._held = self._held.upper(), data
        return made

    def finish(self) -> bytes:
        if self._problem:
            raise self._problem
        return self.feed(b"")


def read(body: DecodedBody, size: int = 3) -> list[bytes | None]:
    """What each look gives, up to the end."""
    found: list[bytes | None] = []
    while True:
        into = memoryview(bytearray(size))
        count = body.readinto(into)
        if count == 0:
            return found
        found.append(None if count is None else bytes(into[:count]))


def test_pauses_are_passed_on_and_what_is_held_is_reserved():
    reserved: list[int] = []
    body = DecodedBody(Pieces(b"abcd", None, b"ef", None), Upper(), reserved.append)
    assert read(body) == [None, b"ABC", b"D", None, b"EF"]
    assert (sum(reserved), body.held_bytes) == (4 + 2, 0)


def test_what_the_end_shows_to_be_wrong_is_raised_instead_of_the_end():
    body = DecodedBody(Pieces(b"abc", b"def"), Upper(invalid_argument("wrong")))
    assert body.readinto(memoryview(bytearray(9))) == 3
    with pytest.raises(BadRequestError, match="wrong"):
        body.readinto(memoryview(bytearray(9)))


def test_a_record_that_goes_on_is_counted():
    sent = RecordWriter(TYPES).feed(ROWS)
    decoder = RecordDecoder(COLUMNS)
    reserved: list[int] = []
    body = DecodedBody(Pieces(sent[:2], None, sent[2:4], None), decoder, reserved.append)
    body.readinto(memoryview(bytearray(10_000)))
    assert body.readinto(memoryview(bytearray(10_000))) is None
    assert body.held_bytes == decoder.held_bytes == 2 * 2
    assert reserved[-1] > 0
