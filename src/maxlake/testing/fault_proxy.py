"""``fault_proxy()``: an HTTP proxy before a service, in which a test makes things go wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

#: A request is held whole to be changed: enough for any test, too little to harm the machine.
MAX_BODY = 256 * 1024 * 1024
#: Seconds the service may take for an answer; its own long calls end before that.
_UPSTREAM_TIMEOUT = 120.0
#: Seconds until the end of a test is noticed.
_POLL = 0.02
#: They speak of one connection, and the proxy has two.
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect"}

Headers = tuple[tuple[str, str], ...]

_MEMBERS = msgspec.json.Decoder(dict[str, Any])


class _BodyTooLargeError(Exception):
    """A request is larger than MAX_BODY."""


class ConnectionCut(Exception):  # noqa: N818 - what a fault does, not what went wrong
    """Raised by a fault to close the client's connection instead of answering."""


@dataclass(frozen=True)
class ProxiedRequest:
    """What a client asks. Its body is received when it is first looked at."""

    method: str
    #: Path and query.
    target: str
    headers: Headers
    receive: Callable[[], bytes]

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The query's parameters, the last of each name."""
        query = parse_qs(urlsplit(self.target).query, keep_blank_values=True)
        return {name: values[-1] for name, values in query.items()}

    @property
    def action(self) -> str:
        """The Storage API's action, "" for a call of REST."""
        return self.parameters.get("Action", "")

    @property
    def body(self) -> bytes:
        """All of the body, without its transfer coding."""
        return self.receive()

    def with_body(self, body: bytes) -> ProxiedRequest:
        """Return the same request with another body: signatures do not cover it."""
        return replace(self, receive=lambda: body)


@dataclass(frozen=True)
class ProxiedAnswer:
    """What the client is answered: the body's first ``break_after`` bytes, then what comes next.

    That is by default the rest, after ``stall`` seconds; the connection's end where ``cut`` says so.
    """

    status: int
    headers: Headers
    body: bytes
    break_after: int = 0
    stall: float = 0.0
    cut: bool = False

    @property
    def members(self) -> dict[str, Any]:
        """The members of the JSON object that is the body."""
        return _MEMBERS.decode(self.body)

    def with_members(self, **members: object) -> ProxiedAnswer:
        """Return the same answer with other members, by the names they have in JSON."""
        return replace(self, body=msgspec.json.encode({**self.members, **members}))


Forward = Callable[[ProxiedRequest], ProxiedAnswer]
#: Stands between client and service: may change the request, forward it or not, change the answer, or
#: raise ConnectionCut. Called by many threads at once.
Fault = Callable[[ProxiedRequest, Forward], ProxiedAnswer]


class FaultProxy:
    """A running proxy; without a fault it changes nothing. Made by ``fault_proxy``."""

    def __init__(self, service: str) -> None:
        parts = urlsplit(service)
        if parts.scheme != "http":
            raise ValueError(f"the fault proxy speaks plain HTTP only, not {service!r}")
        self._service = parts.netloc
        self._fault: Fault | None = None
        self._listener = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self.answer))
        #: Where clients reach the service through the proxy.
        self.endpoint = f"http://127.0.0.1:{self._listener.server_port}{parts.path}"

    @contextmanager
    def inject(self, fault: Fault) -> Generator[None]:
        """Let ``fault`` have every request that comes within the ``with``."""
        self._fault = fault
        try:
            yield
        finally:
            self._fault = None

    @contextmanager
    def running(self) -> Generator[FaultProxy]:
        """Accept requests within the ``with``."""
        serve = partial(self._listener.serve_forever, _POLL)
        thread = Thread(target=serve, name="maxlake-fault-proxy", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._listener.shutdown()
            self._listener.server_close()
            thread.join()

    def answer(self, request: ProxiedRequest) -> ProxiedAnswer:
        """Ask the service, with the fault in between if there is one."""
        fault = self._fault
        return self._forward(request) if fault is None else fault(request, self._forward)

    def _forward(self, request: ProxiedRequest) -> ProxiedAnswer:
        service = HTTPConnection(self._service, timeout=_UPSTREAM_TIMEOUT)
        try:
            service.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers:
                service.putheader(name, value)
            service.putheader("Content-Length", str(len(request.body)))
            with suppress(BrokenPipeError, ConnectionResetError):  # it may answer before it has all
                service.endheaders(request.body)
            response = service.getresponse()
            headers = _end_to_end(response.getheaders())
            return ProxiedAnswer(response.status, headers, response.read())
        except (OSError, HTTPException) as error:  # what the client would see without a proxy
            raise ConnectionCut from error
        finally:
            service.close()


@contextmanager
def fault_proxy(endpoint: str) -> Generator[FaultProxy]:
    """Run a proxy on this machine for the service at ``endpoint``, such as ``LocalServer.endpoint``.

    Raises ValueError unless that is an ``http://`` address.
    """
    with FaultProxy(endpoint).running() as proxy:
        yield proxy


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, answer: Forward, *connection: Any) -> None:
        self._answer = answer
        super().__init__(*connection)

    def _proxy(self) -> None:
        receive = cache(self._receive)
        request = ProxiedRequest(self.command, self.path, _end_to_end(self.headers.items()), receive)
        try:
            answer = self._answer(request)
        except ConnectionCut:
            self.close_connection = True
            return
        except _BodyTooLargeError:
            self.send_error(413, f"the fault proxy takes bodies of at most {MAX_BODY} bytes")
            return
        # What was not received would be taken for the next request.
        self.close_connection = self.close_connection or not receive.cache_info().currsize
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        if self.command == "HEAD":
            self.end_headers()
            return
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self._send_body(answer)

    def _send_body(self, answer: ProxiedAnswer) -> None:
        self.wfile.write(answer.body[: answer.break_after])
        if answer.stall:
            self.wfile.flush()
            time.sleep(answer.stall)
        if answer.cut:
            self.close_connection = True
            return
        self.wfile.write(answer.body[answer.break_after :])

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _proxy  # noqa: N815 - the base class's names

    def _receive(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self._exactly(int(self.headers.get("Content-Length", 0)), MAX_BODY)
        body = bytearray()
        while size := int(self._line().partition(b";")[0], 16):
            body += self._exactly(size, MAX_BODY - len(body))
            self._line()
        self._line()
        return bytes(body)

    def _line(self) -> bytes:
        line = self.rfile.readline()
        if not line:  # the client is gone
            raise ConnectionCut
        return line

    def _exactly(self, size: int, at_most: int) -> bytes:
        if size > at_most:
            raise _BodyTooLargeError
        data = self.rfile.read(size)
        if len(data) < size:  # as above
            raise ConnectionCut
        return data

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: what goes wrong here is meant to."""


def _end_to_end(headers: Iterable[tuple[str, str]]) -> Headers:
    return tuple((name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP)
