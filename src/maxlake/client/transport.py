"""Sending requests and receiving answers over HTTP/1.1, synchronously. Nothing here knows an action."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

from maxlake.client.connections import ConnectionPool
from maxlake.client.deadline import Deadline
from maxlake.client.download import Download
from maxlake.client.errors import (
    BrokenConnectionError,
    ClientError,
    ConnectFailedError,
    error_from_answer,
)
from maxlake.client.exchange import Answer, HttpRequest
from maxlake.client.memory_budget import MemoryBudget
from maxlake.client.retry_budget import RetryBudget
from maxlake.client.upload import Upload
from maxlake.protocol.errors import ErrorCode
from maxlake.protocol.limits import CLIENT_FIRST_CALL_SECONDS
from odps import errors as odps_errors
from odps import options

if TYPE_CHECKING:
    from maxlake.client.endpoint import StorageEndpoint
    from maxlake.client.memory_budget import MemoryReservation

_TOO_MANY_REQUESTS = 429


class Transport:
    """The way to one endpoint. Thread-safe; every exchange has a connection of its own while it lasts."""

    def __init__(self, endpoint: StorageEndpoint) -> None:
        self._endpoint = endpoint
        self._pool = ConnectionPool(endpoint)
        self._answered = False

    def budget(self, seconds: float, deadline: Deadline) -> RetryBudget:
        """Return the budget of one operation.

        As long as nothing was ever heard from the endpoint, a wrong address is likelier than a restart.
        """
        return RetryBudget(seconds if self._answered else min(seconds, CLIENT_FIRST_CALL_SECONDS), deadline)

    def call(self, request: HttpRequest, budget: RetryBudget) -> Answer:
        """Return the answer to ``request``; any status but 200 is raised.

        While it may help and the budget lasts, a request is made again: one that is repeatable after any
        failure, another only if the service cannot have acted on it.
        """
        while True:
            try:
                download = self.download(request, budget.deadline)
                return Answer(download.status, download.headers, download.read_all())
            except ClientError as error:
                if not request.repeatable and not _was_refused(error):
                    raise
                budget.wait(error)

    def download(self, request: HttpRequest, deadline: Deadline) -> Download:
        """Return the answer to ``request`` with its body still to be read; any status but 200 is raised.

        What the service refused to look at, for its clock or ours or for old credentials, is asked once more.
        """
        try:
            return self._download_once(request, deadline)
        except odps_errors.AuthenticationRequestExpired:
            if not self._endpoint.reload_account():
                raise
        except ClientError as error:
            if error.code != ErrorCode.REQUEST_TIME_TOO_SKEWED or not self._endpoint.set_clock(error.date):
                raise
        return self._download_once(request, deadline)

    def upload(
        self,
        request: HttpRequest,
        deadline: Deadline | None = None,
        memory: MemoryReservation | None = None,
    ) -> Upload:
        """Send the head of ``request`` and return where its body goes, which may wait in ``memory``."""
        deadline = deadline or Deadline()
        memory = memory or MemoryBudget().reservation()
        connection = self._send(request, deadline, chunked=True)
        return Upload(self._pool, connection, self._endpoint.url, deadline, memory)

    def close(self) -> None:
        """Close idle connections; the transport stays usable."""
        self._pool.close()

    def _download_once(self, request: HttpRequest, deadline: Deadline) -> Download:
        connection = self._send(request, deadline, chunked=False)
        try:
            response = connection.getresponse()
        except (OSError, HTTPException) as error:
            connection.close()
            raise deadline.judged(self._broken(error)) from error
        self._answered = True
        download = Download(self._pool, connection, response, deadline)
        if download.status != 200:
            raise error_from_answer(
                download.status, download.headers, download.read_all(), self._endpoint.url
            )
        return download

    def _send(self, request: HttpRequest, deadline: Deadline, *, chunked: bool) -> HTTPConnection:
        signed = self._endpoint.sign(request)
        target = signed.url
        if not self._pool.sends_absolute_urls:
            target = target[target.index("/", target.index("://") + 3) :]
        headers = signed.headers | self._pool.proxy_headers | {"Host": self._endpoint.authority}
        if chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif request.body is not None:
            headers["Content-Length"] = str(len(request.body))
        connection = self._pool.acquire(deadline)
        try:
            connection.sock.settimeout(deadline.patience(options.read_timeout))
            connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders(request.body)
        except BaseException as error:
            connection.close()
            if isinstance(error, (OSError, HTTPException)):
                raise deadline.judged(self._broken(error)) from error
            raise
        return connection

    def _broken(self, error: Exception) -> BrokenConnectionError:
        return BrokenConnectionError(
            f"the connection to {self._endpoint.url} broke before the service answered "
            f"({error or type(error).__name__}); whether it acted on the request is not known",
            code="BrokenConnection",
            endpoint=self._endpoint.url,
        )


def _was_refused(error: ClientError) -> bool:
    """Whether the service cannot have acted on the request: it was not reached, or took on no more."""
    return isinstance(error, ConnectFailedError) or error.status_code == _TOO_MANY_REQUESTS
