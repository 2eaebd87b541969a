"""The tunnel over a real service: sessions and blocks as any client may ask for them, hostile ones too."""

from __future__ import annotations

import zlib
from random import Random
from xml.etree import ElementTree as ET

import google_crc32c
import pyarrow as pa
import pytest

from maxlake.protocol import limits
from maxlake.protocol.columns import Column
from maxlake.protocol.tunnel.arrow_form import ArrowForm
from maxlake.protocol.tunnel.encoders import ArrowEncoder
from maxlake.protocol.tunnel.record_reader import RecordReader
from maxlake.protocol.tunnel.record_writer import RecordWriter
from maxlake.protocol.tunnel.snappy_frames import SnappyCompressor
from maxlake.protocol.types.text import parse_type
from tests.server.test_rest import _submit as submit

TABLE = "/projects/p/tables/t"
COLUMNS = (Column("id", parse_type("bigint")), Column("name", parse_type("string")))
TYPES = [column.type for column in COLUMNS]
ROWS = pa.record_batch({"id": [1, 2, 3], "name": ["a", None, "c"]})


def records(batch: pa.RecordBatch = ROWS) -> bytes:
    writer = RecordWriter(TYPES)
    return writer.feed(batch) + writer.finish()


def arrow(batch: pa.RecordBatch = ROWS) -> bytes:
    encoder = ArrowEncoder(TYPES, ArrowForm())
    return encoder.feed(batch) + encoder.finish()


@pytest.fixture
def table(call) -> str:
    submit(call, "create table t (id bigint, name string)", "u1")
    return TABLE


def created(call, path: str, what: str = "uploads=1") -> dict[str, object]:
    answer = call("POST", f"{path}?{what}")
    assert answer.status == 200, answer.body
    return answer.json


def put(call, upload: dict[str, object], block: int, body: bytes, query: str = "", **headers: str):
    target = f"{TABLE}?uploadid={upload['UploadID']}&blockid={block}{query}"
    return call(
        "PUT", target, body, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


def code(answer) -> str | None:
    return ET.fromstring(answer.body).findtext("Code")


def rows(call, path: str = TABLE) -> list[dict[str, object]]:
    """What the tunnel gives of a table, in records."""
    session = created(call, path, "downloads")
    query = f"downloadid={session['DownloadID']}&rowrange=(0,{session['RecordCount']})&data"
    answer = call("GET", f"{path}?{query}")
    assert (answer.status, answer.complete) == (200, True), answer.body
    reader = RecordReader([column.name for column in COLUMNS], TYPES)
    batches = [*reader.feed(answer.body), *reader.finish()]
    return [
        {"id": row["id"], "name": None if row["name"] is None else row["name"].decode()}
        for batch in batches
        for row in batch.to_pylist()
    ]


def test_the_life_of_an_upload(call, table):
    upload = created(call, table)
    assert (upload["Status"], upload["UploadedBlockList"]) == ("normal", [])
    assert upload["MaxFieldSize"] == limits.MAX_FIELD_SIZE
    assert [column["name"] for column in upload["Schema"]["columns"]] == ["id", "name"]
    assert put(call, upload, 5, records(ROWS.slice(2))).status == 200
    assert put(call, upload, 2, records(ROWS)).status == 200
    assert put(call, upload, 2, arrow(ROWS.slice(0, 2)), "&arrow").status == 200
    here = f"{table}?uploadid={upload['UploadID']}"
    assert call("GET", here).json["UploadedBlockList"] == [{"BlockID": 2}, {"BlockID": 5}]
    assert rows(call) == []
    assert call("POST", here).json["Status"] == "closed"
    assert call("POST", here).status == 200
    assert rows(call) == ROWS.to_pylist()
    late = put(call, upload, 6, records())
    assert (late.status, code(late)) == (409, "InvalidSessionStatus")


def test_an_empty_upload_and_an_empty_download(call, table):
    upload = created(call, table)
    assert put(call, upload, 0, bytes(4), "&arrow").status == 200
    assert put(call, upload, 1, records(ROWS.slice(0, 0))).status == 200
    assert call("POST", f"{table}?uploadid={upload['UploadID']}").status == 200
    assert rows(call) == []


def test_overwriting(call, table):
    for what in ("uploads=1", "uploads=1&overwrite=true"):
        upload = created(call, table, what)
        assert put(call, upload, 0, records()).status == 200
        assert call("POST", f"{table}?uploadid={upload['UploadID']}").status == 200
        assert rows(call) == ROWS.to_pylist()


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("deflate", zlib.compress),
        ("x-snappy-framed", lambda data: SnappyCompressor().feed(data)),
        ("zstd", lambda data: pa.Codec("zstd").compress(data, asbytes=True)),
        ("x-lz4-frame", lambda data: pa.Codec("lz4").compress(data, asbytes=True)),
        ("x-odps-lz4-frame", lambda data: pa.Codec("lz4").compress(data, asbytes=True)),
    ],
)
def test_compressed_blocks(call, table, encoding, compress):
    upload = created(call, table)
    assert put(call, upload, 0, compress(records()), content_encoding=encoding).status == 200
    assert put(call, upload, 1, compress(arrow()), "&arrow", content_encoding=encoding).status == 200
    damaged = put(call, upload, 2, compress(records())[:-20], content_encoding=encoding)
    assert (damaged.status, code(damaged)) == (400, "DATA_ERROR")
    plain = put(call, upload, 2, records(), content_encoding=encoding)
    assert (plain.status, code(plain)) == (400, "DATA_ERROR")
    assert call("POST", f"{table}?uploadid={upload['UploadID']}").status == 200
    assert rows(call) == ROWS.to_pylist() * 2


