"""The ASGI application over a real service in a temporary directory, called without sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from maxlake.protocol import signing
from maxlake.server.app import App
from maxlake.service.service import Service

ACCESS_ID, SECRET = "AKID", "AKSECRET"


@dataclass
class Answer:
    """What came back. ``complete`` is false if the answer was cut."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Application = Callable[[Any, Any, Any], Awaitable[None]]


async def exchange(
    app: Application, method: str, target: str, headers: list[tuple[str, str]], pieces: list[bytes]
) -> Answer:
    """Play one request; the body comes in ``pieces``, the client stays until it has its answer."""
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode("latin-1"),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "server": ("127.0.0.1", 80),
    }
    waiting = [
        {"type": "http.request", "body": piece, "more_body": number < len(pieces) - 1}
        for number, piece in enumerate(pieces)
    ]
    answer, answered = Answer(), asyncio.Event()

    async def receive() -> Any:
        if waiting:
            return waiting.pop(0)
        await answered.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        answer.body += message["body"]
        if not message["more_body"]:
            answer.complete = True
            answered.set()

    await app(scope, receive, send)
    return answer


@dataclass
class Caller:
    """Signs and plays requests against an application."""

    service: Service
    now: datetime
    #: Run in the request's task before the application.
    before: Callable[[], Awaitable[None]] | None = None

    def __call__(
        self,
        method: str,
        target: str,
        body: bytes | list[bytes] = b"",
        *,
        headers: Mapping[str, str] | None = None,
        secret: str = SECRET,
        date: datetime | None = None,
        signed: bool = True,
    ) -> Answer:
        pieces = body if isinstance(body, list) else [body]
        fields = {"Host": "caller.test:81", "Date": format_datetime(date or self.now, usegmt=True)}
        if any(pieces):
            fields["Content-Length"] = str(sum(map(len, pieces)))
        fields |= headers or {}
        pairs = list(fields.items())
        if signed:
            request = signing.SignedRequest(method, target, tuple(pairs))
            text = signing.canonical_candidates(request)[0]
            pairs.append(("Authorization", signing.sign_v2(ACCESS_ID, secret, text)))
        return self.play(method, target, pairs, pieces)

    def play(self, method: str, target: str, pairs: list[tuple[str, str]], pieces: list[bytes]) -> Answer:
        async def run() -> Answer:
            app = App(self.service, {ACCESS_ID: SECRET}.get, lambda: self.now)
            if self.before is not None:
                await self.before()
            try:
                return await exchange(app, method, target, pairs, pieces)
            finally:
                app.workers.close()

        return asyncio.run(run())


@pytest.fixture
def call(tmp_path: Path) -> Iterator[Caller]:
    service = Service.open(tmp_path, project="p")
    yield Caller(service, datetime.now(UTC).replace(microsecond=0))
    service.close()
