import sys
from pathlib import Path

import pytest

from tests.clients.environments import RELEASES, client_python, run_in_client

pytestmark = pytest.mark.client

# Where each release keeps its Storage API client.
MODULE = {"0.13.0": "odps.apis.storage_api_v2", "0.13.2": "odps.maxstorage"}

LOOK = """
import importlib, importlib.util, os, sys
import odps, pyarrow, pandas, zstandard, lz4.frame, pytest
print(odps.__version__)
print(importlib.import_module(sys.argv[1]).__name__)
print(importlib.util.find_spec("maxlake") is None)
print(sys.prefix != sys.argv[2])
print(os.environ.get("GIVEN"), os.environ.get("MAXLAKE_TEST_SEED"), os.environ.get("PYTHONPATH"))
"""


@pytest.mark.parametrize("version", RELEASES)
def test_environment_holds_its_client_and_nothing_of_ours(version: str, tmp_path: Path) -> None:
    script = tmp_path / "look.py"
    script.write_text(LOOK)
    done = run_in_client(version, script, MODULE[version], sys.prefix, env={"GIVEN": "yes"})
    assert done.stderr == ""
    assert done.stdout.split("\n")[:-1] == [version, MODULE[version], "True", "True", "yes None None"]


def test_documented_path_is_gone_in_0_13_2(tmp_path: Path) -> None:
    script = tmp_path / "look.py"
    script.write_text("import odps.apis.storage_api_v2")
    assert "No module named" in run_in_client("0.13.2", script).stderr


def test_environments_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    first = client_python("0.13.2")
    monkeypatch.setattr("tests.clients.environments._find_uv", lambda: pytest.fail("made again"))
    assert client_python("0.13.2") == first
