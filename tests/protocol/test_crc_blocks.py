"""Checked blocks: exactly the data comes back, and no bit of it changes unnoticed."""

from __future__ import annotations

import json
from pathlib import Path

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxlake.protocol.crc_blocks import CrcBlockReader, CrcBlockWriter, CrcError, is_checked_block

VECTORS = Path(__file__).parents[1] / "vectors"
SIZES = st.sampled_from([0, 1, 3, 4, 5, 4095, 4096, 4097, 8191, 8192, 12_345])


def cut(data, size):
    return [data[start : start + size] for start in range(0, len(data), size)]


def checked(data, piece=10**6):
    writer = CrcBlockWriter()
    return b"".join([*map(bytes, map(writer.feed, cut(data, piece))), writer.finish()])


def stripped(body, piece=10**6):
    reader = CrcBlockReader()
    return b"".join([*map(bytes, map(reader.feed, cut(body, piece))), reader.finish()])


@given(SIZES, st.integers(1, 9000), st.integers(1, 9000))
def test_round_trip_in_any_pieces(size, out, back):
    data = bytes(number % 256 for number in range(size))
    body = checked(data, out)
    assert body == b"".join(
        block + google_crc32c.value(block).to_bytes(4, "little") for block in cut(data, 4096)
    )
    assert stripped(body, back) == data


@given(SIZES.filter(bool), st.data())
def test_a_bit_that_flips_and_a_block_that_is_cut_are_errors(size, data):
    body = bytearray(checked(bytes(number % 256 for number in range(size))))
    bit = data.draw(st.integers(0, len(body) * 8 - 1))
    body[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CrcError):
        stripped(bytes(body))
    body[bit // 8] ^= 1 << bit % 8
    end = data.draw(st.integers(1, len(body) - 1).filter(lambda end: end % 4100))
    with pytest.raises(CrcError):
        stripped(bytes(body[:end]))


def test_what_is_a_block():
    assert is_checked_block(checked(b"x"))
    assert not is_checked_block(checked(b"x")[:-1])
    assert not is_checked_block(bytes(4))
    assert not is_checked_block(b"")


def test_captured_blocks_are_understood():
    """Their data is what the client reported, if only by its size."""
    folder = VECTORS / "maxstorage-0.13.2-api3"
    exchange = json.loads(next(folder.glob("*-blob-read-raw1.json")).read_text())["exchanges"][0]
    body = (folder / exchange["response"]["body_file"]).read_bytes()
    assert len(stripped(body)) == 10_240
