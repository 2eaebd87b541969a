"""Blobs over HTTP, as each kind of client sends and reads them (wire.md §11, drift.md A.2, A.3, A.11)."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lz4.frame
import pytest
import zstandard

from maxlake.protocol.crc_blocks import CrcBlockReader
from maxlake.protocol.frames import NO_FRAMES, FrameReader
from maxlake.service import instances
from maxlake.service.service import Service
from tests.server.conftest import ACCESS_ID, Answer, Caller
from tests.service.blob_scene import frame

PYODPS = "pyodps/{} CPython/3.11.7 Linux/5.10.0"
V2, V2_LATER, MS = PYODPS.format("0.13.0"), PYODPS.format("0.13.1"), PYODPS.format("0.13.2")
JAVA, CPP, OURS = "JavaSDK Revision:x Version:0.56", "cpp-sdk", "maxlake/0.1.0 pyodps/0.13.2"
TABLE = "projects.p.schemas.default.tables.t"
BLOBS = [b"abc", b"", os.urandom(5000), b"x" * 3_000_000]


class Blobs:
    """One table with a BLOB column, and a session that writes to it."""

    def __init__(self, call: Caller) -> None:
        self.call = call
        project = call.service.project("p")
        query = "CREATE TABLE t (id bigint, data blob);"
        assert instances.submit(
            project, task_name="SQL", query=query, settings={}, uuid="", priority=9, principal=ACCESS_ID
        ).succeeded
        created = call("POST", self.target("TableCreateWriteSession"), b"{}").json
        self.session = created["SessionId"]

    @staticmethod
    def target(action: str, table: str = TABLE, **more: object) -> str:
        query = "".join(f"&{name}={value}" for name, value in more.items())
        return f"/api/storage/v2?Action={action}&Target={table}{query}"

    def write(
        self, body: bytes | list[bytes], agent: str = V2, headers: Any = None, **more: object
    ) -> Answer:
        target = self.target("TableWriteBlob", SessionId=self.session, StreamId="0", StreamVersion=0, **more)
        return self.call("POST", target, body, headers={"User-Agent": agent, **(headers or {})})

    def read(self, references: Any, agent: str = MS, accept: str | None = None) -> Answer:
        headers = {"User-Agent": agent} | ({"Accept-Encoding": accept} if accept else {})
        body = json.dumps({"BlobReferences": references}).encode()
        return self.call("POST", self.target("BlobRead", "generic.blob"), body, headers=headers)


@pytest.fixture
def blobs(call: Caller) -> Blobs:
    return Blobs(call)


@pytest.fixture
def references(blobs: Blobs) -> list[str]:
    frames = [frame(data, content_type=f"a/{n}" if n % 2 else None) for n, data in enumerate(BLOBS)]
    return blobs.write(b"".join(frames), MS, Mode="Batch").json["BlobReferences"]


def payload(answer: Answer) -> bytes:
    assert (answer.status, answer.complete) == (200, True), answer.body
    reader = CrcBlockReader()
    return bytes(reader.feed(answer.body)) + reader.finish()


def frames(data: bytes) -> list[tuple[bytes, str | None]]:
    position = 0

    def read(size: int) -> bytes:
        nonlocal position
        position += size
        return data[position - size : position]

    reader, found = FrameReader(read), []
    while (blob := reader.next_blob()) is not None:
        found.append((reader.read(blob[1]), blob[0].content_type))
        reader.end_blob()
    return found


EXPECTED = [(data, f"a/{number}" if number % 2 else None) for number, data in enumerate(BLOBS)]


@pytest.mark.parametrize("accept", [None, "identity", "zstd", "x-lz4-frame"])
@pytest.mark.parametrize("agent", [V2, V2_LATER, MS, OURS])
def test_python_clients_get_plain_bytes_whatever_they_accept(
    blobs: Blobs, references: list[str], agent: str, accept: str | None
) -> None:
    answer = blobs.read(references, agent, accept)
    assert "content-encoding" not in answer.headers
    assert frames(payload(answer)) == EXPECTED
    for reference, (data, mime_type) in zip(references, EXPECTED, strict=True):
        single = payload(blobs.read([reference], agent, accept))
        if agent in (V2, OURS):
            assert frames(single) == [(data, mime_type)]
        else:
            assert single == data


def test_java_gets_lz4_inside_the_checksums(blobs: Blobs, references: list[str]) -> None:
    for accept in ("x-lz4-frame", None):
        assert frames(lz4.frame.decompress(payload(blobs.read(references, JAVA, accept)))) == EXPECTED
    assert lz4.frame.decompress(payload(blobs.read(references[3:], JAVA))) == BLOBS[3]
    assert lz4.frame.decompress(payload(blobs.read(references[1:2], JAVA))) == b""


@pytest.mark.parametrize(
    ("accept", "unpack"),
    [
        ("zstd", None),
        ("x-lz4-frame,zstd;q=0.5,identity", None),
        ("zstd, identity;q=0", "zstd"),
        ("x-lz4-frame, *;q=0", "x-lz4-frame"),
        ("gzip, identity;q=0", None),
    ],
)
def test_others_get_what_they_accept_inside_the_checksums(
    blobs: Blobs, references: list[str], accept: str, unpack: str | None
) -> None:
    answer = blobs.read(references, CPP, accept)
    assert answer.headers.get("content-encoding") == unpack
    unpackers = {None: bytes, "x-lz4-frame": lz4.frame.decompress, "zstd": unzstd}
    assert frames(unpackers[unpack](payload(answer))) == EXPECTED


def unzstd(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


def test_no_references_are_eight_zeros(blobs: Blobs) -> None:
    for agent in (V2, V2_LATER, MS, CPP):
        assert payload(blobs.read([], agent)) == NO_FRAMES
    assert payload(blobs.call("POST", blobs.target("BlobRead", "generic.blob"), b"")) == NO_FRAMES


def test_either_form_of_a_reference_is_read_and_only_a_good_one(blobs: Blobs, references: list[str]) -> None:
    decoded = [base64.b64decode(each).decode() for each in references]
    assert frames(payload(blobs.read(decoded))) == EXPECTED
    for wrong in ("nope", references[0][:-4], decoded[0] + "x"):
        refused(blobs.read([references[0], wrong]), 404, "NoSuchObject")
    refused(blobs.read(["x" * 100_000]), 404, "NoSuchObject")
    refused(blobs.read([1]), 400, "InvalidArgument")
    target = blobs.target("BlobRead", TABLE)
    refused(blobs.call("POST", target, b'{"BlobReferences":[]}'), 400, "InvalidArgument")
    refused(blobs.call("POST", blobs.target("TableWriteBlob", "generic.blob"), b"x"), 400, "InvalidArgument")


def refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.json["Code"]) == (status, code), answer.json


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [(None, bytes), ("identity", bytes), ("zstd", zstandard.compress), ("X-LZ4-Frame", lz4.frame.compress)],
)
def test_uploads_are_decompressed(blobs: Blobs, encoding: str | None, pack: Any) -> None:
    headers = {"Content-Encoding": encoding} if encoding else {}
    for data in BLOBS:
        body = pack(data)
        pieces = [body[at : at + 70_000] for at in range(0, len(body), 70_000)] or [b""]
        answer = blobs.write(pieces, MS, headers, ColumnIndex=2)
        assert (answer.json["Size"], answer.json["WarningMessage"]) == (len(data), "")
        assert payload(blobs.read([answer.json["BlobReference"]])) == data
    answer = blobs.write(pack(b"".join(map(frame, BLOBS))), MS, headers, Mode="Batch")
    assert answer.json["Size"] == sum(map(len, BLOBS))
    assert "x-odps-max-storage-route-token" not in answer.headers


@pytest.mark.parametrize("encoding", ["zstd", "x-lz4-frame"])
def test_what_is_not_wholly_compressed_is_refused_and_leaves_nothing(blobs: Blobs, encoding: str) -> None:
    pack = zstandard.compress if encoding == "zstd" else lz4.frame.compress
    frames = frame(b"x" * 100_000)
    for body in (b"plain", pack(frames)[:-5], pack(frames) + b"rest"):
        refused(blobs.write(body, MS, {"Content-Encoding": encoding}), 400, "DATA_ERROR")
        refused(blobs.write(body, MS, {"Content-Encoding": encoding}, Mode="Batch"), 400, "DATA_ERROR")
    refused(blobs.write(b"x", MS, {"Content-Encoding": "br"}), 400, "InvalidArgument")
    root = blobs.call.service.project("p").lake.blobs.root
    assert not [path for path in root.rglob("*") if path.is_file()]


def test_a_bomb_costs_no_memory_and_is_refused(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maxlake.service.blobs.MAX_BLOB", 50_000_000)
    bomb = zstandard.compress(bytes(60_000_000))
    assert len(bomb) < 10_000
    refused(blobs.write(bomb, MS, {"Content-Encoding": "zstd"}, ColumnIndex=2), 400, "InvalidArgument")


@pytest.mark.parametrize(
    ("agent", "index", "warns"),
    [
        (V2, 1, False),
        (V2, 0, True),
        (V2, 2, True),
        (OURS, 1, False),
        (MS, 2, False),
        (MS, 1, True),
        (V2_LATER, 2, False),
    ],
)
def test_column_index_counts_as_the_client_counts(blobs: Blobs, agent: str, index: int, warns: bool) -> None:
    assert bool(blobs.write(b"x", agent, ColumnIndex=index).json["WarningMessage"]) is warns
    body = frame(b"x", column_index=index)
    batch = blobs.write(body, agent, Mode="Batch").json
    fails_on_warnings = agent in (V2, V2_LATER)
    assert bool(batch["WarningMessage"]) is (warns and not fails_on_warnings)


def test_an_upload_that_is_cut_leaves_nothing(call: Caller, blobs: Blobs) -> None:
    root = call.service.project("p").lake.blobs.root
    body = frame(b"x" * 2_000_000) + frame(b"y" * 100)
    for end in (0, 100, 1_500_000, len(body) - 1):
        answer = blobs.write([body[:end]], MS, Mode="Batch")
        if end:
            refused(answer, 400, "InvalidArgument")
    assert not [path for path in root.rglob("*") if path.is_file()]


def flipped(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)


def test_damage_is_an_error_before_the_first_byte_or_a_cut(blobs: Blobs, references: list[str]) -> None:
    """Small blobs are checked before they are sent; a large one is never sent to its end."""
    root = blobs.call.service.project("p").lake.blobs.root
    small, large = sorted(root.rglob("*.pack"), key=lambda path: path.stat().st_size)
    flipped(small, 1)
    refused(blobs.read(references[:1]), 500, "InternalServerError")
    refused(blobs.read(references[:3]), 500, "InternalServerError")
    assert payload(blobs.read(references[2:3])) == BLOBS[2]
    flipped(small, 1)
    flipped(large, 10)
    answer = blobs.read(references[3:])
    assert (answer.status, answer.complete) == (200, False)
    assert len(answer.body) < len(BLOBS[3])
    flipped(large, 10)
    assert payload(blobs.read(references[3:])) == BLOBS[3]
    large.unlink()
    refused(blobs.read(references), 404, "NoSuchObject")


@pytest.fixture
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    service = Service.open(tmp_path_factory.mktemp("other"), project="p")
    yield Caller(service, datetime.now(UTC).replace(microsecond=0))
    service.close()


def test_references_of_another_server_are_refused(blobs: Blobs, references: list[str], other: Caller) -> None:
    refused(Blobs(other).read(references[:1]), 404, "NoSuchObject")
