"""What must not stand in a recording: signatures, keys, tokens, names of accounts and hosts."""

from __future__ import annotations

import re
from threading import Lock
from typing import TYPE_CHECKING

from maxlake.protocol.headers import ROUTE_TOKEN_HEADER, WRITE_ACCESS_TOKEN_HEADER
from maxlake.testing.recording import HOST, REMOVED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maxlake.testing.listener import Headers

#: Headers that are secrets or names of accounts or servers, in lower case.
_SECRET_HEADERS = {
    "authorization",
    "authorization-sts-token",
    "application-authentication",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "x-odps-bearer-token",
    "x-odps-owner",
    ROUTE_TOKEN_HEADER,  # names a server
    WRITE_ACCESS_TOKEN_HEADER,
}
#: Those whose values are looked for everywhere else, too.
_LEARNED_HEADERS = {"authorization-sts-token", "x-odps-bearer-token"}
_NAMES = (
    "AccessId|AccessKeyId|AccessKeySecret|AccessToken|Creator|LastModifiedBy|OSSAccessKeyId|Owner|QuotaToken|"
    "SecurityToken|Signature|Submitter|Token"
)
_IN_TEXT = (
    # Members of JSON, also of JSON inside a text of JSON, whose quotes are escaped.
    re.compile(rf'((\\*)"(?:{_NAMES})\2"\s*:\s*\2").*?(?<!\\)(?=\2")', re.IGNORECASE),
    re.compile(rf"(<(?:{_NAMES})>)[^<]+", re.IGNORECASE),
    # The answer to a question for a bearer token (rest.md §1).
    re.compile(r"(<Authorization>\s*<Result>)[^<]+"),
    re.compile(rf"([?&;](?:{_NAMES})=)[^&\s\"<;]+", re.IGNORECASE),
    re.compile(r"((?:ALIYUN|RAM)(?:\$|%24))[^\s\"'<>,;&]+"),
)
#: What signs in front of the signature: ``ODPS <id>:`` or ``ODPS <id>/<date>/…:`` (auth.md).
_ACCESS_ID = re.compile(r"ODPS\s+([^/:\s]+)[/:]")
#: Shorter ones stand in too many words.
_LEAST_LENGTH = 4


class Redaction:
    """Takes secrets out of texts. Learns from every request what else to look for. Thread-safe."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self._lock = Lock()
        self._known: dict[str, str] = {}
        for host in hosts:
            self.learn_host(host)

    def learn_host(self, host: str) -> None:
        """Look for this name of a server from now on."""
        with self._lock:
            self._known[host] = HOST

    def learn(self, headers: Headers) -> None:
        """Look for this request's access id and tokens from now on."""
        for name, value in headers:
            found: list[str] = _ACCESS_ID.findall(value) if name.lower() == "authorization" else []
            if name.lower() in _LEARNED_HEADERS:
                found = [value]
            with self._lock:
                self._known |= {secret: REMOVED for secret in found if len(secret) >= _LEAST_LENGTH}

    def headers(self, headers: Headers) -> Headers:
        """Return the headers as they are told."""
        return tuple(
            (name, REMOVED if name.lower() in _SECRET_HEADERS else self.text(value))
            for name, value in headers
        )

    def text(self, text: str) -> str:
        """Return a text as it is told."""
        for pattern in _IN_TEXT:
            text = pattern.sub(rf"\g<1>{REMOVED}", text)
        with self._lock:
            known = sorted(self._known.items(), key=lambda pair: -len(pair[0]))
        for secret, told in known:
            text = text.replace(secret, told)
        return text

    def body(self, body: bytes) -> bytes:
        """Return a body as it is told: rows and other bytes that are no text stay as they are."""
        try:
            return self.text(body.decode()).encode()
        except UnicodeDecodeError:
            return body
