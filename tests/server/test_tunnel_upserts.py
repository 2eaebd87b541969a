"""Upserts of the tunnel over a real service, as any client may send them, hostile ones too."""

from __future__ import annotations

import pyarrow as pa
import pytest

from maxlake.protocol.tunnel.record_writer import RecordWriter
from maxlake.protocol.types.text import parse_type
from tests.server.test_rest import _submit as submit
from tests.server.test_tunnel import code, created, rows

TABLE = "/projects/p/tables/t"
FIELDS = {
    "id": "bigint",
    "name": "string",
    "version": "bigint",
    "app_version": "bigint",
    "operation": "tinyint",
    "key_cols": "array<bigint>",
    "value_cols": "array<bigint>",
}
UPSERT, DELETE = 85, 68


def records(*changes: dict[str, object]) -> bytes:
    writer = RecordWriter([parse_type(text) for text in FIELDS.values()])
    types = [pa.int64(), pa.string(), pa.int64(), pa.int64(), pa.int8(), *[pa.list_(pa.int64())] * 2]
    columns = [
        pa.array([{"operation": UPSERT, "value_cols": [], **change}.get(name) for change in changes], kind)
        for name, kind in zip(FIELDS, types, strict=True)
    ]
    return writer.feed(pa.RecordBatch.from_arrays(columns, names=list(FIELDS))) + writer.finish()


@pytest.fixture
def table(call) -> str:
    submit(
        call,
        "create table t (id bigint not null, name string, primary key (id)) "
        "tblproperties ('transactional'='true')",
        "k1",
    )
    return TABLE


@pytest.fixture
def session(call, table) -> str:
    answer = created(call, f"{table}/upserts", "slotnum=1")
    return str(answer["id"])


def put(call, session: str, body: bytes, bucket: int = 0, query: str = ""):
    return call("PUT", f"{TABLE}/upserts?upsertid={session}&bucketid={bucket}&slotid=0{query}", body)


def test_the_life_of_an_upsert(call, table):
    begun = created(call, f"{table}/upserts", "slotnum=9")
    assert (begun["status"], begun["hash_key"], begun["hasher"]) == ("NORMAL", ["id"], "default")
    (slot,) = begun["slots"]
    assert (slot["slot_id"], slot["buckets"]) == ("0", [0])
    assert ":" in slot["worker_addr"]
    here = f"{table}/upserts?upsertid={begun['id']}"
    assert put(call, begun["id"], records({"id": 1, "name": "a"}, {"id": 2, "name": "b"})).status == 200
    assert put(call, begun["id"], records({"id": 1, "name": "late"})).status == 200
    assert put(call, begun["id"], records({"id": 2, "operation": DELETE})).status == 200
    assert rows(call) == []
    assert call("POST", here).json["status"] == "COMMITTED"
    assert call("POST", here).json["status"] == "COMMITTED"
    assert call("GET", here).json == {**begun, "status": "COMMITTED"}
    assert rows(call) == [{"id": 1, "name": "late"}]
    late = put(call, begun["id"], records({"id": 3}))
    assert (late.status, code(late)) == (409, "InvalidSessionStatus")
    refused = call("DELETE", here)
    assert (refused.status, code(refused)) == (409, "InvalidSessionStatus")


def test_an_upload_that_is_repeated_changes_nothing(call, session):
    body = records({"id": 1, "name": "a"}, {"id": 2, "operation": DELETE})
    for _ in range(2):
        assert put(call, session, body).status == 200
    assert call("POST", f"{TABLE}/upserts?upsertid={session}").status == 200
    assert rows(call) == [{"id": 1, "name": "a"}]


def test_an_aborted_upsert_leaves_nothing(call, session):
    here = f"{TABLE}/upserts?upsertid={session}"
    assert put(call, session, records({"id": 1})).status == 200
    for _ in range(2):
        assert call("DELETE", here).json["status"] == "ABORTED"
    assert call("GET", here).json["status"] == "ABORTED"
    for answer in (put(call, session, records({"id": 1})), call("POST", here)):
        assert (answer.status, code(answer)) == (409, "InvalidSessionStatus")
    assert rows(call) == []


@pytest.mark.parametrize(
    "change",
    [
        {"id": 1, "operation": 7},
        {"id": None},
        {"id": 1, "version": 3},
        {"id": 1, "app_version": 3},
        {"id": 1, "key_cols": [0]},
        {"id": 1, "value_cols": [1]},
    ],
)
def test_rows_that_are_refused_leave_nothing(call, session, change):
    refused = put(call, session, records({"id": 9}, change))
    assert refused.status == 400
    assert call("POST", f"{TABLE}/upserts?upsertid={session}").status == 200
    assert rows(call) == []


def test_cut_and_damaged_uploads_leave_nothing(call, session):
    body = records({"id": 1, "name": "text"})
    for bad in (body[:-1], b"", body.replace(b"text", b"test"), body + b"\0"):
        assert put(call, session, bad).status == 400
    assert call("POST", f"{TABLE}/upserts?upsertid={session}").status == 200
    assert rows(call) == []


def test_sessions_are_not_taken_for_others(call, session):
    submit(call, "create table plain (id bigint, name string)", "k2")
    upload = created(call, "/projects/p/tables/plain", "uploads")["UploadID"]
    for method, target in (
        ("POST", "/projects/p/tables/plain/upserts?slotnum=1"),
        ("GET", f"/projects/p/tables/plain/upserts?upsertid={upload}"),
        ("PUT", f"/projects/p/tables/plain/upserts?upsertid={upload}&bucketid=0"),
        ("POST", f"/projects/p/tables/plain/upserts?upsertid={upload}"),
        ("POST", f"{TABLE}?uploads"),
        ("GET", f"{TABLE}?uploadid={session}"),
        ("PUT", f"{TABLE}?uploadid={session}&blockid=0"),
        ("POST", f"{TABLE}?uploadid={session}"),
    ):
        body = records({"id": 1}) if method == "PUT" else b""
        answer = call(method, target, body)
        assert (answer.status, code(answer)) == (400, "InvalidArgument"), (method, target)
    assert put(call, session, records({"id": 1}), query="&arrow").status == 400
    assert put(call, session, records({"id": 1}), bucket=1).status == 400
    unknown = call("GET", f"{TABLE}/upserts?upsertid=none")
    assert (unknown.status, code(unknown)) == (404, "NoSuchObject")


def test_an_altered_table_takes_no_more_of_a_session(call, session):
    assert put(call, session, records({"id": 1})).status == 200
    submit(call, "alter table t add columns (more string)", "k3")
    for answer in (
        put(call, session, records({"id": 2})),
        call("POST", f"{TABLE}/upserts?upsertid={session}"),
    ):
        assert (answer.status, code(answer)) == (400, "SCHEMA_MISMATCH")


def test_tables_may_be_named_like_what_is_below_them(call):
    for number, name in enumerate(("upserts", "streams", "tables")):
        submit(call, f"create table {name} (id bigint, name string)", f"n{number}")
        assert call("GET", f"/projects/p/tables/{name}").status == 200
        assert created(call, f"/projects/p/tables/{name}")["Status"] == "normal"
