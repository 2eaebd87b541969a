"""The HTTP/1.1 connection: uvicorn's, with the rules it does not have.

* ``Content-Length`` is spelled so, because the C++ client looks headers up case-sensitively
  (drift.md A.19); all other names stay lower case, as it wants them.
* The head of a request, its time, and what a chunked body adds to its data, are bounded; so are connections.
* What is no HTTP at all is answered with a request id too.
"""

from __future__ import annotations

import asyncio
import resource
import secrets
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from maxlake.protocol.errors import HTTP_STATUS, ErrorCode
from maxlake.protocol.headers import REQUEST_ID_HEADER
from maxlake.protocol.limits import (
    CONNECTIONS_PER_FILE,
    MAX_CONNECTIONS,
    MAX_REQUEST_HEAD,
    REQUEST_HEAD_TIME,
)
from maxlake.server.exchange import CUT

# Bytes that framing may add per byte of data: a chunk of one byte costs five.
_FRAMING = 8


def _connections() -> int:
    """Return how many connections there may be at once."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(MAX_CONNECTIONS, int(files * CONNECTIONS_PER_FILE))


def allow_all_files() -> None:
    """Let the process open as many files as it is permitted to: by default it has to ask for most of them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _HeadSpelling:
    """The transport of one answer; its first write is the head."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.write = self._write_head

    def _write_head(self, data: bytes) -> None:
        if not data.startswith(b"HTTP/1.1 100 "):
            self.write = self._transport.write
            data = data.replace(b"\r\ncontent-length: ", b"\r\nContent-Length: ", 1)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._begun = 0
        self._overhead = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take a connection, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > _connections():
            self._answer_and_close(ErrorCode.FLOW_EXCEEDED, "the server has too many connections; try later")
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_head_timer()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(REQUEST_HEAD_TIME, self._head_overdue)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_overdue(self) -> None:
        if not self.transport.is_closing():
            message = f"The head of the request did not arrive within {REQUEST_HEAD_TIME} s"
            self._answer_and_close(ErrorCode.REQUEST_TIMEOUT, message)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and refuse a request whose head or framing is out of proportion."""
        if self.transport.is_closing():
            return
        cycle: Any = self.cycle  # None before the first request, whatever uvicorn declares
        if cycle is None or cycle.response_complete:
            self._await_head()
        begun = self._begun
        self._overhead += len(data)
        super().data_received(data)
        if self._begun != begun:
            self._overhead = 0  # a new request: its first piece is bounded by the socket's read size
        if self._overhead > MAX_REQUEST_HEAD and not self.transport.is_closing():
            self.send_400_response(f"The head of the request is larger than {MAX_REQUEST_HEAD} bytes")

    def on_message_begin(self) -> None:
        """Note that a request begins."""
        self._begun += 1
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Begin to answer: the head has come."""
        self._stop_head_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body, which is data, and allows for some framing."""
        self._overhead = max(0, self._overhead - len(body) * (1 + _FRAMING))
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request, and close."""
        self._answer_and_close(ErrorCode.INVALID_ARGUMENT, msg)

    def _answer_and_close(self, code: ErrorCode, message: str) -> None:
        request_id = secrets.token_hex(16).upper()
        members = {"Code": code, "Message": message, "RequestId": request_id, "HostId": ""}
        body = msgspec.json.encode(members)
        head = (
            f"{REQUEST_ID_HEADER}: {request_id}\r\ncontent-type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(STATUS_LINE[HTTP_STATUS[code]] + head.encode() + body)
        self.transport.close()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        cycle.scope["extensions"] = {CUT: cycle.transport.abort}
        cycle.transport = _HeadSpelling(cycle.transport)
        super()._start_asgi_task(cycle, app)
