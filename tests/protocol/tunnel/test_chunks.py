"""Chunks: exactly the data comes back, and nothing of it changes or is missing unnoticed."""

from __future__ import annotations

import google_crc32c
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.tunnel.chunks import CHUNK, ChunkReader, ChunkWriter

SIZES = st.sampled_from([0, 1, 5, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 7])
PIECES = st.integers(997, 3 * CHUNK)


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def chunked(data: bytes, piece: int = 10**6) -> bytes:
    writer = ChunkWriter()
    return b"".join([*map(writer.feed, cut(data, piece)), writer.finish()])


def unchunked(body: bytes, piece: int = 10**6) -> bytes:
    reader = ChunkReader()
    return b"".join([*map(reader.feed, cut(body, piece)), reader.finish()])


def test_the_layout():
    body = b"\0\0\0\x04" + b"abcd" + google_crc32c.value(b"abcd").to_bytes(4, "big")
    body += b"ef" + google_crc32c.value(b"abcdef").to_bytes(4, "big")
    assert unchunked(body, piece=1) == b"abcdef"
    assert chunked(b"xy") == b"\0\1\0\0xy" + google_crc32c.value(b"xy").to_bytes(4, "big")


@given(SIZES, PIECES, PIECES)
@settings(max_examples=20)
def test_round_trip_in_any_pieces(size, out, back):
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    assert unchunked(chunked(data, out), back) == data


def test_an_upload_of_nothing_is_a_checksum_alone():
    assert unchunked(bytes(4)) == b""
    assert unchunked(chunked(b"")) == b""


@given(SIZES, st.data())
@settings(max_examples=20)
def test_what_was_changed_or_cut_is_refused(size, data):
    body = bytearray(chunked(b"\xff" * size))  # as Arrow begins: four zeros would be an upload of nothing
    at = data.draw(st.integers(4, len(body) - 1))
    with pytest.raises(BadRequestError):
        unchunked(bytes(body[:at]))
    body[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadRequestError):
        unchunked(bytes(body), data.draw(PIECES))


def test_another_size_than_that_of_the_chunks_is_refused():
    body = chunked(bytes(CHUNK + 1))
    with pytest.raises(BadRequestError):
        unchunked((CHUNK - 1).to_bytes(4, "big") + body[4:])


def test_errors_say_what_is_wrong():
    with pytest.raises(BadRequestError, match="size of a chunk is 0"):
        unchunked(bytes(8))
    with pytest.raises(BadRequestError) as caught:
        unchunked(b"\0\0\0\4ab" + bytes(4))
    assert caught.value.code is ErrorCode.CHECKSUM_MISMATCH
