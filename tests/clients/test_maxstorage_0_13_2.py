"""PyODPS 0.13.2's Storage API client, `odps.maxstorage`, against a real server process."""

from collections.abc import Callable

import pytest

from tests.clients.real_client import RealClient, behaviours, label, left_to_test_all, reads

pytestmark = pytest.mark.client

SCRIPTS = (
    "ms_writing.py",
    "ms_blobs.py",
    "ms_blocks.py",
    "ms_exactly_once.py",
    "ms_streaming.py",
    "ms_upserts.py",
    "ms_reading.py",
    "ms_instances.py",
    "rest.py",
)
#: Of compression other tests show the same, without a client.
TUNNEL = [each for each in behaviours("tunnel.py") if each[0] != "compressed"]
COMPRESSED = [each for each in behaviours("tunnel.py") if each[0] == "compressed"]
ALL = [*behaviours(*SCRIPTS), *reads("2"), *reads("3")]


@pytest.mark.parametrize(
    "behaviour",
    [
        *[each for each in ALL if each[1] != "2"],
        *left_to_test_all([each for each in ALL if each[1] == "2"]),
        *TUNNEL,
        *left_to_test_all([*COMPRESSED, *behaviours("sql.py", "tunnel_types.py")]),
    ],
    ids=label,
)
def test_pyodps_0_13_2(real_client: Callable[[str, str], RealClient], behaviour: tuple[str, str]) -> None:
    real_client("0.13.2", "maxstorage.py").show(behaviour)
