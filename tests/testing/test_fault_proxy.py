"""The proxy in which tests make things go wrong. One that answers by itself stands for the service."""

from __future__ import annotations

import io
from collections.abc import Iterator
from http.client import HTTPConnection, RemoteDisconnected
from importlib import import_module
from urllib.parse import urlsplit

import pytest

from maxlake.testing import ConnectionCut, FaultProxy, fault_proxy
from maxlake.testing.fault_proxy import Forward
from maxlake.testing.listener import Answer, Request

NOWHERE = "http://127.0.0.1:1/api"


def echo(request: Request, _: Forward) -> Answer:
    """Answer with what was asked."""
    headers = (("x-seen-target", request.target), ("x-seen-mark", dict(request.headers).get("x-mark", "")))
    return Answer(201, headers, request.body or request.method.encode())


def cut(_: Request, __: Forward) -> Answer:
    raise ConnectionCut


@pytest.fixture
def service() -> Iterator[FaultProxy]:
    """A service that echoes."""
    with fault_proxy(NOWHERE) as service, service.inject(echo):
        yield service


@pytest.fixture
def proxy(service: FaultProxy) -> Iterator[FaultProxy]:
    """A proxy without a fault."""
    with fault_proxy(service.endpoint) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[HTTPConnection]:
    connection = HTTPConnection(urlsplit(proxy.endpoint).netloc, timeout=10)
    yield connection
    connection.close()


def asked(
    client: HTTPConnection, method: str = "POST", body: object = b"", **options: object
) -> tuple[int, bytes]:
    client.request(method, "/api/x?Action=Do&a=1&a=2&b=", body, **options)  # pyright: ignore[reportArgumentType]
    response = client.getresponse()
    return response.status, response.read()


def test_without_a_fault_nothing_changes(client: HTTPConnection) -> None:
    body = b"0123456789" * 100_000
    assert asked(client, body=body) == (201, body)
    assert asked(client, body=io.BytesIO(body), encode_chunked=True) == (201, body)
    assert asked(client, body=iter([b"one", b"two"]), encode_chunked=True) == (201, b"onetwo")
    assert asked(client, "GET") == (201, b"GET")
    assert asked(client, "DELETE") == (201, b"DELETE")
    assert asked(client, "HEAD") == (201, b"")
    client.request("GET", "/api/x?y=%2F", headers={"x-mark": "here"})
    response = client.getresponse()
    assert response.read() == b"GET"
    assert (response.headers["x-seen-target"], response.headers["x-seen-mark"]) == ("/api/x?y=%2F", "here")


def test_a_fault_changes_request_and_answer(proxy: FaultProxy, client: HTTPConnection) -> None:
    def fault(request: Request, forward: Forward) -> Answer:
        assert (request.action, request.parameters) == ("Do", {"Action": "Do", "a": "2", "b": ""})
        answer = forward(request.with_body(b'{"A": 1, "B": 2}'))
        assert answer.members == {"A": 1, "B": 2}
        return answer.with_members(B="two", C=None)

    with proxy.inject(fault):
        assert asked(client, body=b"what was sent") == (201, b'{"A":1,"B":"two","C":null}')
    assert asked(client, body=b"what was sent") == (201, b"what was sent")


def test_a_fault_cuts_the_connection(proxy: FaultProxy, client: HTTPConnection) -> None:
    with proxy.inject(cut), pytest.raises((RemoteDisconnected, ConnectionError)):
        asked(client, body=b"x" * 1000)
    client.close()
    assert asked(client, body=b"x") == (201, b"x")


def test_a_fault_answers_before_the_body_has_come(proxy: FaultProxy, client: HTTPConnection) -> None:
    with proxy.inject(lambda request, forward: Answer(503, (), b"later")):
        assert asked(client, body=b"POST /not/a/request HTTP/1.1\r\n\r\n") == (503, b"later")
    assert asked(client, body=b"x") == (201, b"x")


def test_what_the_service_does_is_passed_on(service: FaultProxy, client: HTTPConnection) -> None:
    large = bytes(40_000_000)
    with service.inject(lambda request, forward: Answer(503, (), b"early")):
        assert asked(client, body=large) == (503, b"early")
    with service.inject(cut), pytest.raises((RemoteDisconnected, ConnectionError)):
        asked(client, body=large)


def test_only_plain_http_is_spoken() -> None:
    with pytest.raises(ValueError, match="plain HTTP"), fault_proxy("https://127.0.0.1/api"):
        pass


def test_a_body_too_large_to_hold_is_refused(client: HTTPConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("maxlake.testing.listener"), "MAX_BODY", 10)
    assert asked(client, body=b"0123456789") == (201, b"0123456789")
    assert asked(client, body=b"0123456789+")[0] == 413
    assert asked(client, body=iter([b"01234", b"56789", b"+"]), encode_chunked=True)[0] == 413


def test_a_body_that_takes_its_time_keeps_nobody_waiting(proxy: FaultProxy, client: HTTPConnection) -> None:
    slow = HTTPConnection(urlsplit(proxy.endpoint).netloc, timeout=10)
    slow.putrequest("POST", "/api/x")
    slow.putheader("Content-Length", "2")
    slow.endheaders(b"1")
    assert asked(client, body=b"quick") == (201, b"quick")
    slow.send(b"2")
    assert slow.getresponse().read() == b"12"
    slow.close()
