"""The body of one request, sent piece by piece in chunked encoding, watching for an early answer."""

from __future__ import annotations

import select
import socket
import ssl
from collections import deque
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

from maxlake.client.download import Download
from maxlake.client.errors import BrokenConnectionError, MalformedAnswerError, error_from_answer
from maxlake.client.exchange import Answer
from maxlake.protocol.headers import REQUEST_ID_HEADER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maxlake.client.connections import ConnectionPool

#: Buffers one ``sendmsg`` may take on Linux.
_IOV_MAX = 1024


class EarlyAnswerError(Exception):
    """The service answered, or hung up, before the body was sent."""


class Upload:
    """A request whose head has been sent."""

    def __init__(self, pool: ConnectionPool, connection: HTTPConnection, endpoint: str) -> None:
        self._pool = pool
        self._connection = connection
        self._endpoint = endpoint
        self._ended = False
        self._poll = select.poll()
        self._poll.register(connection.sock, select.POLLIN | select.POLLOUT)

    def send(self, pieces: Sequence[bytes | bytearray | memoryview]) -> None:
        """Send ``pieces`` as one chunk, without copying them.

        Raises the service's error if it answered early, ``BrokenConnectionError`` if it hung up.
        """
        views = [memoryview(piece).cast("B") for piece in pieces]
        size = sum(view.nbytes for view in views)
        if size == 0:
            return
        self._transmit([memoryview(f"{size:x}\r\n".encode()), *views, memoryview(b"\r\n")])

    def finish(self) -> Answer:
        """End the body and return the service's answer, which has status 200."""
        self._transmit([memoryview(b"0\r\n\r\n")])
        answer = self._answer(reusable=True)
        if answer.status != 200:
            raise error_from_answer(answer.status, answer.headers, answer.body, self._endpoint)
        return answer

    def abort(self) -> None:
        """Drop the connection: the service discards what it received of this request."""
        if not self._ended:
            self._ended = True
            self._connection.close()

    def _transmit(self, views: list[memoryview]) -> None:
        try:
            if isinstance(self._connection.sock, ssl.SSLSocket):
                # Input on a TLS socket need not be an answer (session tickets): no early look there.
                for view in views:
                    self._connection.sock.sendall(view)
            else:
                self._send_watching(views)
        except EarlyAnswerError:
            raise self._early_failure() from None
        except TimeoutError as error:
            self.abort()
            raise self._broken(f"the service took no data ({error})") from error
        except OSError as error:
            raise self._early_failure() from error

    def _send_watching(self, views: list[memoryview]) -> None:
        sock = self._connection.sock
        timeout = sock.gettimeout()
        waiting = deque(views)
        while waiting:
            ready = self._poll.poll(None if timeout is None else timeout * 1000)
            if not ready:
                raise TimeoutError(f"{timeout} s")
            if ready[0][1] & ~select.POLLOUT:
                raise EarlyAnswerError
            batch = [waiting[index] for index in range(min(len(waiting), _IOV_MAX))]
            try:
                sent = sock.sendmsg(batch, [], socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
            while waiting and sent >= waiting[0].nbytes:
                sent -= waiting.popleft().nbytes
            if sent:
                waiting[0] = waiting[0][sent:]

    def _early_failure(self) -> Exception:
        """Read what the service said instead of taking the body; the connection is not used again."""
        try:
            answer = self._answer(reusable=False)
        except BrokenConnectionError as error:
            return error
        if answer.status != 200:
            return error_from_answer(answer.status, answer.headers, answer.body, self._endpoint)
        return MalformedAnswerError(
            "the service answered 200 before the whole body was sent",
            code="MalformedAnswer",
            request_id=answer.headers.get(REQUEST_ID_HEADER),
            status_code=200,
        )

    def _answer(self, *, reusable: bool) -> Answer:
        try:
            response = self._connection.getresponse()
        except (OSError, HTTPException) as error:
            self.abort()
            raise self._broken(f"the connection broke ({error or type(error).__name__})") from error
        self._ended = True
        response.will_close = response.will_close or not reusable
        download = Download(self._pool, self._connection, response)
        return Answer(download.status, download.headers, download.read_all())

    def _broken(self, what: str) -> BrokenConnectionError:
        return BrokenConnectionError(
            f"{what}; whether the service kept the rows is not known before the stream is looked at",
            code="BrokenConnection",
            endpoint=self._endpoint,
        )