def test_an_unknown_encoding_is_refused(call, table):
    answer = put(call, created(call, table), 0, records(), content_encoding="br")
    assert (answer.status, code(answer)) == (400, "InvalidArgument")


@pytest.mark.parametrize("form", ["records", "arrow"])
def test_damaged_blocks_leave_what_was_there(call, table, form, rng: Random):
    body, query = (records(), "") if form == "records" else (arrow(), "&arrow")
    upload = created(call, table)
    assert put(call, upload, 0, body, query).status == 200
    for _ in range(25):
        at = rng.randrange(4, len(body))
        changed = bytearray(body)
        changed[at] ^= rng.randrange(1, 256)
        for bad in (body[:at], bytes(changed), body + b"\0", body[at:]):
            answer = put(call, upload, 0, bad, query)
            assert answer.status == 400, (at, bad)
            assert code(answer) in {"DATA_ERROR", "ChecksumMismatch", "SCHEMA_MISMATCH"}
    assert call("POST", f"{table}?uploadid={upload['UploadID']}").status == 200
    assert rows(call) == ROWS.to_pylist()


def test_arrow_of_other_columns_is_refused(call, table):
    """What the schema would have told, the buffers do not: they are checked as any others."""
    other = pa.record_batch({"a": ["x"], "b": [1], "c": [2.0]})
    encoder = ArrowEncoder([parse_type(text) for text in ("string", "bigint", "double")], ArrowForm())
    answer = put(call, created(call, table), 0, encoder.feed(other) + encoder.finish(), "&arrow")
    assert (answer.status, code(answer)) == (400, "DATA_ERROR")


def test_a_whole_ipc_stream_is_not_what_the_tunnel_takes(call, table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, ROWS.schema) as writer:
        writer.write_batch(ROWS)
    body = sink.getvalue().to_pybytes()
    crc = google_crc32c.value(body).to_bytes(4, "big")
    answer = put(call, created(call, table), 0, b"\x00\x01\0\0" + body + crc, "&arrow")
    assert (answer.status, code(answer)) == (400, "DATA_ERROR")


@pytest.mark.parametrize("block", ["", "-1", "x", str(limits.MAX_TUNNEL_BLOCKS), str(2**70)])
def test_blocks_have_numbers(call, table, block):
    answer = put(call, created(call, table), block, records())
    assert (answer.status, code(answer)) == (400, "InvalidArgument")


