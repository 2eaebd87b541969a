"""``fault_proxy()``: an HTTP proxy before a service, in which a test makes things go wrong."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from urllib.parse import urlsplit

from maxlake.testing.listener import Answer, Listener, Request
from maxlake.testing.upstream import Upstream

Forward = Callable[[Request], Answer]
#: Stands between client and service: may change the request, forward it or not, change the answer, or
#: raise ConnectionCut. Called by many threads at once.
Fault = Callable[[Request, Forward], Answer]


class FaultProxy:
    """A running proxy; without a fault it changes nothing. Made by ``fault_proxy``."""

    def __init__(self, service: str) -> None:
        parts = urlsplit(service)
        if parts.scheme != "http":
            raise ValueError(f"the fault proxy speaks plain HTTP only, not {service!r}")
        self._service = Upstream(service)
        self._fault: Fault | None = None
        self._listener = Listener(self._answer)
        #: Where clients reach the service through the proxy.
        self.endpoint = f"http://{self._listener.address}{parts.path}"

    @contextmanager
    def inject(self, fault: Fault) -> Generator[None]:
        """Let ``fault`` have every request that comes within the ``with``."""
        self._fault = fault
        try:
            yield
        finally:
            self._fault = None

    @contextmanager
    def running(self) -> Generator[FaultProxy]:
        """Accept requests within the ``with``."""
        with self._listener.running():
            yield self

    def _answer(self, request: Request) -> Answer:
        fault = self._fault
        return self._service.ask(request) if fault is None else fault(request, self._service.ask)


@contextmanager
def fault_proxy(endpoint: str) -> Generator[FaultProxy]:
    """Run a proxy on this machine for the service at ``endpoint``, such as ``LocalServer.endpoint``.

    Raises ValueError unless that is an ``http://`` address.
    """
    with FaultProxy(endpoint).running() as proxy:
        yield proxy
