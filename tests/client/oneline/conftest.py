"""What the tests of the one-line functions share: a server, and tables of their own."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest
from odps.models import Table

from maxlake.testing import LocalServer, local_server
from odps import ODPS

_numbers = count()


@pytest.fixture(scope="session")
def shared_server() -> Iterator[LocalServer]:
    """A server for all tests that make tables of their own."""
    with local_server() as running:
        yield running


@pytest.fixture
def odps(shared_server: LocalServer) -> ODPS:
    """The entry object of the shared server."""
    return shared_server.odps()


@pytest.fixture
def new_table(odps: ODPS) -> Callable[..., Table]:
    """`new_table("id bigint", "day string", "primary key (id)")` → a table of the shared server."""

    def make(columns: str, partitions: str = "", key: str = "") -> Table:
        name = f"one_line_{next(_numbers)}"
        parts = f"partitioned by ({partitions})" if partitions else ""
        properties = "tblproperties ('transactional'='true')" if key else ""
        odps.execute_sql(f"create table {name} ({columns}{', ' if key else ''}{key}) {parts} {properties}")
        return odps.get_table(name)

    return make
