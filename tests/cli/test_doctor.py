"""``maxlake doctor``: every ailment is found where it is, and told with a cure."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from maxlake.testing import LocalServer, fault_proxy, faults
from tests.cli.conftest import Ran

STEPS = ["settings", "endpoint", "clock", "access key", "right to list", "storage endpoint", "round trip"]


@pytest.fixture
def doctor(maxlake_command: Callable[..., Ran]) -> Callable[..., Ran]:
    return lambda **options: maxlake_command("doctor", "--json", **options)


def test_a_healthy_connection(doctor: Callable[..., Ran], cli_server: LocalServer) -> None:
    ran = doctor()
    assert ran.status == 0
    assert [(each["check"], each["ok"]) for each in ran.told] == [(step, True) for step in STEPS]
    assert [table.name for table in cli_server.odps().list_tables(prefix="maxlake_doctor")] == []


def ill(ran: Ran, step: str) -> str:
    """What is told about the step that fails; those before it are well, those after it not made."""
    place = STEPS.index(step)
    expected = [True] * place + [False] + [None] * (len(STEPS) - place - 1)
    assert [each["ok"] for each in ran.told] == expected, ran.told
    assert ran.status == 1
    return f"{ran.told[place]['found']} → {ran.told[place]['advice']}"


def test_what_is_wrong_is_found(doctor: Callable[..., Ran], cli_server: LocalServer, tmp_path: Path) -> None:
    def key(access_id: str, secret: str) -> str:
        (tmp_path / "key").write_text(json.dumps({"access_id": access_id, "secret": secret}))
        return str(tmp_path / "key")

    assert "absent" in ill(doctor(key_file="absent"), "settings")
    assert "is the service running" in ill(doctor(endpoint="http://127.0.0.1:9/api"), "endpoint")
    assert "TLS failed" in ill(doctor(endpoint=cli_server.endpoint.replace("http:", "https:")), "endpoint")
    assert "another project" in ill(doctor(project="no_such"), "access key")
    for access_id, cure in (
        (cli_server.access_id, "secret does not belong"),
        ("nobody", "is not known here"),
    ):
        assert cure in ill(doctor(key_file=key(access_id, "x")), "access key")


class _Late(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response_only(200)
        self.send_header("Date", "Thu, 01 Jan 2015 00:00:00 GMT")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def late_service() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Late) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


def test_a_wrong_clock_is_found(doctor: Callable[..., Ran]) -> None:
    with late_service() as endpoint:
        assert "NTP" in ill(doctor(endpoint=endpoint), "clock")


def test_an_upload_that_fails_is_found(doctor: Callable[..., Ran], cli_server: LocalServer) -> None:
    with fault_proxy(cli_server.endpoint) as proxy:
        refused = faults.when(faults.action("TableCreateWriteSession"), faults.truncate(3))
        with proxy.inject(refused):
            assert ill(doctor(endpoint=proxy.endpoint), "round trip")
    assert [table.name for table in cli_server.odps().list_tables(prefix="maxlake_doctor")] == []
