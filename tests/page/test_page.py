"""Every example group of the documented client runs, with our client and with PyODPS 0.13.0's own.

How many did is told at the end of the run.
"""

from collections.abc import Callable
from contextlib import nullcontext

import pytest

from maxlake.testing import FaultProxy
from tests.clients.environments import MAXLAKE
from tests.clients.real_client import RealClient
from tests.page.faults import FAULTS
from tests.page.scene import Place
from tests.page.scenes import SCENES
from tests.page.summary import RAN

pytestmark = pytest.mark.client

NAMES = sorted(SCENES, key=lambda name: SCENES[name].number)
PYODPS = "0.13.0"


def label(name: str) -> str:
    return f"{SCENES[name].number}-{name}"


@pytest.mark.parametrize("release", [MAXLAKE, pytest.param(PYODPS, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", NAMES, ids=label)
def test_examples(
    real_client: Callable[[str, str], RealClient],
    faulty: FaultProxy,
    record_property: Callable[[str, object], None],
    name: str,
    release: str,
) -> None:
    scene = SCENES[name]
    with faulty.inject(FAULTS[name]) if name in FAULTS else nullcontext():
        error = real_client(release, "storage_api_v2.py").error_of(("example", name))
    record_property(RAN, [release, scene.number, error is None])
    broken = scene.broken if release == PYODPS else None
    if broken is not None and error is None:
        pytest.fail(f"with PyODPS {PYODPS} it works: {broken}", pytrace=False)
    if error is not None and (broken is None or broken.shows not in error):
        pytest.fail(error, pytrace=False)


def test_only_scenes_at_a_faulty_place_have_a_fault() -> None:
    assert {name for name, scene in SCENES.items() if scene.place is Place.FAULTY} == FAULTS.keys()
