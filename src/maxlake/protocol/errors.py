"""The one error tree, its codes, and the HTTP status of each code (wire.md §3).

Errors are grouped by what the caller can do about them; the code says what exactly happened.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class ErrorCode(StrEnum):
    """Codes as they stand on the wire; PyODPS picks its exception class by them (wire.md §3.3)."""

    #: An argument is malformed or unknown.
    INVALID_ARGUMENT = "InvalidArgument"
    #: A SQL text is not understood; the message says at which line and column.
    PARSE_ERROR = "ODPS-0130161"
    #: A SQL statement is understood, but cannot be run on these tables.
    SEMANTIC_ERROR = "ODPS-0130071"
    #: The columns of an upload do not fit the table.
    SCHEMA_MISMATCH = "SCHEMA_MISMATCH"
    #: A value of an upload does not fit its column, or the body is no whole Arrow stream.
    DATA_ERROR = "DATA_ERROR"
    #: A blob is not what its checksum says.
    CHECKSUM_MISMATCH = "ChecksumMismatch"
    #: A body, a statement or a result is larger than the service takes.
    REQUEST_TOO_LARGE = "RequestTooLarge"
    #: A body did not arrive in time, or a statement ran too long.
    REQUEST_TIMEOUT = "RequestTimeout"
    #: The request is not signed, or by an unknown access id.
    UNAUTHORIZED = "Unauthorized"
    #: The signature does not fit the request: most often, the secret is wrong.
    SIGNATURE_NOT_MATCH = "SignatureNotMatch"
    #: The clocks of caller and service are too far apart.
    REQUEST_TIME_TOO_SKEWED = "RequestTimeTooSkewed"
    #: A session of another access key, or a stream's access token that is not the latest.
    NO_PERMISSION = "NoPermission"
    #: There is no such project.
    NO_SUCH_PROJECT = "NoSuchProject"
    #: There is no such schema.
    NO_SUCH_SCHEMA = "NoSuchSchema"
    #: There is no such table.
    NO_SUCH_TABLE = "NoSuchTable"
    #: There is no such partition.
    NO_SUCH_PARTITION = "NoSuchPartition"
    #: There is no such session, stream, instance or blob, or none any more.
    NO_SUCH_OBJECT = "NoSuchObject"
    #: What is to be created exists.
    ALREADY_EXISTS = "ObjectAlreadyExists"
    #: The statement of an instance gives no rows.
    INSTANCE_TYPE_NOT_SUPPORTED = "InstanceTypeNotSupported"
    #: A session that has ended or expired, or an instance that still runs, cannot do this.
    INVALID_SESSION_STATUS = "InvalidSessionStatus"
    #: A stream that is closed, failed, replaced or still open cannot do this.
    INVALID_STREAM_STATUS = "InvalidStreamStatus"
    #: The row offset of an upload is not the stream's: rows would be missing.
    ROW_OFFSET_MISMATCH = "RowOffsetMismatch"
    #: Others changed the same rows at the same time, again and again.
    COMMIT_CONFLICT = "CommitConflict"
    #: Another program changed the catalog in a way that cannot be shown right.
    CHANGED_ELSEWHERE = "ChangedElsewhere"
    #: The catalog has another format than this build of maxlake reads.
    CATALOG_FORMAT = "CatalogFormat"
    #: The instance was stopped.
    CANCELLED = "Cancelled"
    #: A version of the table that is wanted is not kept any more.
    VERSION_EXPIRED = "VersionExpired"
    #: The service does as much of this at once as it can.
    FLOW_EXCEEDED = "FlowExceeded"
    #: The service is stopping, or short of memory or files.
    SERVICE_UNAVAILABLE = "ServiceUnavailable"
    #: A bug, a full disk or a broken one.
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
