"""Snappy's frames: what was compressed comes back; what is damaged, cut or a bomb is refused."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxlake.protocol.errors import BadRequestError
from maxlake.protocol.tunnel.snappy_frames import SnappyCompressor, SnappyDecompressor

BEGIN = b"\xff\x06\0\0sNaPpY"


def compressed(data: bytes) -> bytes:
    compressor = SnappyCompressor()
    return compressor.feed(data) + compressor.finish()


def decompressed(data: bytes, piece: int = 10**6) -> bytes:
    stream = SnappyDecompressor()
    return b"".join(stream.feed(data[at : at + piece]) for at in range(0, len(data), piece)) + stream.finish()


@given(st.integers(0, 200_000), st.integers(1, 100_000))
@settings(max_examples=20)
def test_round_trip_in_any_pieces(size, piece):
    data = (bytes(range(250)) * (size // 250 + 1))[:size]
    assert decompressed(compressed(data), piece) == data


def test_chunks_of_other_kinds():
    """Beginnings may be repeated, padding is passed over, and chunks need not be compressed."""
    body = compressed(b"abc")[len(BEGIN) :]
    plain = b"\1\7\0\0" + body[4:8] + b"abc"
    assert decompressed(BEGIN + b"\x80\2\0\0.." + plain + BEGIN + body) == b"abcabc"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"abc",
        BEGIN[:-1],
        BEGIN + b"\0",
        BEGIN + b"\0\1\0\0\0",
        BEGIN + b"\2\4\0\0\0\0\0\0",
        BEGIN + b"\x80\xff\xff\xff",
        BEGIN + b"\1\7\0\0\0\0\0\0abc",
        BEGIN + b"\0\x0a\0\0\0\0\0\0\xff\xff\xff\xff\xff\x0f",
        b"\xff\x06\0\0sNaPpX",
    ],
)
def test_what_is_no_stream_is_refused(data):
    with pytest.raises(BadRequestError, match="Snappy"):
        decompressed(data)


def test_a_bomb_is_refused_before_it_unfolds():
    block = pa.Codec("snappy").compress(bytes(10**6), asbytes=True)
    chunk = bytes(4) + block
    with pytest.raises(BadRequestError, match="1000000 bytes"):
        decompressed(BEGIN + b"\0" + len(chunk).to_bytes(3, "little") + chunk)
