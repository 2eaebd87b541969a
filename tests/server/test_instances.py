"""Instance sessions as MaxStorage, the Java SDK and the C++ SDK ask for them (wire.md §12)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from maxlake.service.service import Service
from tests.server.conftest import Caller
from tests.server.test_rest import JOB

STORAGE = "/api/storage/v2"
ROWS = 10
PATIENCE = 120.0
#: The bodies that create a session, and how it is got again.
CREATE = {
    "V2": b"{}",
    "MaxStorage, Java": b'{"EnableLimit":false}',
    "C++": b'{"EnableLimit":true}',
}
GET = [("GET", b""), ("POST", b"{}"), ("POST", b"")]
#: What all clients together look for in a session.
KEYS = {
    *("SessionId", "DownloadID", "SessionStatus", "Status", "RecordCount", "SplitsCount", "SplitMode"),
    *("DataSchema", "TableSchema", "QuotaName", "ExpirationTime"),
}
TASK = {"TaskName": "AnonymousSQLTask", "QueryId": 0, "EnableLimit": False}


def submitted(call, query: str) -> str:
    body = JOB.format(query=query, uuid="", task="AnonymousSQLTask").encode()
    return call("POST", "/api/projects/p/instances", body).headers["location"].rpartition("/")[2]


def ended(call, query: str) -> str:
    instance, end = submitted(call, query), time.monotonic() + PATIENCE
    while b"Terminated" not in call("GET", f"/api/projects/p/instances/{instance}").body:
        assert time.monotonic() < end
        time.sleep(0.05)
    return instance


def action(call, name: str, instance: str, query: str = "", body: bytes = b"{}", method: str = "POST"):
    target = f"{STORAGE}?Action={name}&Target=projects.p.instances.{instance}{query}"
    # As Java labels what it sends for a stream (wire.md §1).
    return call(method, target, body, headers={"Content-Type": "text/html; charset=utf-8"})


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """One service for all tests, and so one worker process."""
    service = Service.open(tmp_path_factory.mktemp("root"), project="p")
    yield Caller(service, datetime.now(UTC).replace(microsecond=0))
    service.close()


@pytest.fixture
def instance(call) -> str:
    return ended(call, f"select explode(sequence(1, {ROWS})) as n, 'x' as t")


def test_sessions_and_rows_in_every_shape(call, instance) -> None:
    for shape, body in CREATE.items():
        session = action(call, "InstanceCreateReadSession", instance, body=body).json
        assert set(session) >= KEYS, shape
        assert session["DownloadID"] == session["SessionId"]
        assert session["Status"] == session["SessionStatus"] == "NORMAL"
        assert session["RecordCount"] == ROWS
        columns = [(c["Name"], c["Type"]) for c in session["DataSchema"]["DataColumns"]]
        assert columns == [("n", "bigint"), ("t", "string")]
        assert [c["Name"] for c in session["TableSchema"]["Columns"]] == ["n", "t"]
    address = f"&SessionId={session['SessionId']}"
    for method, body in GET:
        again = action(call, "InstanceGetReadSession", instance, address, body, method).json
        assert (again["DownloadID"], again["RecordCount"]) == (session["SessionId"], ROWS)
    whole = json.dumps({**TASK, "Columns": []}).encode()
    one = b'{"Columns":["n"]}'
    reads = [
        # MaxStorage and Java: the offset always, the count perhaps.
        (f"{address}&Offset=0", whole, ["n", "t"], range(1, 11)),
        (f"{address}&Offset=7", whole, ["n", "t"], range(8, 11)),
        (f"{address}&Offset=2&Count=3", whole, ["n", "t"], range(3, 6)),
        (f"{address}&Offset=10", whole, ["n", "t"], []),
        # C++: both, or no session.
        (f"{address}&Offset=2&Count=3", one, ["n"], range(3, 6)),
        ("&Offset=8&Count=9", json.dumps({**TASK, "Columns": ["n"]}).encode(), ["n"], range(9, 11)),
        ("", json.dumps({**TASK, "Columns": ["t", "n"]}).encode(), ["t", "n"], range(1, 11)),
        # V2: by split.
        (f"{address}&Index=0", b'{"MaxBatchRows":4,"DataColumns":["n"]}', ["n"], range(1, 11)),
    ]
    for query, body, names, numbers in reads:
        answer = action(call, "InstanceRead", instance, query, body)
        assert answer.status == 200, answer.body
        rows = pa.ipc.open_stream(answer.body).read_all()
        assert set(rows.column_names) == set(names), query
        assert rows["n"].to_pylist() == list(numbers), query


def test_what_has_no_rows_is_refused(call) -> None:
    failed, defined = ended(call, "select nope"), ended(call, "create table made (i int)")
    for name in ("InstanceCreateReadSession", "InstanceRead"):
        answer = action(call, name, failed)
        assert (answer.status, "nope" in answer.json["Message"]) == (400, True)
        assert "ODPS-0130071" in answer.json["Message"]
        assert action(call, name, defined).status == 400
        missing = action(call, name, "20200101nothing")
        assert (missing.status, missing.json["Code"]) == (404, "NoSuchObject")


def test_a_session_belongs_to_its_instance(call, instance) -> None:
    session = action(call, "InstanceCreateReadSession", instance).json["SessionId"]
    other = ended(call, "select 1 as n")
    for name in ("InstanceGetReadSession", "InstanceRead"):
        answer = action(call, name, other, f"&SessionId={session}&Index=0")
        assert (answer.status, answer.json["Code"]) == (404, "NoSuchObject")
