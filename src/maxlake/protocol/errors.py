"""The one error tree, its codes, and the HTTP status of each code (wire.md §3).

Errors are grouped by what the caller can do about them; the code says what exactly happened.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class ErrorCode(StrEnum):
    """Codes as they stand on the wire; PyODPS picks its exception class by them (wire.md §3.3)."""

    INVALID_ARGUMENT = "InvalidArgument"
    PARSE_ERROR = "ODPS-0130161"
    SEMANTIC_ERROR = "ODPS-0130071"
    SCHEMA_MISMATCH = "SCHEMA_MISMATCH"
    DATA_ERROR = "DATA_ERROR"
    CHECKSUM_MISMATCH = "ChecksumMismatch"
    REQUEST_TOO_LARGE = "RequestTooLarge"
    REQUEST_TIMEOUT = "RequestTimeout"
    UNAUTHORIZED = "Unauthorized"
    SIGNATURE_NOT_MATCH = "SignatureNotMatch"
    REQUEST_TIME_TOO_SKEWED = "RequestTimeTooSkewed"
    NO_PERMISSION = "NoPermission"
    NO_SUCH_PROJECT = "NoSuchProject"
    NO_SUCH_SCHEMA = "NoSuchSchema"
    NO_SUCH_TABLE = "NoSuchTable"
    NO_SUCH_PARTITION = "NoSuchPartition"
    NO_SUCH_OBJECT = "NoSuchObject"
    ALREADY_EXISTS = "ObjectAlreadyExists"
    INSTANCE_TYPE_NOT_SUPPORTED = "InstanceTypeNotSupported"
    INVALID_SESSION_STATUS = "InvalidSessionStatus"
    INVALID_STREAM_STATUS = "InvalidStreamStatus"
    ROW_OFFSET_MISMATCH = "RowOffsetMismatch"
    COMMIT_CONFLICT = "CommitConflict"
    CHANGED_ELSEWHERE = "ChangedElsewhere"
    CATALOG_FORMAT = "CatalogFormat"
    CANCELLED = "Cancelled"
    VERSION_EXPIRED = "VersionExpired"
    FLOW_EXCEEDED = "FlowExceeded"
    SERVICE_UNAVAILABLE = "ServiceUnavailable"
    INTERNAL_SERVER_ERROR = "InternalServerError"


#: Line and column of a word of a statement, from 1.
Place = tuple[int, int]

HTTP_STATUS: dict[ErrorCode, int] = {
    ErrorCode.INVALID_ARGUMENT: 400,
    ErrorCode.PARSE_ERROR: 400,
    ErrorCode.SEMANTIC_ERROR: 400,
    ErrorCode.SCHEMA_MISMATCH: 400,
    ErrorCode.DATA_ERROR: 400,
    ErrorCode.CHECKSUM_MISMATCH: 400,
    ErrorCode.INSTANCE_TYPE_NOT_SUPPORTED: 400,
    ErrorCode.REQUEST_TOO_LARGE: 413,
    ErrorCode.REQUEST_TIMEOUT: 408,
    ErrorCode.UNAUTHORIZED: 401,
    ErrorCode.SIGNATURE_NOT_MATCH: 401,
    ErrorCode.REQUEST_TIME_TOO_SKEWED: 403,
    ErrorCode.NO_PERMISSION: 403,
    ErrorCode.NO_SUCH_PROJECT: 404,
    ErrorCode.NO_SUCH_SCHEMA: 404,
    ErrorCode.NO_SUCH_TABLE: 404,
    ErrorCode.NO_SUCH_PARTITION: 404,
    ErrorCode.NO_SUCH_OBJECT: 404,
    ErrorCode.ALREADY_EXISTS: 409,
    ErrorCode.INVALID_SESSION_STATUS: 409,
    ErrorCode.INVALID_STREAM_STATUS: 409,
    ErrorCode.ROW_OFFSET_MISMATCH: 409,
    ErrorCode.COMMIT_CONFLICT: 409,
    ErrorCode.CHANGED_ELSEWHERE: 409,
    ErrorCode.CATALOG_FORMAT: 409,
    ErrorCode.CANCELLED: 409,
    ErrorCode.VERSION_EXPIRED: 409,
    ErrorCode.FLOW_EXCEEDED: 429,
    ErrorCode.SERVICE_UNAVAILABLE: 503,
    ErrorCode.INTERNAL_SERVER_ERROR: 500,
}


class MaxlakeError(Exception):
    """Base of everything maxlake raises on purpose.

    ``message`` says what happened and what to do next, ``where`` names the table, session, stream
    or row concerned (empty when the message says it already). ``place`` is where in a statement it went
    wrong, None where nobody knows, or it is no statement.
    """

    #: Whether repeating the identical call can succeed.
    retryable: ClassVar[bool] = False

    def __init__(self, code: ErrorCode, message: str, *, where: str = "", place: Place | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.where = where
        self.place = place

    @property
    def status_code(self) -> int:
        """The HTTP status of this error."""
        return HTTP_STATUS[self.code]

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class BadRequestError(MaxlakeError):
    """The request itself is wrong: change it."""


class DeniedError(MaxlakeError):
    """The credentials are missing, wrong or insufficient: use others, or ask for the right."""


class NotFoundError(MaxlakeError):
    """What the request names does not exist (any more)."""


class ConflictError(MaxlakeError):
    """The state of a table, session or stream does not allow this: look at it, then decide."""


class BusyError(MaxlakeError):
    """The service cannot do it just now: repeat the same call after a pause."""

    retryable = True


class InternalError(MaxlakeError):
    """A bug of ours, or a broken disk: report it with the request id."""

    retryable = True


class DamageError(InternalError):
    """Stored data is missing or damaged: repeating the call will not bring it back."""

    retryable = False


def invalid_argument(message: str, *, where: str = "") -> BadRequestError:
    """Return the error for a malformed or unknown argument."""
    return BadRequestError(ErrorCode.INVALID_ARGUMENT, message, where=where)
