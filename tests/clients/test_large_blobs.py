"""Blobs of 300 MiB through every client."""

from collections.abc import Callable

import pytest

from tests.clients.environments import MAXLAKE
from tests.clients.real_client import RealClient, behaviours, label

pytestmark = [pytest.mark.client, pytest.mark.slow]

V2 = behaviours("v2_large_blobs.py")


@pytest.mark.parametrize("release", ["0.13.0", MAXLAKE])
@pytest.mark.parametrize("behaviour", V2, ids=label)
def test_storage_api_v2(
    real_client: Callable[[str, str], RealClient], behaviour: tuple[str, str], release: str
) -> None:
    real_client(release, "storage_api_v2.py").show(behaviour)


@pytest.mark.parametrize("behaviour", behaviours("ms_large_blobs.py"), ids=label)
def test_maxstorage(real_client: Callable[[str, str], RealClient], behaviour: tuple[str, str]) -> None:
    real_client("0.13.2", "maxstorage.py").show(behaviour)
