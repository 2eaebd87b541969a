"""The body of one request, sent piece by piece in chunked encoding, watching for an early answer."""

from __future__ import annotations

import io
import select
import socket
import ssl
from collections import deque
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Literal, cast

from maxlake.client.download import Download
from maxlake.client.errors import (
    BrokenConnectionError,
    ClientError,
    DeadlineExceededError,
    MalformedAnswerError,
    error_from_answer,
)
from maxlake.client.exchange import Answer
from maxlake.protocol.headers import REQUEST_ID_HEADER
from odps import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _typeshed import WriteableBuffer

    from maxlake.client.connections import ConnectionPool
    from maxlake.client.deadline import Deadline
    from maxlake.client.memory_budget import MemoryReservation


class EarlyAnswerError(Exception):
    """The service answered, or hung up, before the body was sent."""


class Upload:
    """A request whose head has been sent. ``memory`` is for what waits to be sent."""

    def __init__(
        self,
        pool: ConnectionPool,
        connection: HTTPConnection,
        endpoint: str,
        deadline: Deadline,
        memory: MemoryReservation,
    ) -> None:
        self.memory = memory
        self._deadline = deadline
        self._pool = pool
        self._connection = connection
        self._endpoint = endpoint
        self._sock = connection.sock
        self._ended = False
        self._poll = select.poll()
        self._poll.register(connection.sock, select.POLLIN | select.POLLOUT)

    def send(self, chunk: list[memoryview], *, leave: int = 0) -> list[memoryview]:
        """Send ``chunk``, without copying it, and return what the kernel did not take at once of it.

        That is at most ``leave`` bytes: for more, this waits. Raises the service's error if it answered
        early, ``BrokenConnectionError`` if it hung up or took nothing for ``options.read_timeout`` seconds,
        ``DeadlineExceededError`` when the time is over.
        """
        timeout = self._sock.gettimeout()
        try:
            self._sock.settimeout(0)
            rest = self._send_watching(deque(chunk), leave)
            self._sock.settimeout(timeout)
        except EarlyAnswerError:
            raise self._early_failure(timeout) from None
        except TimeoutError as error:
            self.abort()
            raise self._broken(f"the service took no data ({error})") from error
        except OSError as error:
            raise self._early_failure(timeout) from error
        return rest

    def finish(self) -> Answer:
        """End the body and return the service's answer, which has status 200."""
        self.send([memoryview(b"0\r\n\r\n")])
        answer = self._answer(reusable=True)
        if answer.status != 200:
            raise error_from_answer(answer.status, answer.headers, answer.body, self._endpoint)
        return answer

    def abort(self) -> None:
        """Drop the connection: the service discards what it received of this request."""
        if not self._ended:
            self._ended = True
            self._connection.close()

    def interrupt(self) -> None:
        """Break the connection under another thread that uses it, which then fails and closes it."""
        with suppress(OSError):
            # Not a TLS socket's own shutdown: the other thread would go on without encryption.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def _send_watching(self, waiting: deque[memoryview], leave: int) -> list[memoryview]:
        left = sum(view.nbytes for view in waiting)
        while left:
            patience = 0.0 if left <= leave else self._deadline.patience(options.read_timeout)
            ready = self._poll.poll(patience * 1000)
            if not ready and left <= leave:
                break
            if not ready:
                raise TimeoutError(f"in {patience:g} s")
            if ready[0][1] & ~select.POLLOUT:
                self._look()
            try:
                sent = _put(self._sock, waiting)
            except (BlockingIOError, ssl.SSLWantWriteError):
                continue
            left -= sent
            while waiting and sent >= waiting[0].nbytes:
                sent -= waiting.popleft().nbytes
            if sent:
                waiting[0] = waiting[0][sent:]
        return list(waiting)

    def _look(self) -> None:
        """Raise ``EarlyAnswerError`` unless the input is only for TLS itself, such as session tickets."""
        if isinstance(self._sock, ssl.SSLSocket):
            try:
                first = self._sock.recv(1)
            except ssl.SSLWantReadError:
                return
            self._connection.sock = cast("socket.socket", _Unread(self._sock, first))
        raise EarlyAnswerError

    def _early_failure(self, timeout: float | None) -> Exception:
        """Read what the service said instead of taking the body; the connection is not used again."""
        try:
            self._sock.settimeout(timeout)
            answer = self._answer(reusable=False)
        except (BrokenConnectionError, DeadlineExceededError) as error:
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
        download = Download(self._pool, self._connection, response, self._deadline)
        return Answer(download.status, download.headers, download.read_all())

    def _broken(self, what: str) -> ClientError:
        error = BrokenConnectionError(
            f"{what}; whether the service kept the rows is not known before the stream is looked at",
            code="BrokenConnection",
            endpoint=self._endpoint,
        )
        return self._deadline.judged(error)


def chunk_of(pieces: Sequence[memoryview]) -> list[memoryview]:
    """Return ``pieces`` as one chunk of a chunked body: nothing for no bytes, which would end it."""
    size = sum(piece.nbytes for piece in pieces)
    if not size:
        return []
    framed = (memoryview(f"{size:x}\r\n".encode()), *pieces, memoryview(b"\r\n"))
    return [piece for piece in framed if piece.nbytes]


class _Unread:
    """A TLS socket whose ``first`` received byte was read already: http.client is to read it again."""

    def __init__(self, sock: ssl.SSLSocket, first: bytes) -> None:
        self._sock = sock
        self._first = first
        self.close = sock.close
        self.settimeout = sock.settimeout

    def makefile(self, mode: Literal["rb"], buffering: int = -1) -> io.BufferedReader | _Joined:
        joined = _Joined(self._first, self._sock.makefile(mode, buffering=0))
        return io.BufferedReader(joined) if buffering else joined


class _Joined(io.RawIOBase):
    def __init__(self, first: bytes, rest: socket.SocketIO) -> None:
        self._first = first
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        if not self._first:
            return self._rest.readinto(buffer)
        memoryview(buffer).cast("B")[:1] = self._first
        self._first = b""
        return 1

    def close(self) -> None:
        self._rest.close()
        super().close()


def _put(sock: socket.socket, waiting: deque[memoryview]) -> int:
    """Pass on as much as the kernel takes now; return how much that was."""
    if isinstance(sock, ssl.SSLSocket):
        return sock.send(waiting[0])
    return sock.sendmsg(waiting)
