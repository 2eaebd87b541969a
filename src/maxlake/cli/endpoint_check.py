"""Whether an endpoint can be reached, how safely, and what time it is there."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

_SECONDS = 10.0


@dataclass(frozen=True)
class Greeting:
    """What an endpoint says before it knows who asks: how the way there is secured, and its time."""

    security: str
    date: datetime | None


def greet(endpoint: str) -> Greeting:
    """Ask ``endpoint`` for anything. Raises ``OSError``, such as ``ssl.SSLError``, if nothing answers."""
    parts = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_SECONDS)
    try:
        connection.request("GET", parts.path or "/")
        socket = connection.sock
        security = f"reached over {socket.version()}" if isinstance(socket, ssl.SSLSocket) else "reached"
        answer = connection.getresponse()
        return Greeting(security, _time(answer.getheader("Date")))
    except HTTPException as error:
        raise OSError(f"what answers does not speak HTTP ({error or type(error).__name__})") from error
    finally:
        connection.close()


def _time(date: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(date or "")
    except ValueError:
        return None
