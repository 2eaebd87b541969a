"""PyODPS 0.13.0's own Storage API client, `odps.apis.storage_api_v2`, against a real server process."""

from collections.abc import Callable

import pytest

from tests.clients.real_client import RealClient, behaviours, label, left_to_test_all, reads

pytestmark = pytest.mark.client


@pytest.mark.parametrize(
    "behaviour",
    [
        *behaviours(
            "v2_writing.py",
            "v2_forms.py",
            "v2_exactly_once.py",
            "v2_upserts.py",
            "v2_reading.py",
            "v2_access.py",
            "v2_blobs.py",
            "rest.py",
        ),
        *behaviours("v2_instances.py"),
        *reads(),
        *behaviours("tunnel_types.py"),
        *left_to_test_all(behaviours("sql.py", "tunnel.py")),
    ],
    ids=label,
)
def test_pyodps_0_13_0(real_client: Callable[[str, str], RealClient], behaviour: tuple[str, str]) -> None:
    real_client("0.13.0", "storage_api_v2.py").show(behaviour)
