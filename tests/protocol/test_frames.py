"""Frames: what was written is read, and what was cut or changed is never taken for something else."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxlake.protocol import limits
from maxlake.protocol.enums import ChecksumType
from maxlake.protocol.frames import NO_FRAMES, FrameError, FrameReader, frame_head, frame_tail
from maxlake.protocol.messages.blobs import BlobFooter, BlobHeader, Checksum

VECTORS = Path(__file__).parents[1] / "vectors"
TEXTS = st.none() | st.text(max_size=20)
HEADERS = st.builds(
    BlobHeader,
    partition_values=st.none() | st.lists(st.text(max_size=9), max_size=3).map(tuple),
    column_index=st.none() | st.integers(0, 9),
    distribution_key=TEXTS,
    content_type=TEXTS,
    custom_file_name=TEXTS,
)
FOOTERS = st.sampled_from(
    [
        BlobFooter(),
        BlobFooter(checksum=Checksum(type=ChecksumType.CRC32, crc32=2**32 - 1)),
        BlobFooter(checksum=Checksum(type=ChecksumType.MD5, md5="0" * 32)),
    ]
)
BLOBS = st.lists(st.tuples(HEADERS, st.binary(max_size=50), FOOTERS), max_size=4)


def written(blobs):
    return b"".join(frame_head(head, len(data)) + data + frame_tail(foot) for head, data, foot in blobs)


def read(body, piece=7):
    frames = FrameReader(io.BytesIO(body).read)
    found = []
    while (blob := frames.next_blob()) is not None:
        header, size = blob
        data = b"".join(iter(lambda: frames.read(piece), b""))
        assert len(data) == size
        found.append((header, data, frames.end_blob()))
    return found


@given(BLOBS, st.integers(1, 60))
def test_round_trip(blobs, piece):
    assert read(written(blobs), piece) == blobs


@given(BLOBS.filter(bool), st.data())
def test_a_body_that_is_cut_is_an_error_or_ends_with_a_whole_blob(blobs, data):
    body = written(blobs)
    cut = data.draw(st.integers(0, len(body) - 1))
    ends = [len(written(blobs[:count])) for count in range(len(blobs))]
    if cut in ends:
        assert read(body[:cut]) == blobs[: ends.index(cut)]
    else:
        with pytest.raises(FrameError):
            read(body[:cut])


def test_no_blobs_are_no_bytes_or_eight_zeros():
    assert read(b"") == read(NO_FRAMES) == []
    with pytest.raises(FrameError, match="follow"):
        read(NO_FRAMES + b"x")
    with pytest.raises(FrameError):
        read(written([(BlobHeader(), b"x", BlobFooter())]) + NO_FRAMES)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ((2**63).to_bytes(8, "little"), "claims"),
        ((limits.MAX_FRAME_HEADER + 1).to_bytes(8, "little"), "at most"),
        (b"\2" + bytes(7) + b"[]", "not a BlobHeader"),
        (b"\2" + bytes(7) + b"\xff\xff", "not a BlobHeader"),
        (frame_head(BlobHeader(), 0) + b"\x16" + bytes(7) + b'{"Checksum":{"Type":9}}', "not a BlobFooter"),
        (frame_head(BlobHeader(), 0) + (2**20).to_bytes(8, "little"), "at most"),
    ],
)
def test_what_is_no_frame_is_refused(body, says):
    with pytest.raises(FrameError, match=says):
        read(body)


def test_unknown_members_are_ignored_and_absent_ones_not_sent():
    assert frame_head(BlobHeader(), 3)[8:-8] == b"{}"
    header = b'{"ContentType":"a/b","Later":1}'
    body = len(header).to_bytes(8, "little") + header + bytes(8) + frame_tail(BlobFooter())
    assert read(body) == [(BlobHeader(content_type="a/b"), b"", BlobFooter())]


@pytest.mark.parametrize("folder", sorted(path.name for path in VECTORS.glob("*-api*")))
def test_every_captured_batch_is_understood(folder):
    found = 0
    for path in sorted((VECTORS / folder).glob("*-blob-batch-*.json")):
        for exchange in json.loads(path.read_text())["exchanges"]:
            request = exchange["request"]
            if "body_file" not in request or "Content-Encoding" in dict(request["headers"]):
                continue
            blobs = read((VECTORS / folder / request["body_file"]).read_bytes(), 4096)
            answer = json.loads(exchange["response"]["body"])
            assert len(blobs) == len(answer["BlobReferences"])
            assert sum(len(data) for _, data, _ in blobs) == answer["Size"]
            found += len(blobs)
    assert found >= 5
