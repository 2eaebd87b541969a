"""Blobs by our client: what it sends, what it makes of answers, captured ones and wrong ones."""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
from collections.abc import Iterator
from typing import Any

import google_crc32c
import lz4.frame
import pytest
import zstandard
from odps.errors import ChecksumError as OdpsChecksumError

from maxlake.client import (
    BlobDataIterator,
    BlobStreamReader,
    BlobWriteItem,
    ChecksumType,
    Compression,
    ReadBlobRequest,
    Status,
)
from maxlake.client.errors import ChecksumError, MalformedAnswerError, TruncatedStreamError
from maxlake.protocol.limits import CLIENT_BLOBS_PER_REQUEST
from odps import errors
from tests.client.replay import HANG_UP, ReplayServer, Reply, captured, instance, vector

OK = {"BlobReference": "cmVm", "Size": 5, "MD5Value": hashlib.md5(b"hello").hexdigest(), "WarningMessage": ""}
#: The blobs most captured answers hold.
THREE = [(3, "text/plain"), (0, None), (5000, None)]


def checked(data: bytes) -> bytes:
    blocks = [data[start : start + 4096] for start in range(0, len(data), 4096)]
    return b"".join(block + struct.pack("<I", google_crc32c.value(block)) for block in blocks)


def framed(*blobs: tuple[bytes, str | None]) -> bytes:
    return BlobWriteItem.write_blobs([BlobWriteItem(data, mime_type=mime_type) for data, mime_type in blobs])


def read(body: bytes, references: int = 2, encoding: str | None = None, **options: Any) -> Any:
    headers = {"x-odps-request-id": "req-1"} | ({"Content-Encoding": encoding} if encoding else {})
    with ReplayServer(Reply(body, headers=headers, **options)) as server:
        return list(server.client().read_blobs([f"r{number}" for number in range(references)]))


@pytest.mark.parametrize(
    ("label", "references", "expected"),
    [
        ("blob-read-raw-1-b64-ref", 1, [(11, None)]),
        ("blob-read-raw-1-decoded-bytes-ref", 1, [(11, None)]),
        ("blob-read-framed", 3, THREE),
        ("blob-read-crc-outer-compression-zstd", 3, THREE),
        ("blob-read-raw1-crc-outer-compression-zstd", 1, [(5000, None)]),
        ("blob-read-crc-outer-compression-lz4-frame", 3, THREE),
        ("blob-read-raw1-crc-outer-compression-lz4-frame", 1, [(5000, None)]),
        ("blob-read-comp-outer-compression-zstd", 3, THREE),
        ("blob-read-raw1-comp-outer-compression-zstd", 1, [(5000, None)]),
        ("blob-read-comp-outer-compression-lz4-frame", 3, THREE),
        ("blob-read-raw1-comp-outer-compression-lz4-frame", 1, [(5000, None)]),
        ("blob-read-asked-zstd-served-identity", 3, THREE),
        ("blob-read-single-framed", 1, [(3, "text/plain")]),
        ("blob-read-empty-refs-empty-body", 0, []),
        ("blob-read-empty-refs-8-zero-bytes", 0, []),
        # 0.13.0 lost these two.
        ("blob-read-raw-ambiguous-prefix", 1, [(15, None)]),
        ("blob-read-one-empty-blob", 1, [(0, None)]),
        ("blob-stream-read-framed", 3, THREE),
        ("blob-stream-read-raw1", 1, [(3, None)]),
    ],
)
def test_captured_answers(label: str, references: int, expected: list[tuple[int, str | None]]) -> None:
    _, reply = captured(label)
    with ReplayServer(reply) as server:
        client = server.client()
        found = list(client.read_blobs(["r"] * references, Compression.ZSTD))
        assert [(len(data), mime_type) for data, mime_type in found] == expected
        reader = client.read_blobs(["r"] * references, stream=True)
        for data, mime_type in found:
            assert (reader.mime_type, b"".join(iter(lambda: reader.read(7), b""))) == (mime_type, data)
            following = reader.next()
        assert not found or following is None
        assert (reader.read(), reader.next()) == (b"", None)


def test_an_iterator_takes_the_checksums_off_by_itself() -> None:
    blobs = [(b"a" * 9000, "a/b"), (b"", None)]
    assert list(BlobDataIterator(io.BytesIO(checked(framed(*blobs))))) == blobs
    assert list(BlobDataIterator(io.BytesIO(checked(b"not framed")))) == [(b"not framed", None)]
    assert list(BlobDataIterator(io.BytesIO(checked(bytes(8))))) == []
    assert list(BlobDataIterator(io.BytesIO(b""))) == []


