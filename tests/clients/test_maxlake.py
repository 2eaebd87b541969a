"""Our own client does what PyODPS 0.13.0's does: the same scripts, through the same import path."""

from collections.abc import Callable

import pytest

from tests.clients.environments import MAXLAKE
from tests.clients.real_client import RealClient, behaviours, label, reads

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
        ),
        *behaviours("v2_instances.py"),
        *reads(),
    ],
    ids=label,
)
def test_maxlake(real_client: Callable[[str, str], RealClient], behaviour: tuple[str, str]) -> None:
    real_client(MAXLAKE, "storage_api_v2.py").show(behaviour)
