"""Exactly-once streams over HTTP: where token and offset stand, and that the token stands nowhere else."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from maxlake.protocol.targets import TableTarget
from tests.server.conftest import Answer, Caller
from tests.service.scene import Scene

VECTORS = Path(__file__).parent.parent / "vectors"
TARGET = "projects.p.schemas.default.tables.t"
TOKEN = "x-odps-max-storage-write-access-token"


class Http:
    """One stream of a new session, addressed as MaxStorage does (``POST``) or as V2 does (``GET``)."""

    def __init__(self, call: Caller) -> None:
        self.call = call
        scene = Scene(call.service.project("p"))
        assert scene.target == TableTarget("p", "default", "t")
        self.session = self.post("TableCreateWriteSession", {"PartialPartitionSpec": "pt=a"}).json[
            "SessionId"
        ]

    def url(self, action: str, **query: Any) -> str:
        extra = "".join(f"&{name}={value}" for name, value in query.items())
        return f"/api/storage/v2?Action={action}&Target={TARGET}{extra}"

    def post(self, action: str, body: dict[str, Any], **query: Any) -> Answer:
        return self.call("POST", self.url(action, **query), json.dumps(body).encode())

    def create(self, **body: Any) -> dict[str, Any]:
        answer = self.post(
            "TableCreateWriteStream", {"StreamId": "0", "StreamVersion": 0, **body}, SessionId=self.session
        )
        assert answer.status == 200, answer.body
        return answer.json

    def get(self, **query: Any) -> dict[str, Any]:
        where = {"SessionId": self.session, "StreamId": "0", "StreamVersion": 0}
        answer = self.call("GET", self.url("TableGetWriteStream", **where, **query))
        assert answer.status == 200, answer.body
        return answer.json

    def write(self, ids: list[int], token: str | None, **query: Any) -> Answer:
        sink = io.BytesIO()
        table = pa.table({"id": pa.array(ids, pa.int64())})
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        where = {"SessionId": self.session, "StreamId": "0", "StreamVersion": 0, "Count": len(ids)}
        headers = {} if token is None else {TOKEN: token}
        return self.call("POST", self.url("TableWrite", **where, **query), sink.getvalue(), headers=headers)


@pytest.fixture
def http(call: Caller) -> Http:
    return Http(call)


def captured(name: str, number: int) -> dict[str, Any]:
    exchanges = json.loads((VECTORS / "maxstorage-0.13.2-api3" / f"{name}.json").read_text())["exchanges"]
    return json.loads(exchanges[number]["response"]["body"])


def kinds(answer: dict[str, Any]) -> dict[str, type]:
    return {name: type(value) for name, value in answer.items()}


@pytest.mark.parametrize("exactly_once", [True, False])
def test_answers_have_what_clients_read_of_the_captured_ones(http: Http, exactly_once: bool) -> None:
    created = http.create(ExactlyOnceMode=True) if exactly_once else http.create()
    known = kinds(created)
    wanted = kinds(captured("033-exactly-once", 0) if exactly_once else captured("029-open-arrow-writer", 0))
    assert {name: known.get(name) for name in wanted} == wanted
    echo = {"TableId": created["TableId"], "SchemaVersion": created["SchemaVersion"]}
    if exactly_once:
        written = http.write([1, 2, 3], created["AccessToken"], RowOffset=0, **echo).json
        assert kinds(written) == kinds(captured("033-exactly-once", 1))
        assert written["ExactlyOnceRowOffset"] == 3
    else:
        assert "ExactlyOnceRowOffset" not in http.write([1, 2, 3], None, **echo).json
    status = http.get(ExactlyOnceMode="true") if exactly_once else http.get()
    wanted = kinds(captured("033-exactly-once", 3) if exactly_once else captured("034-resume", 0))
    del wanted["IsDeltaTable"]  # of no meaning to any client
    assert kinds(status) == wanted


def test_get_turns_the_mode_on_and_fences(http: Http) -> None:
    """As the documented client does, which cannot ask for it when it creates a stream."""
    assert "AccessToken" not in http.create()
    assert http.write([1], None).status == 200
    first = http.get(ExactlyOnceMode="true")
    assert first["RowOffset"] == first["RecordCount"] == 1
    assert http.write([2], first["AccessToken"], RowOffset=1).json["ExactlyOnceRowOffset"] == 2
    second = http.get(ExactlyOnceMode="true")
    refused = http.write([3], first["AccessToken"], RowOffset=2)
    assert (refused.status, refused.json["Code"]) == (403, "NoPermission")
    assert http.write([2], second["AccessToken"], RowOffset=1).json["ExactlyOnceRowOffset"] == 2
    assert {"AccessToken", "RowOffset"}.isdisjoint(http.get())
    again = http.create(ExactlyOnceMode=True)
    assert again["RowOffset"] == 2
    assert http.write([3], second["AccessToken"], RowOffset=2).status == 403


@pytest.mark.parametrize(
    ("offset", "status", "code"),
    [(1, 409, "RowOffsetMismatch"), (None, 409, "RowOffsetMismatch"), (-1, 400, "InvalidArgument")],
)
def test_wrong_offsets(http: Http, offset: int | None, status: int, code: str) -> None:
    token = http.create(ExactlyOnceMode=True)["AccessToken"]
    answer = http.write([1], token, **({} if offset is None else {"RowOffset": offset}))
    assert (answer.status, answer.json["Code"]) == (status, code)


def test_the_token_is_told_to_nobody_else(http: Http, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    old = http.create(ExactlyOnceMode=True)["AccessToken"]
    token = http.get(ExactlyOnceMode="true")["AccessToken"]
    answers = [
        http.write([1], old, RowOffset=0),
        http.write([1], token, RowOffset=5),
        http.write([1], token),
        http.write([1], token, RowOffset=0, TableId="other"),
        http.write([1], token, RowOffset=0, SchemaVersion=9),
        http.write([1], token, RowOffset=0),
    ]
    assert [answer.status for answer in answers] == [403, 409, 409, 400, 400, 409]
    told = caplog.text + "".join(str((answer.headers, answer.body)) for answer in answers)
    assert old not in told
    assert token not in told
