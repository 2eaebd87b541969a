from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from maxlake.testing import LocalServer, local_server
from tests.clients.real_client import SCRIPTS, RealClient, address

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
def real_client(
    servers: dict[str, LocalServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, str], RealClient]]:
    """`real_client(release, script)` → its process, started at first use."""
    started: dict[tuple[str, str], RealClient] = {}
    addresses = {name: address(server) for name, server in servers.items()}
    with ExitStack() as stack:

        def start(release: str, script: str) -> RealClient:
            if (release, script) not in started:
                log = tmp_path_factory.mktemp("client") / "stderr"
                client = RealClient(release, SCRIPTS / script, addresses, log)
                started[release, script] = stack.enter_context(client)
            return started[release, script]

        yield start
