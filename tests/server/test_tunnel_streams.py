"""Streams of the tunnel over a real service, as any client may send them, hostile ones too."""

from __future__ import annotations

import pytest

from tests.server.test_rest import _submit as submit
from tests.server.test_tunnel import ROWS, TABLE, code, created, records, rows, table

__all__ = ["table"]


def put(call, session: dict[str, object], body: bytes, query: str = "", **headers: str):
    target = f"{TABLE}/streams?uploadid={session['session_name']}&slotid=0{query}"
    return call("PUT", target, body, headers={name.replace("_", "-"): text for name, text in headers.items()})


@pytest.fixture
def session(call, table) -> dict[str, object]:
    return created(call, f"{table}/streams", "check_latest_schema=false")


def test_rows_are_visible_once_their_upload_is_acknowledged(call, session):
    assert session["status"] == "normal"
    ((slot, worker),) = session["slots"]
    assert (slot, ":" in worker) == ("0", True)
    for count in (1, 2):
        answer = put(call, session, records())
        assert (answer.status, answer.headers["odps-tunnel-slot-num"]) == (200, "1")
        assert answer.headers["odps-tunnel-routed-server"] == worker
        assert rows(call) == ROWS.to_pylist() * count
    here = f"{TABLE}/streams?uploadid={session['session_name']}"
    assert call("GET", here).json == session
    assert call("POST", here).status == 200
    assert len(rows(call)) == 6


def test_an_upload_repeated_under_its_retry_id_counts_once(call, session):
    for retry, index in (("r1", "0"), ("r1", "1"), ("r2", "0")):
        headers = {"odps_tunnel_retry_trace_id": retry, "odps_tunnel_retry_index": index}
        assert put(call, session, records(), **headers).status == 200
    assert len(rows(call)) == 6


def test_what_is_refused_leaves_nothing(call, session):
    body = records()
    for bad in (body[:-1], b"", body + b"\0"):
        assert put(call, session, bad).status == 400
    assert put(call, session, body, "&arrow").status == 400
    for name in ("none", "stream-1", f"{session['session_name']}9"):
        answer = put(call, {"session_name": name}, body)
        assert answer.status in (400, 404), name
    submit(call, "alter table t add columns (more string)", "m1")
    late = put(call, session, body)
    assert (late.status, code(late)) == (400, "SCHEMA_MISMATCH")
    assert code(call("GET", f"{TABLE}/streams?uploadid={session['session_name']}")) == "SCHEMA_MISMATCH"
    submit(call, "drop table t", "m2")
    submit(call, "create table t (id bigint, name string)", "m3")
    other = put(call, session, body)
    assert (other.status, code(other)) == (404, "NoSuchObject")
    assert rows(call) == []


def test_rows_of_a_table_with_a_key_replace_others(call):
    submit(
        call,
        "create table t (id bigint not null, name string, primary key (id)) "
        "tblproperties ('transactional'='true')",
        "k1",
    )
    session = created(call, f"{TABLE}/streams", "slotnum=1")
    for _ in range(2):
        assert put(call, session, records()).status == 200
    assert sorted(rows(call), key=lambda row: row["id"]) == ROWS.to_pylist()
