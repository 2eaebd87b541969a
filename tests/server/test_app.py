"""Verification, routing and errors, without sockets."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from maxlake.protocol import limits
from maxlake.protocol.enums import Action
from maxlake.server import dispatch

VECTORS = Path(__file__).parent.parent / "vectors"
STORAGE = "/api/storage/v2"
TABLE = "projects.p.schemas.default.tables.t"


def _captured():
    for folder in ("rest-0.13.0", "rest-0.13.2", "storage_api_v2-0.13.0-api2", "maxstorage-0.13.2-api3"):
        for path in sorted((VECTORS / folder).glob("*.json")):
            for number, exchange in enumerate(json.loads(path.read_text())["exchanges"]):
                yield pytest.param(exchange["request"], id=f"{folder}/{path.stem}.{number}")


def test_every_captured_request_is_authentic(call):
    refused, played = [], 0
    for parameter in _captured():
        request = parameter.values[0]
        headers = [(name, value) for name, value in request["headers"]]
        dates = [value for name, value in headers if name.lower() == "date"]
        call.now = parsedate_to_datetime(dates[0]) if dates else datetime.now(UTC)
        if "body_file" in request:
            continue
        body = request.get("body", "").encode()
        played += 1
        answer = call.play(request["method"], request["target"], headers, [body])
        if answer.status in (401, 403):
            refused.append((parameter.id, answer.body))
        assert answer.status < 500, (parameter.id, answer.body)
        assert len(answer.headers["x-odps-request-id"]) == 32
    assert not refused
    assert played > 300


@pytest.mark.parametrize(
    "path", ["/api/projects/p", "/api/tenants", f"{STORAGE}?Action=TableRead", "/nowhere"]
)
def test_every_request_must_be_signed(call, path):
    answer = call("GET", path, signed=False)
    assert answer.status == 401
    assert b"Unauthorized" in answer.body


def test_only_logview_host_is_open(call):
    assert call("GET", "/api/logview/host", signed=False).status == 200


def test_a_wrong_secret_is_401(call):
    answer = call("GET", "/api/projects/p", secret="WRONG")
    assert (answer.status, ET.fromstring(answer.body).findtext("Code")) == (401, "SignatureNotMatch")


@pytest.mark.parametrize("minutes", [-16, 16])
def test_a_skewed_date_is_403(call, minutes):
    answer = call("GET", "/api/projects/p", date=call.now + timedelta(minutes=minutes))
    assert (answer.status, ET.fromstring(answer.body).findtext("Code")) == (403, "RequestTimeTooSkewed")


def test_storage_errors_are_json_with_four_texts(call):
    answer = call("POST", f"{STORAGE}?Action=Nonsense&Target={TABLE}", b"{}")
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["Code"] == "InvalidArgument"
    assert answer.json["RequestId"] == answer.headers["x-odps-request-id"]
    assert set(answer.json) == {"Code", "Message", "RequestId", "HostId"}
    assert all(isinstance(value, str) and value for value in answer.json.values())


def test_rest_errors_are_xml_with_four_elements(call):
    answer = call("GET", "/api/projects/nobody")
    assert answer.status == 404
    assert [(child.tag, bool(child.text)) for child in ET.fromstring(answer.body)] == [
        ("Code", True), ("Message", True), ("RequestId", True), ("HostId", True),
    ]  # fmt: skip
    assert ET.fromstring(answer.body).findtext("Code") == "NoSuchProject"


@pytest.mark.parametrize("prefix", ["/api", "/api/api"])
@pytest.mark.parametrize("version", ["v2", "v3"])
def test_both_versions_and_the_doubled_prefix_are_served(call, prefix, version):
    target = f"{prefix}/storage/{version}?Action=TableCreateReadSession&Target={TABLE}"
    answer = call("POST", target, b"{}", headers={"Content-Type": "text/html"})
    assert (answer.status, answer.json["Code"]) == (404, "NoSuchTable")


@pytest.mark.parametrize(
    ("query", "body", "word"),
    [
        (f"Action=TableCreateReadSession&Target={TABLE}", b"{", "valid"),
        (f"Action=TableCreateReadSession&Target={TABLE}", b"\xff\xfe", "valid"),
        (f"Action=TableCreateReadSession&Target={TABLE}", b"[" * 200_000, "valid"),
        (f"Action=TableCreateReadSession&Target={TABLE}", b'{"x":' * 200_000, "valid"),
        (f"Action=TableCreateReadSession&Target={TABLE}", b'{"SplitMaxFileNum": "many"}', "SplitMaxFileNum"),
        (f"Action=TableRead&Target={TABLE}", b"{}", "SessionId"),
        (f"Action=TableRead&Target={TABLE}&SessionId=a%3Db", b"{}", "SessionId"),
        (f"Action=TableRead&Target={TABLE}&SessionId=a&Index=-1", b"{}", "Index"),
        (f"Action=TableRead&Target={TABLE}&SessionId=a&Index=99999999999999999999", b"{}", "Index"),
        (f"Action=TableGetReadSession&Target={TABLE}&SessionId=a&session_refresh=maybe", b"{}", "refresh"),
        (f"Action=TableGetWriteSession&Target={TABLE}&SessionId=a&WriteMode=Sideways", b"{}", "WriteMode"),
        (f"Action=TableCreateWriteStream&Target={TABLE}&SessionId=a", b"{}", "StreamId"),
        (f"Action=TableGetWriteStream&Target={TABLE}&SessionId=a", b'{"StreamId":0,"StreamVersion":-1}', "-"),
        ("Action=TableCreateReadSession&Target=projects.p.volumes.v", b"{}", "olumes"),
        ("Action=TableCreateReadSession&Target=generic.blob", b"{}", "table"),
        ("Action=TableCreateReadSession", b"{}", "Target"),
        ("", b"{}", "Action"),
    ],
)  # fmt: skip
def test_bad_requests_are_400_and_say_what(call, query, body, word):
    answer = call("POST", f"{STORAGE}?{query}", body)
    assert (answer.status, answer.json["Code"]) == (400, "InvalidArgument")
    assert word in answer.json["Message"]


def test_a_parameter_given_twice_is_400(call):
    target = f"{STORAGE}?Action=TableRead&Target={TABLE}&SessionId=a&SessionId=b"
    answer = call("POST", target, b"{}", signed=False, headers={"Authorization": "ODPS AKID:x"})
    assert (answer.status, answer.json["Code"]) == (400, "InvalidArgument")
    assert "twice" in answer.json["Message"]


def test_a_body_too_large_is_413_before_and_while_reading(call):
    target = f"{STORAGE}?Action=TableCreateReadSession&Target={TABLE}"
    declared = call("POST", target, b"{}", headers={"Content-Length": str(limits.MAX_JSON_BODY + 1)})
    piece = b" " * (1024 * 1024)
    counted = call("POST", target, [piece] * 5, headers={"Transfer-Encoding": "chunked"})
    for answer in (declared, counted):
        assert (answer.status, answer.json["Code"]) == (413, "RequestTooLarge")
        assert answer.complete


def test_other_methods_are_refused(call):
    assert call("PUT", f"{STORAGE}?Action=TableRead&Target={TABLE}").status == 400
    assert call("DELETE", "/api/projects/p/tables/t").status == 404


def test_what_nobody_expected_is_500_and_tells_nothing(call, monkeypatch, caplog):
    def broken(_):
        raise RuntimeError("the secret detail")

    monkeypatch.setitem(dispatch._BY_NAME, Action.TABLE_GET_WRITE_SCHEMA.value, dispatch.JsonAction(broken))
    answer = call("POST", f"{STORAGE}?Action=TableGetWriteSchema&Target={TABLE}", b"{}")
    assert (answer.status, answer.json["Code"]) == (500, "InternalServerError")
    assert "secret" not in answer.body.decode()
    assert answer.json["RequestId"] in answer.json["Message"]
    assert "the secret detail" in caplog.text
    assert answer.json["RequestId"] in caplog.text


def test_no_error_text_makes_pyodps_sign_anew(call):
    answer = call("GET", "/api/need%20AK%20v3%20support")
    assert answer.status == 404
    assert b"need ak v3 support" not in answer.body.lower()


def test_an_early_refusal_of_an_upload_is_answered_whole_and_drained(call):
    target = f"{STORAGE}?Action=TableWrite&Target={TABLE}&SessionId=none&StreamId=0&StreamVersion=0"
    answer = call("POST", target, [b"x" * 1000] * 50, headers={"Transfer-Encoding": "chunked"})
    assert answer.status == 404
    assert answer.complete


def test_the_route_token_names_the_callers_host(call, monkeypatch):
    action = dispatch.JsonAction(lambda _: {}, routed=True)
    monkeypatch.setitem(dispatch._BY_NAME, Action.TABLE_GET_READ_SESSION.value, action)
    answer = call("POST", f"{STORAGE}?Action=TableGetReadSession&Target={TABLE}", b"{}")
    assert answer.headers["x-odps-max-storage-route-token"].split(";")[1] == "caller.test:81"


def test_a_host_header_with_a_path_is_refused(call):
    answer = call("GET", "/api/projects/p/tunnel?service", headers={"Host": "a/b;c"})
    assert answer.status == 400


def test_a_bad_host_header_is_refused_before_anything_is_done(call):
    create = f"{STORAGE}?Action=TableCreateWriteSession&Target={TABLE}"
    answer = call("POST", create, b"{}", headers={"Host": "a b"})
    assert (answer.status, answer.json["Code"]) == (400, "InvalidArgument")
    assert "Host" in answer.json["Message"]


def test_without_a_host_header_the_listener_is_the_host(call, monkeypatch):
    action = dispatch.JsonAction(lambda _: {}, routed=True)
    monkeypatch.setitem(dispatch._BY_NAME, Action.TABLE_GET_READ_SESSION.value, action)
    target = f"{STORAGE}?Action=TableGetReadSession&Target={TABLE}"
    answer = call("POST", target, b"{}", headers={"Host": ""})
    assert answer.headers["x-odps-max-storage-route-token"].split(";")[1] == "127.0.0.1:80"


def test_a_body_that_stalls_is_answered_and_the_connection_closed(call, monkeypatch):
    monkeypatch.setattr(limits, "SMALL_BODY_TIME", 0)
    target = f"{STORAGE}?Action=TableCreateReadSession&Target={TABLE}"
    answer = call("POST", target, [], headers={"Content-Length": "10"})
    assert (answer.status, answer.json["Code"]) == (408, "RequestTimeout")
    assert answer.headers["connection"] == "close"
    assert answer.complete
