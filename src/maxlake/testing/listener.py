"""An HTTP/1.1 listener on this machine whose answers are a function's: what the kit's servers stand on."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol
from urllib.parse import parse_qs, urlsplit

import msgspec

if TYPE_CHECKING:
    from email.message import Message

#: Requests and answers are held whole to be changed or kept: enough for tests, too little to do harm.
MAX_BODY = 256 * 1024 * 1024
#: Bytes of a body taken at a time.
_PIECE = 1024 * 1024
#: Bound by the receiver alone; BBR, the default of many systems, halves the speed within a machine.
_UNPACED = b"reno"
#: Seconds until the end of a test is noticed.
_POLL = 0.02
#: They speak of one connection, and a proxy has two.
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect"}

Headers = tuple[tuple[str, str], ...]

_MEMBERS = msgspec.json.Decoder(dict[str, Any])


class BodyTooLargeError(Exception):
    """A request or answer is larger than MAX_BODY."""


class ConnectionCut(Exception):  # noqa: N818 - what a test does, not what went wrong
    """Raised to close the client's connection instead of answering."""


@dataclass(frozen=True)
class Request:
    """What a client asks, as it arrived. Its body is received when it is first looked at."""

    method: str
    #: Path and query.
    target: str
    headers: Headers
    #: Receives the body, without its transfer coding; a piece is valid until the next.
    receive: Callable[[], Iterable[bytes | memoryview]]
    _body: bytes | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def path(self) -> str:
        """The target without its query."""
        return urlsplit(self.target).path

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
        """All of the body. Raises BodyTooLargeError."""
        # A cached_property's lock is one for all requests, and a body may wait for another's (Python 3.11).
        if self._body is None:
            body = bytearray()
            for piece in self.receive():
                body += piece
                if len(body) > MAX_BODY:
                    raise BodyTooLargeError
            object.__setattr__(self, "_body", bytes(body))
        assert self._body is not None
        return self._body

    def with_body(self, body: bytes) -> Request:
        """Return the same request with another body: signatures do not cover it."""
        return replace(self, receive=lambda: (body,))


class Sendable(Protocol):
    """What a client can be answered with."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Headers:
        """All headers but those of the connection."""
        ...

    @property
    def length(self) -> int:
        """Bytes of the body."""
        ...

    def send_body(self, connection: socket.socket) -> None:
        """Send the body; raises ConnectionCut to send no more."""
        ...


@dataclass(frozen=True)
class Answer:
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

    def with_members(self, **members: object) -> Answer:
        """Return the same answer with other members, by the names they have in JSON."""
        return replace(self, body=msgspec.json.encode({**self.members, **members}))

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return len(self.body)

    def send_body(self, connection: socket.socket) -> None:
        """Send the body as far as it goes."""
        connection.sendall(self.body[: self.break_after])
        if self.stall:
            time.sleep(self.stall)
        if self.cut:
            raise ConnectionCut
        connection.sendall(self.body[self.break_after :])


def json_answer(members: object, status: int = 200, headers: Headers = ()) -> Answer:
    """Return a JSON object as answer."""
    return Answer(status, (("Content-Type", "application/json"), *headers), msgspec.json.encode(members))


#: Answers a request, or raises ConnectionCut. Called by many threads at once.
Respond = Callable[[Request], Sendable]


class Listener:
    """Accepts requests on a port of this machine, by default a free one, while ``running``."""

    def __init__(self, respond: Respond, port: int = 0) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, respond))
        #: Where clients reach it.
        self.address = f"127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Generator[None]:
        """Accept requests within the ``with``."""
        serve = partial(self._server.serve_forever, _POLL)
        thread = Thread(target=serve, name="maxlake-testing", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, respond: Respond, *connection: Any) -> None:
        self._respond = respond
        super().__init__(*connection)

    def setup(self) -> None:
        super().setup()
        with suppress(AttributeError, OSError):  # not every system has it, or allows a choice
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, _UNPACED)

    def _serve(self) -> None:
        body = _Body(self.rfile, self.headers)
        request = Request(self.command, self.path, end_to_end(self.headers.items()), body.pieces)
        try:
            answer = self._respond(request)
            # What was not received would be taken for the next request.
            self.close_connection = self.close_connection or not body.received
            self._send_head(answer)
            if self.command != "HEAD":
                answer.send_body(self.connection)
        except (ConnectionCut, ConnectionError):  # meant to be cut, or the client is gone
            self.close_connection = True
        except BodyTooLargeError:
            self.send_error(413, f"at most {MAX_BODY} bytes are taken")

    def _send_head(self, answer: Sendable) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        if self.command != "HEAD":
            self.send_header("Content-Length", str(answer.length))
        self.end_headers()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the base class's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: what goes wrong here is meant to."""


class _Body:
    """The body of a request that is still in its connection."""

    def __init__(self, file: Any, headers: Message) -> None:
        self._file: BinaryIO = file
        self._chunked = headers.get("Transfer-Encoding", "").lower() == "chunked"
        self._length = int(headers.get("Content-Length", 0))
        self.received = False

    def pieces(self) -> Iterator[memoryview]:
        """Receive the body, once. Raises ConnectionCut if the client is gone before its end."""
        buffer = memoryview(bytearray(_PIECE))
        if self._chunked:
            while size := int(self._line().partition(b";")[0], 16):
                yield from self._exactly(size, buffer)
                self._line()
            self._line()
        else:
            yield from self._exactly(self._length, buffer)
        self.received = True

    def _line(self) -> bytes:
        line = self._file.readline()
        if not line:
            raise ConnectionCut
        return line

    def _exactly(self, size: int, buffer: memoryview) -> Iterator[memoryview]:
        while size:
            count = self._file.readinto(buffer[:size])  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType, reportUnknownMemberType]
            if not count:
                raise ConnectionCut
            size -= count
            yield buffer[:count]


def end_to_end(headers: Iterable[tuple[str, str]]) -> Headers:
    """Return the headers that are not of one connection."""
    return tuple((name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP)
