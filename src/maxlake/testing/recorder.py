"""``record()``: a proxy that writes all that a client and a service say into a file, without its secrets."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from maxlake.protocol.enums import Action
from maxlake.testing.listener import Answer, Headers, Listener, Request
from maxlake.testing.recording import Exchange, RecordedAnswer, RecordedRequest, RecordingWriter, body_members
from maxlake.testing.redaction import Redaction
from maxlake.testing.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

#: Codings that PyODPS' HTTP library asks for by itself: secrets could not be found in them.
_HIDING = ("gzip", "deflate", "br")
#: Actions whose body, of the request or of the answer, is rows or blobs.
_ROW_ACTIONS = {
    Action.TABLE_READ,
    Action.TABLE_PREVIEW,
    Action.TABLE_WRITE,
    Action.TABLE_WRITE_BLOB,
    Action.BLOB_READ,
    Action.INSTANCE_READ,
}
_FIRST_ERROR = 400
#: Parameters of REST and the tunnel by which rows are asked for, or sent.
_ROW_PARAMETERS = {"data", "result", "downloadid", "uploadid", "blockid", "upsertid"}


class Recorder:
    """A running recorder. Made by ``record``."""

    def __init__(self, service: str, writer: RecordingWriter, *, rows: bool, port: int) -> None:
        parts = urlsplit(service)
        self._rest, self._rest_path = service, parts.path.rstrip("/")
        self._scheme = parts.scheme
        self._tunnel = service
        self._writer = writer
        self._rows = rows
        self._lock = Lock()
        self._listener = Listener(self, port)
        #: What clients use in the place of the service's endpoint.
        self.endpoint = f"http://{self._listener.address}{self._rest_path}"
        self._redaction = Redaction([parts.netloc, self._listener.address])

    def __call__(self, request: Request) -> Answer:
        """Forward one request and write it down with its answer."""
        request = request.with_body(request.body)  # it is looked at twice
        url = self._rest if self._is_rest(request.path) else self._tunnel
        answer = Upstream(url).ask(replace(request, headers=_for(url, request.headers)))
        if self._is_discovery(request) and answer.status == 200:
            answer = self._led_here(answer)
        self._write(request, answer)
        return answer

    def _is_rest(self, path: str) -> bool:
        """Whether a path is below the endpoint's; what clients find by it has none (rest.md §7)."""
        return path.startswith(f"{self._rest_path}/") and not path.startswith(f"{self._rest_path}/storage/")

    def _is_discovery(self, request: Request) -> bool:
        return self._is_rest(request.path) and request.path.endswith("/tunnel")

    def _led_here(self, answer: Answer) -> Answer:
        """Keep the way to the rows, and lead the client to it through here."""
        host = answer.body.decode().strip()
        self._tunnel = f"{self._scheme}://{host}"
        self._redaction.learn_host(host)
        return replace(answer, body=self._listener.address.encode())

    def _write(self, request: Request, answer: Answer) -> None:
        told = self._redaction
        told.learn(request.headers)
        left_out = not self._rows and _has_rows(request)
        exchange = Exchange(
            request=RecordedRequest(
                method=request.method,
                target=told.text(request.target),
                headers=told.headers(request.headers),
                **self._body(request, left_out=left_out),
            ),
            response=RecordedAnswer(
                status=answer.status,
                headers=told.headers(answer.headers),
                **self._body(answer, left_out=left_out and answer.status < _FIRST_ERROR),
            ),
        )
        with self._lock:
            self._writer.add(exchange)

    def _body(self, message: Request | Answer, *, left_out: bool) -> dict[str, Any]:
        kinds = [value for name, value in message.headers if name.lower() == "content-type"]
        if left_out and not any("json" in kind for kind in kinds):
            return {"rows_left_out": len(message.body)}
        return body_members(self._redaction.body(message.body))

    @contextmanager
    def running(self) -> Generator[Recorder]:
        """Accept requests within the ``with``."""
        with self._listener.running():
            yield self


@contextmanager
def record(path: Path, service: str, *, rows: bool = True, port: int = 0) -> Generator[Recorder]:
    """Run a proxy on this machine for the service at ``service``, and write all traffic into a new file.

    Clients use ``Recorder.endpoint`` instead, and are led through it to the tunnel, too. Signatures stay
    valid, and are not recorded; nor are keys, tokens, and names of accounts and servers. Without ``rows``,
    bodies that hold rows or blobs are left out, on both ways. A body is held whole, up to 256 MiB.

    Raises FileExistsError, and ValueError for an address that is neither http nor https.
    """
    Upstream(service)
    writer = RecordingWriter(path, urlsplit(service).path.rstrip("/"))
    try:
        with Recorder(service, writer, rows=rows, port=port).running() as recorder:
            yield recorder
    finally:
        writer.close()


def _has_rows(request: Request) -> bool:
    """Whether a call moves rows or blobs."""
    return request.action in _ROW_ACTIONS or not _ROW_PARAMETERS.isdisjoint(request.parameters)


def _for(url: str, headers: Headers) -> Headers:
    """Return headers as the service at ``url`` is to see them."""
    changed: list[tuple[str, str]] = []
    for name, value in headers:
        if name.lower() == "host":
            changed.append((name, urlsplit(url).netloc))
        elif name.lower() == "accept-encoding":
            kept = [coding for coding in value.split(",") if coding.strip().lower() not in _HIDING]
            changed.append((name, ",".join(kept).strip() or "identity"))
        else:
            changed.append((name, value))
    return tuple(changed)
