"""The HTTP/1.1 connection: uvicorn's, with the rules it does not have.

* ``Content-Length`` is spelled so, because the C++ client looks headers up case-sensitively
  (drift.md A.19); all other names stay lower case, as it wants them.
* The head of a request, and what a chunked body adds to its data, are bounded.
* What is no HTTP at all is answered with a request id too.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from maxlake.protocol.errors import ErrorCode
from maxlake.protocol.limits import MAX_REQUEST_HEAD
from maxlake.server.exchange import CUT

# Bytes that framing may add per byte of data: a chunk of one byte costs five.
_FRAMING = 8


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

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and refuse a request whose head or framing is out of proportion."""
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

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body, which is data, and allows for some framing."""
        self._overhead = max(0, self._overhead - len(body) * (1 + _FRAMING))
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request, and close."""
        request_id = secrets.token_hex(16).upper()
        members = {"Code": ErrorCode.INVALID_ARGUMENT, "Message": msg, "RequestId": request_id, "HostId": ""}
        body = msgspec.json.encode(members)
        head = (
            f"x-odps-request-id: {request_id}\r\ncontent-type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(STATUS_LINE[400] + head.encode() + body)
        self.transport.close()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        cycle.scope["extensions"] = {CUT: cycle.transport.abort}
        cycle.transport = _HeadSpelling(cycle.transport)
        super()._start_asgi_task(cycle, app)
