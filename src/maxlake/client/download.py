"""The body of one answer, read straight into the caller's memory; a short body is an error."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import TYPE_CHECKING

from maxlake.client.errors import (
    BrokenConnectionError,
    ClientError,
    MalformedAnswerError,
    TruncatedStreamError,
)
from maxlake.protocol.headers import REQUEST_ID_HEADER
from maxlake.protocol.limits import CLIENT_MAX_ANSWER

if TYPE_CHECKING:
    from maxlake.client.connections import ConnectionPool
    from maxlake.client.deadline import Deadline


class Download:
    """An answer whose head has been read. Its connection goes back to the pool at the body's end."""

    def __init__(
        self, pool: ConnectionPool, connection: HTTPConnection, response: HTTPResponse, deadline: Deadline
    ) -> None:
        self._deadline = deadline
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self._pool = pool
        self._connection: HTTPConnection | None = connection
        self._response = response
        self._left = response.length
        self._ended = False

    @property
    def request_id(self) -> str | None:
        """The id the service gave this exchange."""
        return self.headers.get(REQUEST_ID_HEADER)

    def readinto(self, view: memoryview) -> int:
        """Fill ``view`` as far as the body goes; 0 only at the body's proper end.

        Raises ``TruncatedStreamError`` if the body is cut, ``BrokenConnectionError`` if nothing
        arrives within ``options.read_timeout`` seconds, ``DeadlineExceededError`` when the time is over.
        """
        if self._ended or not len(view):
            return 0
        try:
            count = self._response.readinto(view)
        except TimeoutError as error:
            self.abort()
            raise self._broken(BrokenConnectionError, "the service fell silent") from error
        except (OSError, HTTPException) as error:
            self.abort()
            raise self._broken(TruncatedStreamError, f"the connection was cut ({error})") from error
        if self._left is not None:
            self._left -= count
        if count == 0:
            self._end()
        return count

    def read_all(self) -> bytes:
        """Return the whole (rest of the) body, which must not exceed CLIENT_MAX_ANSWER."""
        body = bytearray()
        piece = memoryview(bytearray(min(65536, CLIENT_MAX_ANSWER)))
        while count := self.readinto(piece):
            body += piece[:count]
            if len(body) > CLIENT_MAX_ANSWER:
                self.abort()
                raise MalformedAnswerError(
                    f"the answer is larger than {CLIENT_MAX_ANSWER} bytes",
                    code="MalformedAnswer",
                    request_id=self.request_id,
                    status_code=self.status,
                )
        return bytes(body)

    def abort(self) -> None:
        """Close the connection unless the body was read to its end."""
        self._ended = True
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _end(self) -> None:
        if self._left:
            missing = self._left
            self.abort()
            raise self._broken(TruncatedStreamError, f"the connection was cut, {missing} bytes are missing")
        connection, self._connection = self._connection, None
        self._ended = True
        if connection is None:
            return
        if self._response.will_close:
            connection.close()
        else:
            self._pool.release(connection)

    def _broken(self, kind: type[BrokenConnectionError], what: str) -> ClientError:
        error = kind(
            f"{what} while the answer was read",
            code="TruncatedStream" if kind is TruncatedStreamError else "BrokenConnection",
            request_id=self.request_id,
            status_code=self.status,
        )
        return self._deadline.judged(error)
