"""What secrets look like in requests and answers, and that none is left."""

from __future__ import annotations

import json

import pytest

from maxlake.testing.recording import HOST, REMOVED
from maxlake.testing.redaction import Redaction

SECRET = "s3cr3t-Value/+=="


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"AccessToken": SECRET, "SessionId": "kept"}),
        json.dumps({"a": [{"quotaToken": SECRET, "SessionId": "kept"}]}),
        json.dumps({"Schema": json.dumps({"owner": SECRET, "comment": "kept"})}),
        json.dumps({"x": json.dumps({"y": json.dumps({"owner": SECRET, "z": "kept"})})}),
        json.dumps({"Owner": 'with a " quote' + SECRET, "kept": 1}),
        f"<Table><Owner>{SECRET}</Owner><Name>kept</Name></Table>",
        f'<Table><Schema format="Json">{{"owner": "{SECRET}", "comment": "kept"}}</Schema></Table>',
        f"<Authorization>\n  <Result>{SECRET}</Result>kept</Authorization>",
        f"http://logview/?h=kept&token={SECRET}&i=2",
        f"/projects/p?quotaToken={SECRET}&kept",
        f"kept: user RAM${SECRET} may not",
        f"kept: ALIYUN${SECRET}, denied",
        f"kept: ALIYUN%24{SECRET}&x=1",
    ],
)
def test_secrets_in_texts(text: str) -> None:
    told = Redaction([]).text(text)
    assert SECRET not in told
    assert REMOVED in told
    assert "kept" in told
    if text.startswith("{"):
        json.loads(told)


@pytest.mark.parametrize(
    "headers",
    [
        (("Authorization", "ODPS the-id:signature="),),
        (("authorization", "ODPS the-id/20260101/cn/odps/aliyun_v4_request:signature="),),
        (("x-odps-bearer-token", "the-id"),),
        (("Authorization", "ODPS other-id:signature="), ("authorization-sts-token", "the-id")),
    ],
)
def test_what_requests_tell_is_looked_for_everywhere(headers: tuple[tuple[str, str], ...]) -> None:
    redaction = Redaction(["service.example:80"])
    assert redaction.text("key the-id at service.example:80") == f"key the-id at {HOST}"
    redaction.learn(headers)
    assert redaction.text("key the-id") == f"key {REMOVED}"
    assert redaction.body(b"key the-id") == f"key {REMOVED}".encode()
    assert redaction.body(b"\xffthe-id") == b"\xffthe-id"
    assert {value for _, value in redaction.headers(headers)} == {REMOVED}
    assert redaction.headers((("Location", "http://service.example:80/x"),)) == (
        ("Location", f"http://{HOST}/x"),
    )
