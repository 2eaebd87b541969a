"""Deadlines: no operation takes longer, however slowly the service goes on."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from maxlake.client import retry_budget
from maxlake.client.errors import DeadlineExceededError
from maxlake.protocol.errors import BusyError
from odps import errors, options
from tests.client.replay import ReplayServer, Reply, SecureServer
from tests.client.test_blobs import checked, framed
from tests.client.test_streams import BATCHES, ROWS
from tests.client.test_survival import BUSY, read_all

SECONDS = 0.4
#: Between two bytes: an answer would take minutes.
PAUSE = 0.02
#: How much later than the deadline a busy machine may be.
PATIENCE = 5

SESSION = Reply({"SessionId": "s", "SessionStatus": "NORMAL", "Message": "x" * 10_000})
LONG = "x" * 10_000

Serving = Callable[..., ReplayServer]


class _Slow:
    """A connection that takes or gives so many bytes at once, and then byte by byte."""

    def __init__(self, connection: socket.socket, at_once: int) -> None:
        self._connection = connection
        self._at_once = at_once

    def sendall(self, data: bytes) -> None:
        self._connection.sendall(data[: self._at_once])
        for position in range(self._at_once, len(data)):
            time.sleep(PAUSE)
            self._connection.sendall(data[position : position + 1])


def slowly(kind: Serving, at_once: int) -> Serving:
    """Servers of this kind, whose answers drip after the first bytes."""

    class Dripping(kind):  # type: ignore[misc,valid-type]
        def _answer(self, connection: Any, file: Any, line: str, number: int) -> bool:
            return super()._answer(_Slow(connection, at_once), file, line, number)

    return Dripping


@pytest.fixture(params=["http", "https"])
def serving(request: pytest.FixtureRequest, certificate: tuple[Path, Path]) -> Iterator[Serving]:
    """How to start a dripping server, by the bytes it sends at once."""
    if request.param == "http":
        yield lambda at_once, *replies: slowly(ReplayServer, at_once)(*replies)
        return
    trusted, options.verify_ssl = options.verify_ssl, str(certificate[0])
    yield lambda at_once, *replies: slowly(SecureServer, at_once)(*certificate, *replies)
    options.verify_ssl = trusted


def client_of(server: ReplayServer, seconds: float | None = SECONDS) -> Any:
    client = server.client(retry_seconds=60)
    client.deadline_seconds = seconds
    return client


def in_time(
    call: Callable[[], object], seconds: float = SECONDS, earlier: float = 0.2
) -> DeadlineExceededError:
    """The error of a call that ends with its deadline, or so much earlier."""
    started = time.monotonic()
    with pytest.raises(
        DeadlineExceededError, match=f"within the {seconds:g} s of deadline_seconds"
    ) as failed:
        call()
    assert seconds - earlier <= time.monotonic() - started < seconds + PATIENCE
    assert isinstance(failed.value, errors.ODPSError)
    assert isinstance(failed.value, TimeoutError)
    assert isinstance(failed.value, BusyError)
    assert failed.value.retryable
    return failed.value


def test_an_answer_that_drips(serving: Serving) -> None:
    """In its status line, its headers, its body."""
    for at_once in (0, 30, 500):
        with serving(at_once, SESSION) as server:
            in_time(client_of(server).create_read_session)


@pytest.mark.parametrize("chunked", [True, False])
def test_rows_that_drip(chunked: bool) -> None:
    with slowly(ReplayServer, len(ROWS) - 500)(Reply(ROWS, chunked=chunked)) as server:
        reader = client_of(server).read_rows_arrow("s", 0)
        assert reader.read() == BATCHES[0]
        in_time(lambda: read_all(reader))
        in_time(lambda: read_all(client_of(server).preview_table_arrow()))


def test_blobs_that_drip() -> None:
    with slowly(ReplayServer, 200)(Reply(checked(framed(*[(bytes(100), None)] * 50)))) as server:
        in_time(lambda: list(client_of(server).read_blobs(["r"] * 50)))


def test_without_a_deadline_dripping_is_not_an_error() -> None:
    with slowly(ReplayServer, 10_100)(SESSION) as server:
        assert client_of(server, None).create_read_session().session_id == "s"
        assert client_of(server, 60).create_read_session().session_id == "s"


@pytest.mark.parametrize("kind", ["rows", "once", "blob"])
def test_a_service_that_hardly_takes_anything(kind: str) -> None:
    class Sipping(ReplayServer):
        def _answer(self, connection: Any, file: Any, line: str, number: int) -> bool:
            while file.read(1000):
                time.sleep(PAUSE)
            return False

    with Sipping() as server:
        client = client_of(server)
        writer = {
            "rows": lambda: client.write_rows_stream("s", 0),
            "once": lambda: client.write_rows_stream("s", 0, row_offset=0, access_token="t"),
            "blob": lambda: client.write_blob_stream("s", 0),
        }[kind]()
        piece = bytes(1_000_000)

        def write() -> None:
            while True:
                writer.write(piece)

        in_time(write)


def test_an_answer_to_an_upload_that_does_not_come() -> None:
    with slowly(ReplayServer, 0)(Reply({"CommitMessage": LONG})) as server:
        writer = client_of(server).write_rows_stream("s", 0)
        writer.write(b"rows")
        in_time(writer.finish)
    with slowly(ReplayServer, 10_000)(Reply(), Reply({"CommitMessage": LONG})) as server:
        stream = client_of(server).upload_stream("s", 0)
        stream.write(pa.record_batch({"id": [1]}))
        in_time(stream.finish)
        assert stream.stream_version == 0


def test_a_connection_that_does_not_come() -> None:
    """The machine answers, and then nothing: no TLS begins."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ReplayServer() as server:
        client = server.client(rest_endpoint=f"https://127.0.0.1:{listener.getsockname()[1]}")
        client.deadline_seconds = SECONDS
        in_time(client.create_read_session)


def test_no_attempt_is_made_after_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_budget, "CLIENT_RETRY_PAUSE", 0.001)
    with ReplayServer(BUSY) as server:
        client = client_of(server)
        # Who would have to wait beyond it does not wait at all.
        in_time(client.create_read_session, earlier=SECONDS)
        in_time(lambda: client.commit_write_session("s"), earlier=SECONDS)
        in_time(lambda: client.read_rows_arrow("s", 0).read(), earlier=SECONDS)
        client.retry_seconds = 0
        with pytest.raises(errors.ODPSError, match="stopping") as failed:
            client.create_read_session()
        assert not isinstance(failed.value, DeadlineExceededError)


def test_your_own_time_counts() -> None:
    with ReplayServer(Reply(ROWS)) as server:
        reader = client_of(server, 0.2).read_rows_arrow("s", 0)
        reader.read()
        time.sleep(0.3)
        with pytest.raises(DeadlineExceededError):
            read_all(reader)


def test_a_connection_that_is_used_again_has_its_time_again() -> None:
    with ReplayServer(SESSION) as server:
        client = client_of(server, 30)
        client.create_read_session()
        client.deadline_seconds = None
        client.create_read_session()
        assert server.connections == 1
        ((connection, _),) = client._transport._pool._idle
        assert connection.sock.gettimeout() == options.read_timeout