def test_a_missing_blob_is_the_service_error() -> None:
    _, reply = captured("blob-read-missing")
    with ReplayServer(reply) as server, pytest.raises(errors.ODPSError) as caught:
        server.client().read_blobs(["r"])
    assert caught.value.status_code == 404


@pytest.mark.parametrize(
    ("label", "call"),
    [
        ("blob-stream-none", lambda c: (None, b"hello world")),
        ("blob-stream-compression-zstd", lambda c: (Compression.ZSTD, b"hello world")),
        ("blob-stream-compression-lz4-frame", lambda c: (Compression.LZ4_FRAME, b"hello world")),
    ],
)
def test_a_blob_is_sent_as_0_13_0_sent_it(label: str, call: Any) -> None:
    _, reply = captured(label)
    with ReplayServer(reply) as server:
        compression, data = call(None)
        writer = server.client().write_blob_stream(
            "ws-1", 0, partition_values=["pt=20230101", "r=us-west"], compression=compression
        )
        assert writer.write(data)
        response = writer.finish()
        unpacked = {
            None: lambda body: body,
            Compression.ZSTD: lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
            Compression.LZ4_FRAME: lz4.frame.decompress,
        }[compression](server.last.body)
    assert unpacked == data
    assert (response.size, writer.get_status()) == (11, Status.OK)
    assert writer.get_request_id() == response.request_id
    answered = json.loads(vector(label)["exchanges"][-1]["response"]["body"])
    assert response.blob_reference == answered["BlobReference"]


@pytest.mark.parametrize("kind", ChecksumType)
def test_a_batch_is_sent_as_0_13_0_sent_it(kind: ChecksumType) -> None:
    label = f"blob-batch-checksumtype-{kind.name.lower()}"
    request, reply = captured(label)
    theirs = frames_of(request["bytes"])
    with ReplayServer(reply) as server:
        items = [
            BlobWriteItem(
                data if number % 2 else io.BytesIO(b"x" + data + b"y"),
                partition_values=header["PartitionValues"],
                column_index=header["ColumnIndex"],
                distribution_key=header.get("DistributionKey"),
                mime_type=header.get("ContentType"),
                checksum_type=kind,
                size=None if number % 2 else len(data),
            )
            for number, (header, data, _) in enumerate(theirs)
        ]
        for number, item in enumerate(items):
            if not number % 2:
                item.data.seek(1)
        response = server.client().write_blob_batch(items, "ws-1", 0)
        assert frames_of(server.last.body) == theirs
    assert len(response.blob_references) == len(theirs)
    assert response.size == sum(len(data) for _, data, _ in theirs)


def frames_of(body: bytes) -> list[tuple[Any, bytes, Any]]:
    def parts() -> Iterator[bytes]:
        file = io.BytesIO(body)
        while length := file.read(8):
            yield file.read(int.from_bytes(length, "little"))

    found = list(parts())
    return [
        (json.loads(found[at]), found[at + 1], json.loads(found[at + 2])) for at in range(0, len(found), 3)
    ]


def test_what_an_item_leaves_out_is_the_batches() -> None:
    with ReplayServer(Reply({"BlobReferences": ["a", "b"], "Size": 2, "WarningMessage": ""})) as server:
        items = [BlobWriteItem(b"x"), BlobWriteItem("é", partition_values=["pt=2"], column_index=3)]
        server.client().write_blob_batch(items, "ws-1", 0, 7, ["pt=1"], 2)
        assert server.last.params["StreamVersion"] == "7"
        headers = [(header, data) for header, data, _ in frames_of(server.last.body)]
    assert headers == [
        ({"PartitionValues": ["pt=1"], "ColumnIndex": 2}, b"x"),
        ({"PartitionValues": ["pt=2"], "ColumnIndex": 3}, "é".encode()),
    ]
    assert items[0].partition_values == []


