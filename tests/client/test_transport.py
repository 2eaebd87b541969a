"""Connections: reuse, staleness, retries, proxies, time limits."""

import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from maxlake.client import connections
from maxlake.client.errors import BrokenConnectionError, ConnectFailedError, ConnectTimeoutError
from odps import errors, options
from tests.client.replay import ReplayServer, Reply, SecureServer

SESSION = Reply({"SessionId": "s"})
BUSY = Reply({"Code": "ServiceUnavailable", "Message": "stopping"}, 503)


def test_connections_are_reused() -> None:
    with ReplayServer(SESSION) as server:
        client = server.client()
        for _ in range(5):
            client.get_read_session("s")
            client.write_rows_stream("s", 0).finish()
        assert server.connections == 1


def test_a_connection_closed_by_the_service_is_not_reused() -> None:
    with ReplayServer(SESSION) as server:
        client = server.client()
        client.get_read_session("s")
        server.drop_connections()
        time.sleep(0.05)
        client.get_read_session("s")
        assert [each.connection for each in server.requests] == [1, 2]


def test_a_connection_is_not_reused_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CLIENT_IDLE_SECONDS", 0.0)
    with ReplayServer(SESSION) as server:
        client = server.client()
        client.get_read_session("s")
        client.get_read_session("s")
        assert server.connections == 2


def test_connection_close_is_heeded() -> None:
    closing = Reply({"SessionId": "s"}, headers={"Connection": "close"}, close=True)
    with ReplayServer(closing) as server:
        client = server.client()
        client.get_read_session("s")
        client.get_read_session("s")
        assert server.connections == 2


def test_a_fork_does_not_share_connections() -> None:
    with ReplayServer(SESSION) as server:
        client = server.client()
        client.get_read_session("s")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                client.get_read_session("s")
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        client.get_read_session("s")
        assert [each.connection for each in server.requests] == [1, 2, 1]


def test_connecting_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with ReplayServer(SESSION) as server:
        client = server.client()
        failing, connect = iter([True, True, False]), connections.HTTPConnection.connect

        def sometimes(self: Any) -> None:
            if next(failing):
                raise ConnectionRefusedError
            connect(self)

        monkeypatch.setattr(connections.HTTPConnection, "connect", sometimes)
        client.create_read_session()
        assert len(server.requests) == 1


def test_a_service_that_cannot_be_reached_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(self: Any) -> None:
        raise TimeoutError

    monkeypatch.setattr(connections.HTTPConnection, "connect", slow)
    with ReplayServer() as server, pytest.raises(ConnectTimeoutError) as caught:
        server.client().create_read_session()
    assert isinstance(caught.value, errors.ConnectTimeout)
    assert isinstance(caught.value, TimeoutError)


def test_a_silent_service_is_given_up() -> None:
    patience, options.read_timeout = options.read_timeout, 1
    listener = socket.create_server(("127.0.0.1", 0))
    try:
        with ReplayServer() as server:
            client = server.client(rest_endpoint=f"http://127.0.0.1:{listener.getsockname()[1]}")
            with pytest.raises(BrokenConnectionError, match="timed out"):
                client.create_read_session()
            writer = client.write_rows_stream("s", 0)
            with pytest.raises(BrokenConnectionError, match="took no data"):
                writer.write(bytes(100_000_000))
    finally:
        options.read_timeout = patience
        listener.close()


def test_temporary_credentials_are_renewed_once() -> None:
    expired = Reply({"Code": "AuthenticationRequestExpired", "Message": "old"}, 400)
    with ReplayServer(expired, SESSION) as server:
        client = server.client()
        renewed: list[bool] = []
        client._odps.account.reload = renewed.append
        assert client.create_read_session().session_id == "s"
        assert renewed == [True]
    with ReplayServer(expired) as server:
        client = server.client()
        with pytest.raises(errors.AuthenticationRequestExpired):
            client.create_read_session()
        assert len(server.requests) == 1


def test_a_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with ReplayServer(SESSION) as proxy:
        monkeypatch.setenv("http_proxy", proxy.endpoint.replace("://", "://user:pa%40ss@"))
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        client = proxy.client(rest_endpoint="http://storage.test")
        client.create_read_session()
        assert proxy.last.target.startswith("http://storage.test/api/storage/v2?")
        assert proxy.last.headers["host"] == "storage.test"
        assert proxy.last.headers["proxy-authorization"] == "Basic dXNlcjpwYUBzcw=="
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        proxy.client().create_read_session()
        assert proxy.last.target.startswith("/api/storage/v2?")


@pytest.mark.parametrize("endpoint", ["ftp://h", "storage.test", "http://"])
def test_an_endpoint_is_a_url(endpoint: str) -> None:
    with ReplayServer() as server, pytest.raises(ValueError, match="URL"):
        server.client(rest_endpoint=endpoint).create_read_session()


def test_tls(certificate: tuple[Path, Path]) -> None:
    verify = options.verify_ssl
    try:
        with SecureServer(*certificate, SESSION) as server:
            with pytest.raises(ConnectFailedError, match="certificate"):
                server.client().create_read_session()
            for trust in (str(certificate[0]), False):
                options.verify_ssl = trust
                client = server.client()
                client.create_read_session()
                writer = client.write_rows_stream("s", 0)
                assert writer.write(bytes(3_000_000))
                assert writer.finish()[1]
                assert len(server.last.body) == 3_000_000
            storage = [each for each in server.requests if each.path == "/api/storage/v2"]
            assert len(storage) == 4
            assert len({each.connection for each in storage}) == 2
    finally:
        options.verify_ssl = verify


def test_a_header_that_cannot_be_sent_is_refused() -> None:
    with ReplayServer(SESSION) as server:
        client = server.client()
        with pytest.raises(ValueError, match="route_token"):
            client.create_write_stream("s", 0, route_token="a\r\nEvil: 1")
        client.create_write_stream("s", 0)
        assert len(server.requests) == 1


def test_a_service_without_tls_is_told_apart() -> None:
    with ReplayServer() as server:
        client = server.client(rest_endpoint=server.endpoint.replace("http:", "https:"))
        with pytest.raises(ConnectFailedError) as caught:
            client.create_read_session()
        assert isinstance(caught.value, errors.ODPSError)
        assert server.connections == 1
