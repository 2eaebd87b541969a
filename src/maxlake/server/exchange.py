"""One HTTP request and its one answer, above raw ASGI.

Knows the request id, the parameters, how much of the body is still to come, and how to answer early
without losing the answer (wire.md §3.2). Knows nothing of actions.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from maxlake.protocol import limits
from maxlake.protocol.errors import BadRequestError, BusyError, ErrorCode, invalid_argument
from maxlake.protocol.headers import REQUEST_ID_HEADER
from maxlake.protocol.query import parse_query
from maxlake.server.parameters import Parameters

#: The ASGI extension, of our HTTP protocol, that closes the connection at once.
CUT = "maxlake.cut"

_HOST = re.compile(r"[A-Za-z0-9._\-\[\]:]{1,255}")


class BodyCut(ConnectionError):  # noqa: N818 - a condition of the connection, not a fault of the program
    """The client went away in the middle of its request body."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer: everything but row streams."""

    body: bytes
    content_type: str
    status: int = 200
    headers: tuple[tuple[str, str], ...] = field(default=())


def too_large(limit: int) -> BadRequestError:
    """Return the error for a body of more than ``limit`` bytes."""
    return BadRequestError(
        ErrorCode.REQUEST_TOO_LARGE,
        f"the request body is larger than {limit} bytes; send it in smaller pieces",
    )


def stalled(message: str) -> BusyError:
    """Return the error for a client that neither sends nor takes anything."""
    return BusyError(ErrorCode.REQUEST_TIMEOUT, message)


class Exchange:
    """A request being answered."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self.request_id = secrets.token_hex(16).upper()
        self.headers = Headers(scope=scope)
        self.body_pending = "content-length" in self.headers or "transfer-encoding" in self.headers
        self.keep_alive = True
        self.started = False
        self.disconnected = False

    @property
    def method(self) -> str:
        """The HTTP method, in capitals."""
        return self._scope["method"]

    @property
    def path(self) -> str:
        """The path, percent-decoded."""
        return self._scope["path"]

    @property
    def scope(self) -> Scope:
        """The ASGI scope, for routing."""
        return self._scope

    @property
    def raw_target(self) -> str:
        """Path and query exactly as sent: what the signature covers. Raises InvalidArgument if not ASCII."""
        query: bytes = self._scope["query_string"]
        raw: bytes = self._scope["raw_path"] + (b"?" + query if query else b"")
        try:
            return raw.decode("ascii")
        except UnicodeDecodeError as error:
            raise invalid_argument("the URL holds bytes that are not ASCII; percent-encode them") from error

    def parameters(self) -> Parameters:
        """Return the query's parameters. Raises InvalidArgument where ``protocol.query`` does."""
        return Parameters(parse_query(self._scope["query_string"].decode("latin-1")))

    @property
    def host(self) -> str:
        """The ``host:port`` the caller used to get here (rest.md §7), as ``check_host`` accepts it."""
        host = self.headers.get("host")
        if host:
            return host
        address, port = self._scope["server"]
        return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"

    def check_host(self) -> None:
        """Raise InvalidArgument if the Host header holds anything but a host and a port."""
        if not _HOST.fullmatch(self.host):
            raise invalid_argument("the Host header is not host[:port]")

    # -- the request's body -------------------------------------------------------------------------

    def check_declared_length(self, limit: int) -> None:
        """Raise RequestTooLarge if Content-Length promises more than ``limit`` bytes, before reading any."""
        declared = self.headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > limit:
            raise too_large(limit)

    async def receive_piece(self) -> bytes:
        """Return the next piece of the body, ``b""`` at its end. Raises BodyCut if the client is gone."""
        while self.body_pending:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.body_pending, self.disconnected = False, True
                raise BodyCut("the client closed the connection before its request was complete")
            self.body_pending = message.get("more_body", False)
            if piece := message.get("body", b""):
                return piece
        return b""

    async def read_body(self, limit: int) -> bytes:
        """Return the whole body.

        Raises RequestTooLarge above ``limit`` bytes, BodyCut or RequestTimeout if it does not come.
        """
        self.check_declared_length(limit)
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(limits.SMALL_BODY_TIME):
                while piece := await self.receive_piece():
                    size += len(piece)
                    if size > limit:
                        raise too_large(limit)
                    pieces.append(piece)
        except TimeoutError as error:
            raise stalled(
                f"the request did not arrive within {limits.SMALL_BODY_TIME} s; repeat it"
            ) from error
        return b"".join(pieces)

    def leave_body(self) -> None:
        """Do not wait for the rest of the body: the connection is closed after the answer."""
        self.keep_alive = self.keep_alive and not self.body_pending
        self.body_pending = False

    # -- the answer ---------------------------------------------------------------------------------

    async def answer(self, reply: Reply) -> None:
        """Send a whole answer; it reaches the client even before the end of its upload."""
        length = (("content-length", str(len(reply.body))),)
        await self.start(reply.status, reply.content_type, (*length, *reply.headers))
        await self._send_body(reply.body, more=self.body_pending)
        if self.body_pending and await self._drained():
            await self._send_body(b"", more=False)
        # Left open here, the HTTP server closes the connection: the upload is too long to drain.

    async def start(self, status: int, content_type: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        """Send the status line and the headers, the request id among them."""
        fields = ((REQUEST_ID_HEADER, self.request_id), ("content-type", content_type), *headers)
        if not self.keep_alive:
            fields = (*fields, ("connection", "close"))
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def send_piece(self, piece: Any) -> None:
        """Send a piece of a streamed body, once the client has taken the ones before it."""
        await self._send_body(piece, more=True)

    async def finish(self) -> None:
        """End a streamed body properly."""
        await self._send_body(b"", more=False)

    async def cut(self) -> None:
        """Close the connection without an answer (or the rest of it)."""
        self._scope["extensions"][CUT]()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _send_body(self, body: Any, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def _drained(self) -> bool:
        """Read the rest of an upload that nobody wants; tell whether it ended within reason."""
        size = 0
        try:
            async with asyncio.timeout(limits.DRAIN_TIME):
                while piece := await self.receive_piece():
                    size += len(piece)
                    if size > limits.MAX_DRAIN:
                        return False
        except (TimeoutError, BodyCut):
            return False
        return True

    @contextmanager
    def watch_disconnect(self) -> Generator[asyncio.Task[None]]:
        """Give a task that ends when the client goes away. Only after the body has been read."""

        async def wait() -> None:
            while (await self._receive())["type"] != "http.disconnect":
                pass
            self.disconnected = True

        task = asyncio.create_task(wait())
        try:
            yield task
        finally:
            task.cancel()
