"""The servers and real clients that a run starts once, as a plugin of all tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from maxlake.testing import FaultProxy, LocalServer, fault_proxy, local_server
from tests.clients.real_client import RealClient, address

#: Long enough to use a session, short enough to wait for its end.
SHORT_LIFETIME = 2.0


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, LocalServer]]:
    """The real server that all real clients share, and one whose sessions soon expire."""
    with local_server() as server, local_server(session_lifetime=SHORT_LIFETIME) as short_lived:
        yield {"server": server, "short_lived": short_lived}
        for each in (server, short_lived):
            assert "Traceback" not in each.log, each.log


@pytest.fixture(scope="session")
def faulty(servers: dict[str, LocalServer]) -> Iterator[FaultProxy]:
    """The shared server's proxy, in which tests may let things go wrong."""
    with fault_proxy(servers["server"].endpoint) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def real_client(
    servers: dict[str, LocalServer], faulty: FaultProxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, str], RealClient]]:
    """`real_client(release, script)` → its process, started at first use."""
    started: dict[tuple[str, str], RealClient] = {}
    addresses = {name: address(server) for name, server in servers.items()}
    addresses["faulty"] = address(servers["server"], faulty.endpoint)
    with ExitStack() as stack:

        def start(release: str, script: str) -> RealClient:
            if (release, script) not in started:
                log = tmp_path_factory.mktemp("client") / "stderr"
                client = RealClient(release, script, addresses, log)
                started[release, script] = stack.enter_context(client)
            return started[release, script]

        yield start