def test_files_without_a_known_size_and_those_too_short_are_refused() -> None:
    class Pipe(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            return b"x" * min(size, 3)

    with pytest.raises(ValueError, match="size"):
        BlobWriteItem(Pipe()).serialize()
    assert frames_of(BlobWriteItem(Pipe(), size=7).serialize())[0][1] == b"x" * 7
    with pytest.raises(ValueError, match="ended 2 bytes before the 5"):
        BlobWriteItem(io.BytesIO(b"abc"), size=5).serialize()
    with ReplayServer() as server:
        client, large = server.client(), BlobWriteItem(b"x" * 3_000_000)
        with pytest.raises(ValueError, match="ended"):
            client.write_blob_batch([large, BlobWriteItem(io.BytesIO(b""), size=1)], "s", 0)


def test_text_is_utf_8_and_md5_is_compared() -> None:
    with ReplayServer(Reply(OK), Reply(OK | {"MD5Value": "00"}), Reply(OK | {"MD5Value": ""})) as server:
        client = server.client()
        writer = client.write_blob_stream("s", 0)
        assert writer.writable()
        assert writer.write("hel")
        assert writer.write(bytearray(b"lo"))
        assert writer.finish().blob_reference == "cmVm"
        assert writer.finish().blob_reference == "cmVm"
        assert not writer.write("more")
        assert not writer.writable()
        writer = client.write_blob_stream("s", 0)
        writer.write("hello")
        with pytest.raises(ChecksumError, match=r"^MD5 value mismatch, expected: 00") as caught:
            writer.finish()
        assert isinstance(caught.value, OdpsChecksumError)
        assert (writer.finish(), writer.get_status()) == (None, Status.RUNNING)
        assert writer.get_request_id() == "req-1"
        writer = client.write_blob_stream("s", 0)
        assert writer.finish().size == 5


def test_a_refusal_is_raised_while_a_blob_is_sent() -> None:
    refusal = Reply({"Code": "NoSuchObject", "Message": "gone"}, status=404, early=True)
    with ReplayServer(refusal) as server:
        writer = server.client().write_blob_stream("s", 0, compression=Compression.ZSTD)
        pieces = (writer.write(os.urandom(1_000_000)) for _ in range(500))
        with pytest.raises(errors.ODPSError) as caught:
            list(pieces)
        assert caught.value.status_code == 404
        assert not writer.write(b"x")
        assert writer.finish() is None


def test_arguments_are_checked_before_anything_is_sent() -> None:
    with ReplayServer() as server:
        client = server.client()
        for call in (
            lambda: client.write_blob_stream("", 0),
            lambda: client.write_blob_stream("s", None),
            lambda: client.write_blob_batch([], None, 0),
            lambda: client.write_blob_batch([], "s", None),
            lambda: client.write_blob_stream("s", 0, compression="zstd"),
            lambda: client.read_blobs(["r"], compression="zstd"),
        ):
            with pytest.raises(ValueError, match=r"session_id|stream_id|compression"):
                call()
        of_instance = server.client(subject=instance(server.endpoint))
        for call in (
            lambda: of_instance.write_blob_stream("s", 0),
            lambda: of_instance.write_blob_batch([], "s", 0),
        ):
            with pytest.raises(ValueError, match="table"):
                call()
        assert not server.requests
    assert ReadBlobRequest([b"ab", "c"]).blob_references == ["ab", "c"]


@pytest.mark.parametrize("codec", ["zstd", "x-lz4-frame"])
@pytest.mark.parametrize("size", [0, 1, 4091, 4096, 4100, 70_000])
@pytest.mark.parametrize("outer", ["checksums", "compression"])
def test_both_orders_of_layers(codec: str, size: int, outer: str) -> None:
    blobs = [(os.urandom(size), None), (b"z" * size, "a/b")]
    pack = zstandard.compress if codec == "zstd" else lz4.frame.compress
    payload = framed(*blobs)
    body = checked(pack(payload)) if outer == "checksums" else pack(checked(payload))
    assert read(body, 2, codec) == blobs
    raw = checked(pack(blobs[0][0])) if outer == "checksums" else pack(checked(blobs[0][0]))
    assert read(raw, 1, codec) == blobs[:1]


def test_every_bad_block_is_an_error() -> None:
    body = bytearray(checked(framed((b"x" * 9000, None), (b"y" * 100, None))))
    for position in range(0, len(body), 97):
        body[position] ^= 1
        with pytest.raises(ChecksumError):
            read(bytes(body))
        body[position] ^= 1
    assert len(read(bytes(body))) == 2


@pytest.mark.parametrize(
    ("body", "count", "error"),
    [
        (checked(framed((b"x", None))), 2, TruncatedStreamError),
        (checked(framed((b"x", None))[:-1]), 2, MalformedAnswerError),
        (checked(framed((b"x" * 5000, None))[:2000]), 2, MalformedAnswerError),
        (checked(b"no frames at all, but many bytes"), 2, MalformedAnswerError),
        (checked(b"x") + b"abc", 1, ChecksumError),
        (b"", 2, TruncatedStreamError),
    ],
)
def test_wrong_answers(body: bytes, count: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        read(body, count)


def test_an_announced_size_alone_takes_no_memory() -> None:
    header = framed((b"", None))[:-10]
    for claimed in (2**40, 2**63 - 1):
        body = header[: header.index(b"}") + 1] + claimed.to_bytes(8, "little") + b"x" * 5000
        with pytest.raises(MalformedAnswerError):
            read(checked(body))


def test_a_body_that_is_cut_is_an_error_at_any_length() -> None:
    body = checked(b"x" * 10_000)
    for cut in (0, 1, 4099, 4100, 8200, len(body) - 1):
        for chunked in (False, True):
            with pytest.raises((TruncatedStreamError, ChecksumError)):
                read(body, 1, cut=cut, chunked=chunked)


@pytest.mark.parametrize("body", [b"not zstd", zstandard.compress(b"x" * 9000)[:-4]])
def test_compression_that_cannot_be_undone(body: bytes) -> None:
    for wrapped in (body, checked(body)):
        with pytest.raises((MalformedAnswerError, ChecksumError)):
            read(wrapped, 1, "zstd")
    with pytest.raises(MalformedAnswerError, match="br"):
        read(body, 1, "br")


def test_a_reader_goes_on_only_from_the_end_of_a_blob() -> None:
    blobs = [(b"abcdef", "a/b"), (b"", None), (b"xy", "c/d")]
    reader = BlobStreamReader(BlobDataIterator(io.BytesIO(checked(framed(*blobs)))))
    assert (reader.mime_type, reader.read(4)) == ("a/b", b"abcd")
    with pytest.raises(OSError, match="fully read"):
        reader.next()
    assert reader.read(2) == b"ef"  # all of it: nothing more need be asked for
    assert reader.next() is reader
    assert (reader.mime_type, reader.read()) == (None, b"")
    assert reader.next() is reader
    assert (reader.mime_type, reader.read()) == ("c/d", b"xy")
    assert reader.next() is None
    assert reader.next() is None
    assert reader.read() == b""


def test_many_references_are_read_by_several_requests_in_order() -> None:
    count = 5 * CLIENT_BLOBS_PER_REQUEST + 3

    class Echo(ReplayServer):
        """Answers with what was asked for, as blobs."""

        def _answer(self, connection: Any, file: Any, line: str, number: int) -> bool:
            headers = {}
            while (header := file.readline().decode().rstrip("\r\n")) != "":
                name, _, value = header.partition(":")
                headers[name.lower()] = value.strip()
            asked = json.loads(file.read(int(headers["content-length"])))["BlobReferences"]
            self.requests.append(asked)
            body = framed(*((name.encode(), None) for name in asked)) if len(asked) > 1 else asked[0].encode()
            connection.sendall(Reply(checked(body)).encode())
            return True

    references = [f"r{number}" for number in range(count)]
    with Echo() as server:
        client = server.client()
        found = [data.decode() for data, _ in client.read_blobs_parallel(references, max_workers=3)]
        assert found == references
        assert len(server.requests) == 6
        assert list(client.read_blobs_parallel([])) == []
        few = client.read_blobs_parallel(references[:4], 4)
        assert [data.decode() for data, _ in few] == references[:4]
        started = client.read_blobs_parallel(references, 2)
        assert next(started)[0] == b"r0"
        started.close()
    with ReplayServer(HANG_UP) as server, pytest.raises(errors.ODPSError):
        list(server.client().read_blobs_parallel(references))


def test_a_large_blob_goes_through_in_pieces() -> None:
    data = b"0123456789abcdef" * 200_000
    with ReplayServer(Reply(checked(data), chunked=True)) as server:
        reader = server.client().read_blobs(["r"], stream=True)
        sizes = [len(piece) for piece in iter(lambda: reader.read(100_000), b"")]
        assert sum(sizes) == len(data)
        assert max(sizes) == 100_000
