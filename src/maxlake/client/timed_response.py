"""Answers within a deadline: http.client bounds only the silence between two bytes, however few they are."""

from __future__ import annotations

import io
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any, Literal

from odps import options

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from _typeshed import WriteableBuffer

    from maxlake.client.deadline import Deadline


def response_class(deadline: Deadline) -> Callable[..., HTTPResponse]:
    """Return how a connection makes its response, for an exchange that ends with ``deadline``."""
    if not deadline.is_set:
        return HTTPResponse

    def made(sock: Any, *how: Any, **more: Any) -> HTTPResponse:
        timed: Any = _TimedSocket(sock, deadline)
        return HTTPResponse(timed, *how, **more)

    return made


class _TimedSocket:
    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline

    def makefile(self, mode: Literal["rb"]) -> io.BufferedReader:
        return io.BufferedReader(
            _TimedFile(self._sock, self._sock.makefile(mode, buffering=0), self._deadline)
        )


class _TimedFile(io.RawIOBase):
    def __init__(self, sock: socket.socket, received: Any, deadline: Deadline) -> None:
        self._sock = sock
        self._received = received
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        self._sock.settimeout(self._deadline.patience(options.read_timeout))
        return self._received.readinto(buffer)

    def close(self) -> None:
        self._received.close()
        super().close()
