from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from maxlake.server.keys import ACCESS_ID_VARIABLE, SECRET_VARIABLE
from maxlake.testing import FaultProxy, LocalServer, fault_proxy, local_server
from tests.clients.real_client import RealClient, address
from tests.page.scene import Place

#: Seconds; a scene waits for it to end.
SHORT_LIFETIME = 0.5
#: The document's set-up code, but for its endpoint, holds as it is.
KEY = {ACCESS_ID_VARIABLE: "your_access_id", SECRET_VARIABLE: "your_secret_access_key"}
PROJECT = "your_project"


@pytest.fixture(scope="session")
def documented_server() -> Iterator[LocalServer]:
    with local_server(project=PROJECT, environment=KEY) as server:
        yield server
        assert "Traceback" not in server.log, server.log


@pytest.fixture(scope="session")
def proxy(documented_server: LocalServer) -> Iterator[FaultProxy]:
    with fault_proxy(documented_server.endpoint) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def page_client(
    documented_server: LocalServer, proxy: FaultProxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], RealClient]]:
    """`page_client(release)` → the process that runs examples with that client, started at first use."""
    started: dict[str, RealClient] = {}
    with (
        local_server(project=PROJECT, environment=KEY, session_lifetime=SHORT_LIFETIME) as short_lived,
        ExitStack() as stack,
    ):
        addresses = {
            Place.SERVER: address(documented_server),
            Place.SHORT_LIVED: address(short_lived),
            Place.FAULTY: address(documented_server, proxy.endpoint),
        }

        def start(release: str) -> RealClient:
            if release not in started:
                log = tmp_path_factory.mktemp("client") / "stderr"
                client = RealClient(release, Path(__file__).with_name("player.py"), addresses, log)
                started[release] = stack.enter_context(client)
            return started[release]

        yield start
