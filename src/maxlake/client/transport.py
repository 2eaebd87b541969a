"""Sending requests and receiving answers over HTTP/1.1, synchronously. Nothing here knows an action."""

from __future__ import annotations

import time
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

from maxlake.client.connections import ConnectionPool
from maxlake.client.download import Download
from maxlake.client.errors import BrokenConnectionError, ClientError, error_from_answer
from maxlake.client.exchange import Answer, HttpRequest
from maxlake.client.upload import Upload
from maxlake.protocol.limits import CLIENT_GET_ATTEMPTS, CLIENT_RETRY_PAUSE
from odps import errors as odps_errors

if TYPE_CHECKING:
    from maxlake.client.endpoint import StorageEndpoint

_RETRIED_STATUSES = (502, 503, 504)


class Transport:
    """The way to one endpoint. Thread-safe; every exchange has a connection of its own while it lasts."""

    def __init__(self, endpoint: StorageEndpoint) -> None:
        self._endpoint = endpoint
        self._pool = ConnectionPool(endpoint)

    def call(self, request: HttpRequest) -> Answer:
        """Return the answer to ``request``; any status but 200 is raised.

        A GET is repeated after a short pause when the service is overloaded or hangs up; a POST
        never is (wire.md §3.4).
        """
        if request.method != "GET":
            return self._call_once(request)
        pause = CLIENT_RETRY_PAUSE
        for _ in range(CLIENT_GET_ATTEMPTS - 1):
            try:
                return self._call_once(request)
            except ClientError as error:
                broken = isinstance(error, BrokenConnectionError)
                if not broken and error.status_code not in _RETRIED_STATUSES:
                    raise
            time.sleep(pause)
            pause *= 2
        return self._call_once(request)

    def download(self, request: HttpRequest) -> Download:
        """Return the answer to ``request`` with its body still to be read; any status but 200 is raised."""
        try:
            return self._download_once(request)
        except odps_errors.AuthenticationRequestExpired:
            # The service refused to look at the request: asking again repeats nothing.
            if not self._endpoint.reload_account():
                raise
        return self._download_once(request)

    def upload(self, request: HttpRequest) -> Upload:
        """Send the head of ``request`` and return where its body goes."""
        connection = self._send(request, chunked=True)
        return Upload(self._pool, connection, self._endpoint.url)

    def close(self) -> None:
        """Close idle connections; the transport stays usable."""
        self._pool.close()

    def _call_once(self, request: HttpRequest) -> Answer:
        download = self.download(request)
        return Answer(download.status, download.headers, download.read_all())

    def _download_once(self, request: HttpRequest) -> Download:
        connection = self._send(request, chunked=False)
        try:
            response = connection.getresponse()
        except (OSError, HTTPException) as error:
            connection.close()
            raise self._broken(error) from error
        download = Download(self._pool, connection, response)
        if download.status != 200:
            raise error_from_answer(
                download.status, download.headers, download.read_all(), self._endpoint.url
            )
        return download

    def _send(self, request: HttpRequest, *, chunked: bool) -> HTTPConnection:
        signed = self._endpoint.sign(request)
        target = signed.url
        if not self._pool.sends_absolute_urls:
            target = target[target.index("/", target.index("://") + 3) :]
        headers = signed.headers | self._pool.proxy_headers | {"Host": self._endpoint.authority}
        if chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif request.body is not None:
            headers["Content-Length"] = str(len(request.body))
        connection = self._pool.acquire()
        try:
            connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders(request.body)
        except BaseException as error:
            connection.close()
            if isinstance(error, (OSError, HTTPException)):
                raise self._broken(error) from error
            raise
        return connection

    def _broken(self, error: Exception) -> BrokenConnectionError:
        return BrokenConnectionError(
            f"the connection to {self._endpoint.url} broke before the service answered "
            f"({error or type(error).__name__}); whether it acted on the request is not known",
            code="BrokenConnection",
            endpoint=self._endpoint.url,
        )
