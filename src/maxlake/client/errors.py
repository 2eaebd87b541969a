"""Errors that leave the client: each is one of ours and one of ``odps.errors`` at once.

The class of ``odps.errors`` is chosen by the service's code (wire.md §3.3), the group of ours by
what the caller can do about it. Every error has ``code``, ``request_id`` and ``status_code``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from maxlake.protocol.errors import (
    BadRequestError,
    BusyError,
    ConflictError,
    DeniedError,
    ErrorCode,
    InternalError,
    MaxlakeError,
    NotFoundError,
)
from maxlake.protocol.headers import REQUEST_ID_HEADER
from odps import errors as odps_errors

if TYPE_CHECKING:
    from collections.abc import Mapping


_GROUPS: dict[int, type[MaxlakeError]] = {
    401: DeniedError,
    403: DeniedError,
    404: NotFoundError,
    408: BusyError,
    409: ConflictError,
    429: BusyError,
    502: BusyError,
    503: BusyError,
    504: BusyError,
}


class ClientError(MaxlakeError, odps_errors.ODPSError):
    """Base of every error that leaves the client.

    ``code`` is the service's word (or one of the client's own, see the subclasses), ``status_code``
    the HTTP status, ``request_id`` the id to quote to whoever runs the service; the latter two are
    ``None`` when there was no answer.
    """

    odps_class: ClassVar[type[odps_errors.BaseODPSError]] = odps_errors.ODPSError
    service_group: ClassVar[type[MaxlakeError] | None] = None
    status_code: int | None = None  # pyright: ignore[reportIncompatibleMethodOverride,reportAssignmentType]

    def __init__(self, message: str, **details: Any) -> None:
        self.odps_class.__init__(self, message, **details)
        self.message = message
        self.where = ""
        self._details = details

    @property
    def retry_after(self) -> float | None:
        """Seconds after which the service asks to be tried again, if it does (RFC 9110 §10.2.3)."""
        headers: Mapping[str, str] = self._details.get("response_headers") or {}
        asked = headers.get("retry-after", "")
        return float(asked) if asked.isdecimal() else None

    @property
    def date(self) -> str | None:
        """The service's time when it answered (RFC 9110 §6.6.1), if it said so."""
        return (self._details.get("response_headers") or {}).get("date")

    def __str__(self) -> str:
        return self.odps_class.__str__(self)

    def __reduce__(self) -> tuple[Any, ...]:
        kind = self.service_group or type(self)
        return _rebuild, (kind, self.odps_class, self.message, self._details)


class ConnectFailedError(ClientError, BusyError):  # pyright: ignore[reportIncompatibleVariableOverride]
    """The service could not be reached; nothing was sent."""


class ConnectTimeoutError(ConnectFailedError, odps_errors.ConnectTimeout):
    """The service could not be reached in ``options.connect_timeout`` seconds; nothing was sent."""

    odps_class = odps_errors.ConnectTimeout


class DeadlineExceededError(ClientError, BusyError, TimeoutError):  # pyright: ignore[reportIncompatibleVariableOverride]
    """An operation was not done within ``deadline_seconds``; whether the service acted on it is not known."""


class BrokenConnectionError(ClientError, BusyError):  # pyright: ignore[reportIncompatibleVariableOverride]
    """The connection broke, or stayed silent too long, after the request was (partly) sent."""


class CommitOutcomeUnknownError(ClientError, ConflictError):  # pyright: ignore[reportIncompatibleVariableOverride]
    """The answer to a commit was lost, and the service does not say what became of it: look at the table."""


class UploadNotKeptError(BrokenConnectionError):
    """An upload broke that cannot be sent again, as it was too large to be kept: write its rows anew."""

    retryable = False


class TruncatedStreamError(BrokenConnectionError):
    """Rows or blobs ended before their end: some are missing, those read so far are good."""


class MalformedAnswerError(ClientError, InternalError):  # pyright: ignore[reportIncompatibleVariableOverride]
    """The service answered 200 with something the protocol does not allow."""


class ChecksumError(ClientError, InternalError, odps_errors.ChecksumError):  # pyright: ignore[reportIncompatibleVariableOverride]
    """A blob is not what was sent: its MD5 on upload, or the CRC32C of a block on download. Try it again."""

    odps_class = odps_errors.ChecksumError

    def __str__(self) -> str:
        """Return the message alone, as documented (``write_blob_stream``)."""
        return self.message


class UnexpectedStatusError(ClientError, InternalError):  # pyright: ignore[reportIncompatibleVariableOverride]
    """The service answered with a status that is neither 200 nor an error (wire.md §3.1)."""


@dataclass(frozen=True)
class _RawAnswer:
    """An error answer in the form PyODPS parses."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")


def error_from_answer(status: int, headers: Mapping[str, str], body: bytes, endpoint: str) -> ClientError:
    """Return the error that an answer other than 200 stands for."""
    request_id = headers.get(REQUEST_ID_HEADER)
    raw = _RawAnswer(status, headers, body.decode("utf-8", "replace").encode())
    parsed = odps_errors.parse_response(raw, endpoint, "TUNNEL")
    message = str(parsed.args[0])
    details: dict[str, Any] = {
        "code": _code_of(parsed, status),
        "request_id": parsed.request_id or request_id,
        "host_id": parsed.host_id,
        "endpoint": endpoint,
        "tag": parsed.tag,
        "status_code": status,
        "response_headers": dict(headers),
    }
    if status < 400:
        message = f"the service answered HTTP {status}, where only 200 means success: {message}"
        return UnexpectedStatusError(message, **details)
    group = _GROUPS.get(status, InternalError if status >= 500 else BadRequestError)
    return _service_error(group, type(parsed))(message, **details)


@cache
def _service_error(
    group: type[MaxlakeError], odps_class: type[odps_errors.BaseODPSError]
) -> type[ClientError]:
    """Return the class that is of ``group`` and of ``odps_class``, named like the latter."""
    bases = (ClientError, group) if odps_class is odps_errors.ODPSError else (ClientError, group, odps_class)
    namespace = {
        "odps_class": odps_class,
        "retryable": group.retryable,
        "__doc__": odps_class.__doc__,
        "__module__": __name__,
        "service_group": group,
    }
    return type(odps_class.__name__, bases, namespace)


def _code_of(parsed: odps_errors.BaseODPSError, status: int) -> str:
    """Return the service's code; without one, the name of the class that the status stands for."""
    named = type(parsed).__name__ if type(parsed) is not odps_errors.ODPSError else str(status)
    code = str(parsed.code or named)
    return ErrorCode(code) if code in ErrorCode.__members__.values() else code


def _rebuild(
    kind: type[MaxlakeError],
    odps_class: type[odps_errors.BaseODPSError],
    message: str,
    details: dict[str, Any],
) -> ClientError:
    """Unpickle an error: classes made by ``_service_error`` have no importable name."""
    made = kind if issubclass(kind, ClientError) else _service_error(kind, odps_class)
    return made(message, **details)
