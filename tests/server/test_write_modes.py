"""The captured exchanges of streaming and block writers, played again, and what WriteMode may say."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pyarrow as pa
import pytest

from tests.server.conftest import Answer, Caller

VECTORS = Path(__file__).parent.parent / "vectors"
MAX_STORAGE = {"User-Agent": "pyodps/0.13.2 CPython/3.11.7 Linux/5.10.0"}
TABLE = "projects.p.schemas.default.tables.t"


def made(call: Caller, columns: str = "id bigint, name string", keys: str = "") -> None:
    statement = f"<SQL><Name>q</Name><Query>CREATE TABLE t ({columns}){keys};</Query></SQL>"
    xml = f"<Instance><Job><Priority>9</Priority><Tasks>{statement}</Tasks></Job></Instance>"
    assert call("POST", "/api/projects/p/instances", xml.encode()).status in (200, 201)


def rows(call: Caller) -> list[dict[str, Any]]:
    answer = action(call, "TablePreview", {})
    assert answer.status == 200
    return pa.ipc.open_stream(answer.body).read_all().to_pylist()


def action(call: Caller, name: str, body: Any = b"", **parameters: Any) -> Answer:
    query = urlencode({"Action": name, "Target": TABLE, "curr_project": "p"} | parameters)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return call("POST", f"/api/storage/v3?{query}", data, headers=MAX_STORAGE)


def replayed(call: Caller, path: str, **ours: str) -> Iterator[Answer]:
    """Play the requests of a vector, with the ids of this server in the place of those captured.

    An answer's ids go into the requests after it.
    """
    captured = VECTORS / path
    for exchange in json.loads(captured.read_text())["exchanges"]:
        request = exchange["request"]
        url, _, query = request["target"].partition("?")
        parameters = {key: ours.get(key, value) for key, value in parse_qsl(query)}
        body = request.get("body", "").encode()
        if "body_file" in request:
            body = captured.with_name(request["body_file"]).read_bytes()
        if "CommitMessages" in request.get("body", ""):
            body = json.dumps({"CommitMessages": [ours["CommitMessage"]]}).encode()
        dropped = ("authorization", "date", "host", "content-length")
        headers = {name: value for name, value in request["headers"] if name.lower() not in dropped}
        answer = call(request["method"], f"{url}?{urlencode(parameters)}", body, headers=headers)
        assert answer.status == 200, answer.body
        ours |= {
            ours_name: str(answer.json[theirs])
            for ours_name, theirs in (
                ("SessionId", "SessionId"),
                ("TableId", "TableId"),
                ("SchemaVersion", "SchemaVersion"),
                ("quotaToken", "QuotaToken"),
                ("CommitMessage", "CommitMessage"),
            )
            if theirs in answer.json
        }
        yield answer


@pytest.mark.parametrize(
    "path",
    [
        "maxstorage-0.13.2-api2/037-streaming-writemode-streaming.json",
        "maxstorage-0.13.2-api2/038-streaming-writemode-streaming-realtime.json",
        "maxstorage-0.13.2-api3/037-streaming-writemode-streaming.json",
        "maxstorage-0.13.2-api3/038-streaming-writemode-streaming-realtime.json",
    ],
)
def test_a_streaming_writer_as_captured(call: Caller, path: str) -> None:
    made(call, "id bigint, name string, b binary")
    _, written = replayed(call, path)
    assert written.json["RecordCount"] == 3
    assert int(written.json["StagingId"]) > 0
    assert written.json["CommitMessage"]
    assert [row["id"] for row in rows(call)] == [1, 2, 3]
    again = list(replayed(call, path))[-1]  # with the same retry ids
    assert again.json == written.json
    assert len(rows(call)) == 3


def test_nothing_waits_to_become_visible(call: Caller) -> None:
    made(call)
    (answer,) = replayed(call, "maxstorage-0.13.2-api3/039-min-staging.json")
    assert answer.json == {"Streams": None, "WarningMessage": "", "MinUncommittedStagingId": None}
    assert "x-odps-max-storage-route-token" in answer.headers


@pytest.mark.parametrize(
    "path",
    ["maxstorage-0.13.2-api2/040-batch-compatible.json", "maxstorage-0.13.2-api3/041-batch-compatible.json"],
)
def test_a_block_writer_as_captured(call: Caller, path: str) -> None:
    made(call, keys=" PARTITIONED BY (pt string)")
    if "api2" in path:  # whose responder gave no quota, so that the client stopped there
        created, reserved = replayed(call, path)
    else:
        created, reserved, written, committed = replayed(call, path)
        assert written.json["RecordCount"] == 1
        assert json.loads(written.json["CommitMessage"])["WriterStats"] == {"RecordNum": 1}
        assert committed.json["SessionStatus"] == "COMMITTED"
        assert rows(call) == [{"id": 1, "name": "a", "pt": "1"}]
    session = created.json
    assert session["SessionStatus"] == "NORMAL"
    assert [column["Name"] for column in session["DataSchema"]["DataColumns"]] == ["id", "name"]
    assert session["DataSchema"]["PartitionColumns"] == []
    assert (session["EnhanceWriteCheck"], session["Message"]) == (False, "")
    assert reserved.json["QuotaToken"]
    assert "x-odps-max-storage-route-token" in reserved.headers


@pytest.mark.parametrize(
    ("number", "mode"),
    [("014", "streaming"), ("015", "streaming-realtime"), ("016", "batch-compatible")],
)
def test_sessions_of_the_documented_client_as_captured(call: Caller, number: str, mode: str) -> None:
    made(call)
    path = f"storage_api_v2-0.13.1-api3/{number}-create-write-session-writemode-{mode}.json"
    (answer,) = replayed(call, path)
    session = answer.json["SessionId"]
    assert answer.json == {"SessionId": session, "WarningMessage": ""}
    assert (session == "default") == mode.startswith("streaming")


def test_the_mode_is_the_sessions(call: Caller) -> None:
    made(call)
    session = action(call, "TableCreateWriteSession", {}, WriteMode="batchCompatible").json["SessionId"]
    stream = {"StreamId": "0", "StreamVersion": 1}
    for mode in ({}, {"WriteMode": "BatchCompatible"}, {"WriteMode": "BATCHCOMPATIBLE"}):
        assert action(call, "TableGetWriteSession", {}, SessionId=session, **mode).status == 200
        assert action(call, "TableCreateWriteStream", stream, SessionId=session, **mode).status == 200
    refused = [
        action(call, name, body, SessionId=given, WriteMode=mode)
        for given, modes in (
            (session, ("Batch", "Streaming", "eventually")),
            ("default", ("Batch", "BatchCompatible", "eventually")),
        )
        for mode in modes
        for name, body in (
            ("TableGetWriteSession", {}),
            ("TableCreateWriteStream", stream),
            ("TableGetWriteStream", stream),
            ("TableCloseWriteStream", stream),
            ("TableCommitWriteSession", {}),
            ("TableAbortWriteSession", {}),
            ("TableWrite", b"rows"),
        )
    ]
    assert {(answer.status, answer.json["Code"]) for answer in refused} == {(400, "InvalidArgument")}
    assert action(call, "TableCreateWriteSession", {}, WriteMode="eventually").status == 400


def test_calls_on_the_default_session_that_do_nothing(call: Caller) -> None:
    made(call)
    for mode in ({}, {"WriteMode": "Streaming"}, {"WriteMode": "StreamingRealtime"}):
        default = {"SessionId": "default"} | mode
        stream = {"StreamId": "s", "StreamVersion": 1}
        assert action(call, "TableCommitWriteSession", {}, **default).json == {}
        assert action(call, "TableAbortWriteSession", {}, **default).json == {}
        assert action(call, "TableCloseWriteStream", stream, **default).json == {"WarningMessage": ""}
        got = action(call, "TableGetWriteStream", stream, **default).json
        assert (got["Status"], got["status"]) == ("OPEN", "OPEN")
        once = action(call, "TableCreateWriteStream", stream | {"ExactlyOnceMode": True}, **default)
        assert once.status == 400
        assert "ExactlyOnceMode" in once.json["Message"]


def test_blocks_have_no_streams(call: Caller) -> None:
    made(call)
    create = {"WriteMode": "BatchCompatible", "enableQuotaToken": "true"}
    session = {"SessionId": action(call, "TableCreateWriteSession", {}, **create).json["SessionId"]}
    stream = {"StreamId": "0", "StreamVersion": 1}
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, pa.schema([("id", pa.int64())])):
        pass
    refused = [
        action(call, "TableGetWriteStream", stream, **session),
        action(call, "TableCloseWriteStream", stream, **session),
        action(call, "TableWrite", sink.getvalue(), StreamId="0", StreamVersion=1, **session),
        action(call, "TableCommitWriteSession", {"StreamIds": ["0"], "StreamVersions": [1]}, **session),
        action(call, "TableCreateWriteSession", {"PartitionSpec": ""}, WriteMode="Batch"),
    ]
    assert [answer.status for answer in refused] == [400] * 5
    got = action(call, "TableGetWriteSession", {}, **session).json
    assert got["SessionId"] == session["SessionId"]
    assert got["MaxBlockNumber"] > 0


def test_batch_compatible_with_streams(call: Caller) -> None:
    """MaxStorage of PyODPS 0.13.1 sends the ordinary calls in this mode (wire.md §8.2)."""
    made(call)
    body = {"PartialPartitionSpec": "", "Flags": {}}
    created = action(call, "TableCreateWriteSession", body, WriteMode="BatchCompatible").json
    assert created == {"SessionId": created["SessionId"], "WarningMessage": ""}
    mode = {"SessionId": created["SessionId"], "WriteMode": "BatchCompatible"}
    stream = {"StreamId": "0", "StreamVersion": 1}
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, pa.schema([("id", pa.int64())])) as writer:
        writer.write_batch(pa.record_batch({"id": [1, 2]}))
    for name, sent, more in (
        ("TableCreateWriteStream", stream, {}),
        ("TableWrite", sink.getvalue(), stream),
        ("TableCloseWriteStream", stream, {}),
        ("TableCommitWriteSession", {}, {}),
    ):
        assert rows(call) == []
        assert action(call, name, sent, **mode, **more).status == 200
    assert [row["id"] for row in rows(call)] == [1, 2]