def test_blocks_of_a_table_that_was_altered_are_refused(call, table):
    """Fields have numbers, not names: after a change they would be taken for others."""
    upload = created(call, table)
    assert put(call, upload, 0, records()).status == 200
    submit(call, "alter table t add columns (more string)", "u2", "AnonymousSQLTask")
    late = put(call, upload, 1, records())
    assert (late.status, code(late)) == (400, "SCHEMA_MISMATCH")
    complete = call("POST", f"{table}?uploadid={upload['UploadID']}")
    assert (complete.status, code(complete)) == (400, "SCHEMA_MISMATCH")


def test_sessions_of_others_and_of_other_kinds(call, table):
    upload = created(call, table)
    submit(call, "create table other (id bigint, name string)", "u3")
    for method, query in (
        ("GET", "uploadid=none"),
        ("POST", "uploadid=none"),
        ("GET", "downloadid=none"),
        ("GET", "downloadid=none&rowrange=(0,1)&data"),
        ("PUT", "uploadid=none&blockid=0"),
    ):
        answer = call(method, f"{table}?{query}", b"" if method != "PUT" else records())
        assert (answer.status, code(answer)) == (404, "NoSuchObject"), query
    elsewhere = call("POST", f"/projects/p/tables/other?uploadid={upload['UploadID']}")
    assert (elsewhere.status, code(elsewhere)) == (404, "NoSuchObject")
    target = "/api/storage/v2?Action=TableCreateWriteSession&Target=projects.p.schemas.default.tables.t"
    session = call("POST", target, b"{}").json["SessionId"]
    mixed = put(call, {"UploadID": session}, 0, records())
    assert (mixed.status, code(mixed)) == (400, "InvalidArgument")


@pytest.mark.parametrize(
    "query", ["rowrange=(0,1", "rowrange=", "rowrange=(-1,2)", "rowrange=(0,1)&columns=pt", "columns=id"]
)
def test_bad_ranges_and_columns(call, table, query):
    session = created(call, table, "downloads")
    answer = call("GET", f"{table}?downloadid={session['DownloadID']}&data&{query}")
    assert (answer.status, code(answer)) == (400, "InvalidArgument")


def test_what_the_tunnel_does_not_serve(call, table):
    for method, target in (
        ("DELETE", f"{table}?uploadid=x"),
        ("PUT", f"{table}?downloadid=x"),
        ("GET", f"{table}/upserts"),
        ("DELETE", f"{table}/upserts"),
        ("PATCH", f"{table}/upserts?upsertid=x"),
        ("GET", f"{table}/streams"),
        ("DELETE", f"{table}/streams?uploadid=x"),
        ("POST", f"{table}/streams?dynamic_partition=true"),
    ):
        answer = call(method, target)
        assert (answer.status, code(answer)) == (400, "InvalidArgument"), target
    assert call("POST", "/projects/p/volumes/v?uploads").status == 404
    assert call("POST", "/projects/p/instances/i?uploads").status == 400
    assert call("POST", "/projects/none/tables/t?uploads").status == 404


def test_rows_come_compressed_as_asked(call, table):
    upload = created(call, table)
    put(call, upload, 0, records())
    call("POST", f"{table}?uploadid={upload['UploadID']}")
    session = created(call, table, "downloads")
    target = f"{table}?downloadid={session['DownloadID']}&rowrange=(1,2)&columns=name,id&data"
    plain = call("GET", target)
    assert "content-encoding" not in plain.headers
    reader = RecordReader(["name", "id"], TYPES[::-1])
    (batch,) = [*reader.feed(plain.body), *reader.finish()]
    assert batch.to_pydict() == {"name": [None, b"c"], "id": [2, 3]}
    deflated = call("GET", target, headers={"Accept-Encoding": "deflate"})
    assert deflated.headers["content-encoding"] == "deflate"
    assert zlib.decompress(deflated.body) == plain.body
    assert session["Status"] == "normal"
