"""Connections to the service: opened with time limits, kept for reuse, never reused once stale."""

from __future__ import annotations

import base64
import os
import select
import socket
import ssl
import time
from contextlib import suppress
from http.client import HTTPConnection, HTTPSConnection
from ipaddress import ip_address
from threading import Lock
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from maxlake.client.errors import ConnectFailedError, ConnectTimeoutError
from maxlake.client.timed_response import response_class
from maxlake.protocol.limits import (
    CLIENT_CONNECT_ATTEMPTS,
    CLIENT_IDLE_CONNECTIONS,
    CLIENT_IDLE_SECONDS,
    CLIENT_RETRY_PAUSE,
)
from odps import options

if TYPE_CHECKING:
    from maxlake.client.deadline import Deadline
    from maxlake.client.endpoint import StorageEndpoint


class ConnectionPool:
    """Keep-alive connections to one endpoint; safe to use from many threads, and after a fork."""

    def __init__(self, endpoint: StorageEndpoint) -> None:
        self._endpoint = endpoint
        self._lock = Lock()
        self._idle: list[tuple[HTTPConnection, float]] = []
        self._process = os.getpid()
        self._proxy = _proxy_for(endpoint)
        self._tls = _tls_context() if endpoint.secure else None

    @property
    def sends_absolute_urls(self) -> bool:
        """Whether request lines carry whole URLs: plain HTTP through a proxy."""
        return self._proxy is not None and not self._endpoint.secure

    @property
    def proxy_headers(self) -> dict[str, str]:
        """Headers for the proxy itself, when it reads our requests."""
        return _proxy_credentials(self._proxy) if self._proxy and self.sends_absolute_urls else {}

    def acquire(self, deadline: Deadline) -> HTTPConnection:
        """Return a live connection, reused or new, for one exchange.

        Raises ``ConnectTimeoutError`` or ``ConnectFailedError`` after several attempts,
        ``DeadlineExceededError`` when the time is over.
        """
        connection = self._take_live() or self._connect(deadline)
        connection.response_class = cast("Any", response_class(deadline))
        return connection

    def release(self, connection: HTTPConnection) -> None:
        """Take back a connection whose last answer was read to its end."""
        with self._lock:
            self._forget_parent()
            if connection.sock is not None and len(self._idle) < CLIENT_IDLE_CONNECTIONS:
                self._idle.append((connection, time.monotonic()))
                return
        connection.close()

    def close(self) -> None:
        """Close every idle connection."""
        while (idle := self._take_idle()) is not None:
            idle[0].close()

    def _take_live(self) -> HTTPConnection | None:
        while (idle := self._take_idle()) is not None:
            connection, since = idle
            if time.monotonic() - since < CLIENT_IDLE_SECONDS and not _has_input(connection):
                return connection
            connection.close()
        return None

    def _take_idle(self) -> tuple[HTTPConnection, float] | None:
        with self._lock:
            self._forget_parent()
            return self._idle.pop() if self._idle else None

    def _forget_parent(self) -> None:
        """After a fork the idle sockets belong to the parent: two processes must not share one."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._idle = []

    def _connect(self, deadline: Deadline) -> HTTPConnection:
        pause = CLIENT_RETRY_PAUSE
        for attempt in range(1, CLIENT_CONNECT_ATTEMPTS + 1):
            try:
                return self._open(deadline)
            except ssl.SSLError as error:
                raise deadline.judged(self._failure(error)) from error
            except OSError as error:
                if attempt == CLIENT_CONNECT_ATTEMPTS or deadline.left <= pause:
                    raise deadline.judged(self._failure(error)) from error
            time.sleep(pause)
            pause *= 2
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _open(self, deadline: Deadline) -> HTTPConnection:
        endpoint, timeout = self._endpoint, deadline.patience(options.connect_timeout)
        host, port = endpoint.host, endpoint.port
        if self._proxy is not None:
            host, port = str(self._proxy.hostname), self._proxy.port or 80
        if self._tls is None:
            connection = HTTPConnection(host, port, timeout=timeout)
        else:
            connection = HTTPSConnection(host, port, timeout=timeout, context=self._tls)
            if self._proxy is not None:
                connection.set_tunnel(endpoint.host, endpoint.port, _proxy_credentials(self._proxy))
        connection.connect()
        _send_unpaced(connection.sock)
        return connection

    def _failure(self, error: OSError) -> ConnectFailedError:
        endpoint = self._endpoint.url
        if isinstance(error, TimeoutError):
            message = f"no connection to {endpoint} in {options.connect_timeout} s"
            return ConnectTimeoutError(message, code="ConnectTimeout", endpoint=endpoint)
        message = f"cannot connect to {endpoint}: {error}; nothing was sent"
        return ConnectFailedError(message, code="ConnectFailed", endpoint=endpoint)


def _send_unpaced(sock: socket.socket) -> None:
    """Let the service alone pace uploads within a machine: BBR slowed them by a third.

    On networks the choice is the administrator's.
    """
    if ip_address(sock.getpeername()[0]).is_loopback:
        with suppress(AttributeError, OSError):  # not every system has it, or allows a choice
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")


def _has_input(connection: HTTPConnection) -> bool:
    """Whether an idle connection shows input: its end, or an answer nobody asked for."""
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))


def _tls_context() -> ssl.SSLContext:
    """Follow ``options.verify_ssl``: true, false, or the path of a file of authorities."""
    verify: Any = options.verify_ssl
    context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _proxy_for(endpoint: StorageEndpoint) -> SplitResult | None:
    """Return the proxy of ``options.data_proxy``, or of the environment, that serves ``endpoint``."""
    scheme = "https" if endpoint.secure else "http"
    configured: Any = options.data_proxy
    if configured is None:
        if proxy_bypass(endpoint.host):
            return None
        configured = getproxies()
    proxy = cast("dict[str, str]", configured).get(scheme) if isinstance(configured, dict) else configured
    if not proxy:
        return None
    return urlsplit(proxy if "://" in proxy else f"http://{proxy}")


def _proxy_credentials(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
