"""A small HTTP server that answers as told, byte by byte, and keeps what it was sent."""

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from odps.models import Instance, Instances, Table, Tables

from maxlake.client import StorageApiArrowClient
from odps import ODPS, options

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "storage_api_v2-0.13.0-api2"
ACCESS_ID, SECRET = "AKID", "AKSECRET"


@dataclass
class Sent:
    """A request as it arrived, its body decoded from chunks."""

    method: str
    target: str
    headers: dict[str, str]
    chunk_sizes: list[int]
    body: bytes
    connection: int

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def action(self) -> str:
        return self.params["Action"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    """An answer. ``cut`` drops the connection after so many bytes of the (encoded) body."""

    body: bytes | dict[str, Any] = b"{}"
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"x-odps-request-id": "req-1"})
    chunked: bool = False
    cut: int | None = None
    close: bool = False
    early: bool = False

    def encode(self) -> bytes:
        body = json.dumps(self.body).encode() if isinstance(self.body, dict) else self.body
        headers = dict(self.headers)
        if self.chunked:
            headers["Transfer-Encoding"] = "chunked"
            size = max(1, len(body) // 3)
            pieces = [body[at : at + size] for at in range(0, len(body), size)]
            body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        else:
            headers["Content-Length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {self.status} Text\r\n{head}\r\n".encode() + body[: self.cut]


HANG_UP = Reply(body=b"", status=0)


class ReplayServer:
    """Answers the n-th request with the n-th reply, and every further one with the last.

    While ``reading`` is cleared, chunked bodies are left in the sockets.
    """

    def __init__(self, *replies: Reply) -> None:
        self._replies = list(replies) or [Reply()]
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self.requests: list[Sent] = []
        self.connections = 0
        self.reading = threading.Event()
        self.reading.set()
        self.endpoint = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "ReplayServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.reading.set()
        self.drop_connections()

    @property
    def last(self) -> Sent:
        return self.requests[-1]

    def client(self, kind: Callable[..., Any] = StorageApiArrowClient, **how: Any) -> Any:
        """A client that tries nothing again, unless ``retry_seconds`` say otherwise."""
        how.setdefault("rest_endpoint", self.endpoint)
        # PyODPS asks https endpoints for their web console, plain ones for nothing.
        plain = self.endpoint.replace("https:", "http:")
        seconds = how.pop("retry_seconds", 0)
        client = kind(entry(plain), how.pop("subject", None) or table(), **how)
        client.retry_seconds = seconds
        return client

    def drop_connections(self) -> None:
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open.clear()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with connection, connection.makefile("rb") as file:
            try:
                while line := file.readline():
                    if not self._answer(connection, file, line.decode(), number):
                        return
            except (OSError, ValueError):
                return

    def _answer(self, connection: socket.socket, file: Any, line: str, number: int) -> bool:
        method, target, _ = line.split()
        headers: dict[str, str] = {}
        while (header := file.readline().decode().rstrip("\r\n")) != "":
            name, _, value = header.partition(":")
            headers[name.strip().lower()] = value.strip()
        with self._lock:
            reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        if "transfer-encoding" in headers:
            self.reading.wait()
        sizes, body = ([], b"") if reply.early else _read_body(file, headers)
        self.requests.append(Sent(method, target, headers, sizes, body, number))
        if reply is HANG_UP:
            return False
        connection.sendall(reply.encode())
        if reply.early:
            # As real servers do: say it, then hang up only after a moment.
            connection.shutdown(socket.SHUT_WR)
            while file.read(65536):
                pass
        return not (reply.close or reply.early or reply.cut is not None)


class SecureServer(ReplayServer):
    """The same over TLS, with a certificate nobody else vouches for."""

    def __init__(self, certificate: Path, key: Path, *replies: Reply) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        super().__init__(*replies)
        self.endpoint = self.endpoint.replace("http://127.0.0.1", "https://localhost")

    def _serve(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(ssl.SSLError):
            super()._serve(self._context.wrap_socket(connection, server_side=True), number)


def _read_body(file: Any, headers: dict[str, str]) -> tuple[list[int], bytes]:
    if headers.get("transfer-encoding") != "chunked":
        return [], file.read(int(headers.get("content-length", "0")))
    sizes, body = list[int](), b""
    while size := int(file.readline(), 16):
        sizes.append(size)
        body += file.read(size)
        file.read(2)
    file.readline()
    return sizes, body


def entry(endpoint: str, **how: Any) -> ODPS:
    # With a logview host of the older kind given, making the entry object asks the service for nothing.
    options.use_legacy_logview = True
    how = {"logview_host": "http://logview.test", "overwrite_global": False, **how}
    return ODPS(ACCESS_ID, SECRET, "p", endpoint=f"{endpoint}/api", **how)


def table(endpoint: str = "http://127.0.0.1:1") -> Table:
    odps = entry(endpoint)
    return Table(name="t", parent=Tables(parent=odps.get_project(), client=odps.rest), client=odps.rest)


def instance(endpoint: str = "http://127.0.0.1:1") -> Instance:
    odps = entry(endpoint)
    return Instance(
        name="i1", parent=Instances(parent=odps.get_project(), client=odps.rest), client=odps.rest
    )


def vector(label: str) -> dict[str, Any]:
    """A captured file by its name without number and suffix."""
    (path,) = VECTORS.glob(f"[0-9][0-9][0-9]-{label}.json")
    content = json.loads(path.read_text())
    for exchange in content["exchanges"]:
        for side in exchange.values():
            side["bytes"] = (
                (VECTORS / side["body_file"]).read_bytes()
                if "body_file" in side
                else (side.get("body") or "").encode()
            )
    return content


def captured(label: str) -> tuple[dict[str, Any], Reply]:
    """The storage exchange of a captured file: the request, and its answer to be replayed."""
    exchanges = vector(label)["exchanges"]
    (exchange,) = [each for each in exchanges if "/api/storage/v2" in each["request"]["target"]][-1:]
    response = exchange["response"]
    unwanted = ("content-length", "transfer-encoding")
    headers = {name: value for name, value in response["headers"] if name.lower() not in unwanted}
    return exchange["request"], Reply(response["bytes"], response["status"], headers)
