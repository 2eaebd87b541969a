"""The real server process: raw bytes on its socket, its start and its end."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest

from maxlake.protocol import limits, signing
from maxlake.testing import LocalServer, ServerDiedError, local_server

STORAGE = "/api/storage/v2?Target=projects.demo.tables.t&Action="


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with local_server() as running:
        yield running


def _address(server: LocalServer) -> tuple[str, int]:
    host, _, port = server.endpoint.removeprefix("http://").removesuffix("/api").partition(":")
    return host, int(port)


def _signed(server: LocalServer, method: str, target: str, **headers: str) -> bytes:
    fields = {"Host": "h:1", "Date": format_datetime(datetime.now(UTC), usegmt=True)}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    request = signing.SignedRequest(method, target, tuple(fields.items()))
    text = signing.canonical_candidates(request)[0]
    fields["Authorization"] = signing.sign_v2(server.access_id, server.secret, text)
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def _until_closed(connection: socket.socket) -> bytes:
    received = b""
    try:
        while piece := connection.recv(65536):
            received += piece
    except ConnectionError:
        pass
    return received


def _talk(server: LocalServer, *pieces: bytes) -> bytes:
    with socket.create_connection(_address(server), timeout=20) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
        except ConnectionError:
            pass
        return _until_closed(connection)


def _alive(server: LocalServer) -> bool:
    answer = _talk(server, b"GET /api/logview/host HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    return answer.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/api/tenants", b"200 OK"),
        ("/api/projects/no", b"404 Not Found"),
        (f"{STORAGE}None", b"400 Bad Request"),
    ],
)
def test_headers_are_spelled_as_cpp_looks_for_them(server, target, status):
    answer = _talk(server, _signed(server, "GET", target, Connection="close"))
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    assert first == b"HTTP/1.1 " + status
    names = [line.partition(b":")[0] for line in lines]
    assert names.count(b"Content-Length") == 1
    assert names.count(b"x-odps-request-id") == 1
    assert [name for name in names if name != name.lower()] == [b"Content-Length"]
    assert f"Content-Length: {len(body)}".encode() in lines


def test_a_body_that_looks_like_a_head_is_left_alone(server):
    target = f"{STORAGE}content-length:%20x"
    answer = _talk(server, _signed(server, "GET", target, Connection="close"))
    assert answer.count(b"Content-Length: ") == 1
    assert b"content-length: x" in answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost h\r\n\r\n",
    ],
    ids=range(7),
)
def test_what_is_no_http_is_refused_with_a_request_id(server, request_bytes):
    answer = _talk(server, request_bytes)
    assert answer.startswith((b"HTTP/1.1 400 Bad Request\r\n", b"HTTP/1.1 401 "))
    assert b"\r\nx-odps-request-id: " in answer
    assert _alive(server)


def _memory(server: LocalServer) -> int:
    with Path(f"/proc/{server.pid}/status").open() as status:
        fields = dict(line.split(":", 1) for line in status)
    return (int(fields["RssAnon"].split()[0]) + int(fields["RssShmem"].split()[0])) * 1024


@pytest.mark.parametrize(
    ("head", "filler"),
    [
        (b"GET / HTTP/1.1\r\nX: ", b"a" * 65536),
        (b"GET /", b"a" * 65536),
        (b"GET / HTTP/1.1\r\n", b"X-A: b\r\n" * 8192),
        (
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"1;" + b"e" * 65000 + b"\r\nx\r\n",
        ),
    ],
    ids=["value", "target", "fields", "extensions"],
)
def test_an_endless_head_is_cut_and_costs_no_memory(server, head, filler):
    # What the server loads in the background after its start is there once a statement has run.
    server.odps().execute_sql("CREATE TABLE IF NOT EXISTS t (id bigint);")
    before = _memory(server)
    _talk(server, head, *[filler] * 1000)
    assert _memory(server) - before < 16 * 1024 * 1024
    assert _alive(server)


def test_an_upload_that_breaks_off_leaves_the_server_well(server):
    target = f"{STORAGE}TableWrite&SessionId=s&StreamId=0&StreamVersion=0"
    with socket.create_connection(_address(server)) as connection:
        connection.sendall(_signed(server, "POST", target, Content_Length="1000000") + b"x" * 1000)
    assert _alive(server)


def test_an_early_refusal_reaches_a_client_that_is_still_sending(server):
    target = f"{STORAGE}TableWrite&SessionId=s&StreamId=0&StreamVersion=0"
    head = _signed(server, "POST", target, Content_Length=str(8 << 20), Connection="close")
    answer = _talk(server, head, *[bytes(1 << 20)] * 8)
    assert answer.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert b"NoSuch" in answer


def test_an_oversized_upload_is_refused_before_it_is_sent(server):
    server.odps().execute_sql("CREATE TABLE IF NOT EXISTS t (id bigint);")
    target = f"{STORAGE}TableWrite&SessionId=s&StreamId=0&StreamVersion=0"
    head = _signed(server, "POST", target, Content_Length=str(limits.MAX_UPLOAD_BODY + 1))
    with socket.create_connection(_address(server), timeout=20) as connection:
        connection.sendall(head)
        answer = b""
        while b"}" not in answer:
            answer += connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"RequestTooLarge" in answer
    assert _alive(server)


def test_the_ready_file_and_the_key_file(server):
    ready = json.loads((server.root / "ready.json").read_text())
    assert ready == {"endpoint": server.endpoint, "pid": server.pid}
    mode = (server.root / "access-key.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert server.secret not in server.log
    assert stat.S_IMODE(server.log_path.stat().st_mode) == 0o600
    assert "from odps import ODPS" in server.log


def test_the_printed_snippet_runs(server):
    start, last = server.log.index("import json"), "print(list(o.list_tables()))"
    program = server.log[start : server.log.index(last) + len(last)]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_key_survives_a_restart_and_the_port_too(tmp_path):
    with local_server(tmp_path) as server:
        before = (server.access_id, server.secret, server.endpoint, server.pid)
        server.restart()
        assert (server.access_id, server.secret, server.endpoint) == before[:3]
        assert server.pid != before[3]
    with local_server(tmp_path) as server:
        assert (server.access_id, server.secret) == before[:2]
        assert server.odps().exist_project("demo")


def test_the_environments_key_counts(tmp_path):
    environment = {"MAXLAKE_ACCESS_ID": "someone", "MAXLAKE_ACCESS_SECRET": "something"}
    with local_server(tmp_path, environment=environment) as server:
        assert (server.access_id, server.secret) == ("someone", "something")
        assert server.odps().exist_project("demo")
        assert not (tmp_path / "access-key.json").exists()


def test_half_a_key_is_refused(tmp_path):
    with pytest.raises(ServerDiedError, match="MAXLAKE_ACCESS_SECRET"):  # noqa: SIM117
        with local_server(tmp_path, environment={"MAXLAKE_ACCESS_ID": "someone"}):
            pass


def test_sigterm_ends_an_idle_server_with_0_at_once():
    with local_server() as server, socket.create_connection(_address(server)):
        started = time.monotonic()
        assert server.terminate() == 0
        assert time.monotonic() - started < 3


@pytest.mark.slow
def test_sigterm_ends_a_server_with_a_stuck_upload_with_0_in_10_s():
    with local_server() as server:
        odps = server.odps()
        odps.execute_sql("CREATE TABLE t (id bigint);")
        create = _signed(
            server, "POST", f"{STORAGE}TableCreateWriteSession", Connection="close", Content_Length="2"
        )
        session = json.loads(_talk(server, create, b"{}").partition(b"\r\n\r\n")[2])["SessionId"]
        stream = f"&SessionId={session}&StreamId=0&StreamVersion=0"
        open_stream = _signed(
            server, "POST", f"{STORAGE}TableCreateWriteStream{stream}", Connection="close", Content_Length="2"
        )
        assert b" 200 OK" in _talk(server, open_stream, b"{}")
        with socket.create_connection(_address(server)) as connection:
            connection.sendall(_signed(server, "POST", f"{STORAGE}TableWrite{stream}", Content_Length="1000"))
            time.sleep(0.5)
            started = time.monotonic()
            os.kill(server.pid, signal.SIGTERM)
            assert server.terminate() == 0
            assert time.monotonic() - started <= 10
            answer = _until_closed(connection)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"x-odps-request-id: " in answer


@pytest.mark.slow
def test_a_cold_start_costs_at_most_a_second_and_a_half(tmp_path):
    """Of processor time, once in ten times: what it takes depends on who else uses the machine, too."""
    used: list[float] = []
    for number in range(10):
        with local_server(tmp_path / str(number)) as server:
            fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
            used.append((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
        if used[-1] <= 1.5:
            return
    pytest.fail(f"seconds: {used}")


@pytest.mark.slow
def test_a_head_that_does_not_come_is_not_waited_for(server):
    with socket.create_connection(_address(server), timeout=limits.REQUEST_HEAD_TIME + 10) as connection:
        connection.sendall(b"GET /api/x HTTP/1.1\r\nHost: x\r\nA")
        answer = _until_closed(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"RequestTimeout" in answer


def test_too_many_connections_are_refused_with_an_answer(server):
    before = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    assert before[0] == before[1]
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (120, before[1]))
    open_ones = [socket.create_connection(_address(server), timeout=20) for _ in range(60)]
    try:
        answer = _talk(server)
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, before)
        for connection in open_ones:
            connection.close()
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert b"FlowExceeded" in answer
    assert _alive(server)
