"""Signing and verifying: every captured request verifies, and none survives a change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxlake.protocol.errors import BadRequestError, DeniedError, ErrorCode
from maxlake.protocol.signing import SignedRequest, canonical_candidates, sign_v2, sign_v4, verify

VECTORS = Path(__file__).parent.parent / "vectors"
SECRETS = {
    "AKID": "AKSECRET",
    "AKIDEXAMPLE": "SECRETEXAMPLE",
    "STS.AKID": "STSSECRET",
    "APPID": "APPSECRET",
}
NOW = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
FORBIDDEN = ("need ak v3 support", "accesskey acl denied", "invalid or missing")


def captured() -> Iterator[tuple[str, SignedRequest]]:
    for path in sorted(VECTORS.glob("*/*.json")):
        for number, exchange in enumerate(json.loads(path.read_text())["exchanges"]):
            request = exchange["request"]
            headers = tuple((name, value) for name, value in request["headers"])
            yield (
                f"{path.parent.name}/{path.stem}.{number}",
                SignedRequest(request["method"], request["target"], headers),
            )


CAPTURED = list(captured())


def auth_vectors() -> list[Any]:
    found = [
        vector for path in sorted(VECTORS.glob("auth-*.json")) for vector in json.loads(path.read_text())
    ]
    return [pytest.param(vector, id=f"{vector['client']}: {vector['name']}") for vector in found]


def request_of(vector: dict[str, Any]) -> SignedRequest:
    url = urlsplit(vector["url"])
    target = f"{url.path}?{url.query}" if url.query else url.path
    return SignedRequest(vector["method"], target, tuple(vector["headers"].items()))


def verify_at_its_date(request: SignedRequest) -> str:
    return verify(request, SECRETS.get, parsedate_to_datetime(request.header("date") or ""))


def signed(
    target: str = "/api/projects/p/tables/t?curr_project=p",
    *headers: tuple[str, str],
    method: str = "GET",
    now: datetime = NOW,
    region: str | None = None,
    candidate: int = 0,
) -> SignedRequest:
    bare = SignedRequest(method, target, (("Date", format_datetime(now, usegmt=True)), *headers))
    text = canonical_candidates(bare)[candidate]
    authorization = (
        sign_v2("AKID", "AKSECRET", text)
        if region is None
        else sign_v4("AKID", "AKSECRET", text, day=now.date(), region=region)
    )
    return SignedRequest(method, target, (*bare.headers, ("Authorization", authorization)))


def replaced(request: SignedRequest, name: str, value: str | None) -> SignedRequest:
    kept = tuple(pair for pair in request.headers if pair[0].lower() != name)
    return SignedRequest(request.method, request.target, kept if value is None else (*kept, (name, value)))


def denied(request: SignedRequest, now: datetime = NOW) -> ErrorCode:
    with pytest.raises(DeniedError) as caught:
        verify(request, SECRETS.get, now)
    assert not any(text in str(caught.value).lower() for text in FORBIDDEN)
    return caught.value.code


def test_every_captured_request_verifies():
    assert len(CAPTURED) > 500
    failures = []
    for name, request in CAPTURED:
        try:
            assert verify_at_its_date(request) == "AKID"
        except (DeniedError, BadRequestError) as error:
            failures.append((name, str(error)))
    assert failures == []


def test_captured_requests_use_both_versions():
    v4 = sum("/odps/aliyun_v4_request:" in (request.header("authorization") or "") for _, request in CAPTURED)
    assert 0 < v4 < len(CAPTURED)


@pytest.mark.parametrize("vector", auth_vectors())
def test_auth_vector(vector: dict[str, Any]):
    request = request_of(vector)
    assert vector["string_to_sign"] in canonical_candidates(request)
    headers = {name.lower() for name, _ in request.headers}
    if "authorization-sts-token" in headers or "x-odps-bearer-token" in headers:
        assert denied(request) is ErrorCode.UNAUTHORIZED
        # Without the token, which is not signed, the signature is an ordinary one.
        if "authorization-sts-token" in headers:
            assert verify_at_its_date(replaced(request, "authorization-sts-token", None)) == "STS.AKID"
    else:
        assert verify(request, SECRETS.get, NOW) == "AKIDEXAMPLE"


def test_the_worked_examples():
    text = "GET\n\n\nThu, 02 Jan 2025 03:04:05 GMT\n/projects/p/tables/t?curr_project=p"
    assert sign_v2("AKIDEXAMPLE", "SECRETEXAMPLE", text) == "ODPS AKIDEXAMPLE:CcoPBZ3MCOilt6dR2LYstLLM3pM="
    assert sign_v4("AKIDEXAMPLE", "SECRETEXAMPLE", text, day=date(2025, 1, 2), region="cn-test") == (
        "ODPS AKIDEXAMPLE/20250102/cn-test/odps/aliyun_v4_request:B3RVhE3WYREeyJiSL/0ZWZY327o="
    )


@pytest.mark.parametrize("index", range(0, len(CAPTURED), 37))
def test_any_change_of_a_signed_part_fails(index: int):
    _, request = CAPTURED[index]
    path, _, query = request.target.partition("?")
    first, last = path.rsplit("/", 1)
    changes = [
        SignedRequest("PATCH", request.target, request.headers),
        SignedRequest(request.method, f"{first}/x{last}?{query}", request.headers),
        SignedRequest(request.method, f"{path}?{query}&extra=1", request.headers),
        SignedRequest(request.method, f"{path}?{query}1", request.headers),
        replaced(request, "x-odps-extra", "1"),
        replaced(request, "content-md5", "1"),
        replaced(request, "content-type", "text/x"),
    ]
    date_text = request.header("date") or ""
    later = parsedate_to_datetime(date_text) + timedelta(seconds=1)
    changes.append(replaced(request, "date", format_datetime(later, usegmt=True)))
    for name, value in request.headers:
        if name.lower().startswith("x-odps-"):
            changes += [replaced(request, name.lower(), f"{value}x"), replaced(request, name.lower(), None)]
    authorization = request.header("authorization") or ""
    changes.append(replaced(request, "authorization", authorization[:-3] + "AA="))
    if "/cn/" in authorization:
        changes.append(replaced(request, "authorization", authorization.replace("/cn/", "/cm/")))
    for change in changes:
        if change != request:
            with pytest.raises(DeniedError) as caught:
                verify_at_its_date(change)
            assert caught.value.code is ErrorCode.SIGNATURE_NOT_MATCH


def test_unsigned_headers_may_change():
    _, request = CAPTURED[0]
    assert verify_at_its_date(replaced(request, "host", "elsewhere")) == "AKID"
    assert verify_at_its_date(replaced(request, "user-agent", "other")) == "AKID"


@pytest.mark.parametrize("region", [None, "cn", "cn-test", "eu-1"])
@pytest.mark.parametrize("seconds", [-900, 0, 900])
def test_skew_within_bounds(region: str | None, seconds: int):
    assert verify(signed(region=region), SECRETS.get, NOW + timedelta(seconds=seconds)) == "AKID"


@pytest.mark.parametrize("seconds", [-901, 901, 10**9])
def test_skewed_date(seconds: int):
    assert denied(signed(), NOW + timedelta(seconds=seconds)) is ErrorCode.REQUEST_TIME_TOO_SKEWED


@pytest.mark.parametrize(
    "text", [None, "", "yesterday", "2025-01-02T03:04:05Z", "Thu, 99 Jan 2025 03:04:05 GMT"]
)
def test_date_absent_or_malformed(text: str | None):
    assert denied(replaced(signed(), "date", text)) is ErrorCode.REQUEST_TIME_TOO_SKEWED


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "ODPS",
        "ODPS ",
        "ODPS AKID",
        "ODPS :abc",
        "ODPS AKID:",
        "Basic AKID:abc",
        "ODPS NOBODY:abc",
        "ODPS AKID/20250102/cn/odps:abc",
        "ODPS AKID/20250102/cn/oss/aliyun_v4_request:abc",
        "ODPS AKID/20250102/cn/odps/aliyun_v4:abc",
        "ODPS AKID/20250104/cn/odps/aliyun_v4_request:abc",
        "ODPS AKID/20259999/cn/odps/aliyun_v4_request:abc",
        "ODPS AKID/today/cn/odps/aliyun_v4_request:abc",
        "ODPS AKID/20250102/cn/odps/aliyun_v4_request/x:abc",
    ],
)
def test_unusable_authorization(authorization: str | None):
    assert denied(replaced(signed(), "authorization", authorization)) is ErrorCode.UNAUTHORIZED


def test_wrong_secret_and_non_ascii_signature():
    request = signed()
    with pytest.raises(DeniedError) as caught:
        verify(request, lambda _: "other", NOW)
    assert caught.value.code is ErrorCode.SIGNATURE_NOT_MATCH
    assert denied(replaced(request, "authorization", "ODPS AKID:é")) is ErrorCode.SIGNATURE_NOT_MATCH


@pytest.mark.parametrize("signature", ["", "AAAA", "é"])
def test_wrong_application_signature(signature: str):
    text = f"account_provider:aliyun,signature_method:hmac-sha1,access_id:APPID,signature:{signature}"
    request = replaced(signed(), "application-authentication", text)
    assert denied(request) is ErrorCode.SIGNATURE_NOT_MATCH
    assert (
        denied(replaced(request, "application-authentication", "access_id:NOBODY")) is ErrorCode.UNAUTHORIZED
    )


@pytest.mark.parametrize(
    "query",
    ["a=1&a=2", "a=1&%61=2", "a%26b=1", "a%3Db=1", "a%00=1", "a=%0A", "a=%7F", "=1", "a=%FF"],
)
def test_ambiguous_queries_are_refused(query: str):
    request = SignedRequest("GET", f"/api/x?{query}", signed().headers)
    with pytest.raises(BadRequestError) as caught:
        verify(request, SECRETS.get, NOW)
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "headers",
    [
        (("x-odps-a", "1"), ("X-ODPS-A", "2")),
        (("content-type", "a"), ("Content-Type", "a")),
    ],
)
def test_repeated_signed_headers_are_refused(headers: tuple[tuple[str, str], ...]):
    request = SignedRequest("GET", "/api/x", (*signed().headers, *headers))
    with pytest.raises(BadRequestError):
        verify(request, SECRETS.get, NOW)


def test_a_header_cannot_hide_behind_a_parameter():
    with pytest.raises(BadRequestError):
        canonical_candidates(SignedRequest("GET", "/api/x?x-odps-a=1", (("x-odps-a", "2"),)))


def test_signed_parameters_are_signed_like_headers():
    request = signed("/api/x?x-odps-a=1&b=")
    assert canonical_candidates(request)[0].endswith("\nx-odps-a:1\n/x?b&x-odps-a=1")
    assert verify(request, SECRETS.get, NOW) == "AKID"


def test_the_storage_prefix_is_accepted_as_clients_write_it():
    texts = canonical_candidates(SignedRequest("POST", "/api/api/storage/v2?Action=X", ()))
    resources = [text.rsplit("\n", 1)[1] for text in texts]
    assert resources == [
        "/api/storage/v2?Action=X",
        "api/storage/v2?Action=X",
        "/api/api/storage/v2?Action=X",
        "api/api/storage/v2?Action=X",
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=5),
        st.text(st.characters(exclude_categories=["C"]), max_size=8),
        max_size=4,
    ),
    st.data(),
)
def test_every_candidate_of_any_query_verifies(parameters: dict[str, str], data: st.DataObject):
    query = "&".join(f"{quote(name)}={quote(value, safe='')}" for name, value in parameters.items())
    target = f"/api/projects/p?{query}"
    count = len(canonical_candidates(SignedRequest("GET", target, ())))
    chosen = data.draw(st.integers(0, count - 1))
    request = signed(target, candidate=chosen, region=data.draw(st.sampled_from([None, "cn"])))
    assert verify(request, SECRETS.get, NOW) == "AKID"


@pytest.mark.parametrize(
    "forged",
    [
        "/api/x?Action=TablePreview&curr_project=demo%26Limit%3D0",
        "/api/x?Action=TablePreview&curr_project=demo%2526Limit%253D0",
        "/api/x?Action=TablePreview%26Limit%3D0&curr_project=demo",
        "/api/x?Action=TablePreview&Limit=9%26Limit%3D0&curr_project=demo",
        "/api/x%3FAction=TablePreview&Limit=0&curr_project=demo",
    ],
)
def test_no_parameter_can_be_hidden_under_a_signature(forged):
    with pytest.raises(BadRequestError, match=r"holds the parameter|question mark"):
        canonical_candidates(SignedRequest("POST", forged, ()))
