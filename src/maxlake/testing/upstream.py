"""The service behind a proxy."""

from __future__ import annotations

from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from maxlake.testing.listener import (
    MAX_BODY,
    Answer,
    BodyTooLargeError,
    ConnectionCut,
    Request,
    end_to_end,
)

#: Seconds the service may take for an answer; its own long calls end before that.
_TIMEOUT = 120.0


class Upstream:
    """Asks the service at ``url``, of which scheme and host count, as the client would have."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not the http:// or https:// address of a service: {url!r}")
        self._kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._host = parts.netloc

    def ask(self, request: Request) -> Answer:
        """Return the service's answer; raises ConnectionCut where it gives none, or BodyTooLargeError."""
        service = self._kind(self._host, timeout=_TIMEOUT)
        try:
            service.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers:
                service.putheader(name, value)
            service.putheader("Content-Length", str(len(request.body)))
            with suppress(BrokenPipeError, ConnectionResetError):  # it may answer before it has all
                service.endheaders(request.body)
            response = service.getresponse()
            body = response.read(MAX_BODY + 1)
            if len(body) > MAX_BODY:
                raise BodyTooLargeError
            return Answer(response.status, end_to_end(response.getheaders()), body)
        except (OSError, HTTPException) as error:  # what the client would see without a proxy
            raise ConnectionCut from error
        finally:
            service.close()
