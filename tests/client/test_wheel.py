"""The built wheel: one file below ``odps/``, the documented import path, and a clean way out."""

import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTED = "odps/apis/storage_api_v2/__init__.py"

pytestmark = pytest.mark.slow

CHECK = """
import odps.apis.storage_api_v2 as documented, maxlake.storage_api_v2 as ours
assert documented.__all__ == ours.__all__
assert all(getattr(documented, name) is getattr(ours, name) for name in ours.__all__)
from odps import ODPS
import odps.apis.storage_api
print("found", documented.__file__)
"""


def run(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
    return done.stdout


def uv() -> str:
    private = ROOT / ".uv" / "bin" / "uv"
    found = shutil.which("uv") or (str(private) if private.exists() else None)
    if found is None:
        pytest.skip("absent tool: uv")
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    run(uv(), "build", "--quiet", "--wheel", "--out-dir", str(directory), str(ROOT))
    (built,) = directory.glob("*.whl")
    return built


def packages_of(environment: Path) -> Path:
    (found,) = environment.glob("lib/python*/site-packages")
    return found


def fingerprint(package: Path) -> dict[str, str]:
    return {
        str(path.relative_to(package)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def test_exactly_one_file_below_odps(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert [name for name in names if name.startswith("odps/")] == [DOCUMENTED]
    assert {name.split("/")[0] for name in names} - {"odps", "maxlake"} == {
        next(name.split("/")[0] for name in names if ".dist-info/" in name)
    }
    assert "maxlake/client/storage_api.py" in names


def test_installing_adds_the_path_and_uninstalling_leaves_pyodps_whole(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    python = str(environment / "bin" / "python")
    run(uv(), "venv", "--quiet", "--python", sys.executable, str(environment))
    run(uv(), "pip", "install", "--quiet", "--python", python, "pyodps>=0.13.2")
    before = fingerprint(packages_of(environment) / "odps")
    run(uv(), "pip", "install", "--quiet", "--python", python, str(wheel))
    installed = fingerprint(packages_of(environment) / "odps")
    assert installed.keys() - before.keys() == {DOCUMENTED.removeprefix("odps/")}
    assert "found" in run(python, "-I", "-c", CHECK)
    run(uv(), "pip", "uninstall", "--quiet", "--python", python, "maxlake")
    assert fingerprint(packages_of(environment) / "odps") == before
    run(python, "-I", "-c", "import odps.apis.storage_api; from odps import ODPS")


@pytest.mark.parametrize("owner", ["0.13.0", "0.13.1"])
def test_the_releases_that_own_the_path_are_refused(wheel: Path, tmp_path: Path, owner: str) -> None:
    environment = tmp_path / "environment"
    run(uv(), "venv", "--quiet", "--python", sys.executable, str(environment))
    command = (
        uv(),
        "pip",
        "install",
        "--dry-run",
        "--python",
        str(environment / "bin" / "python"),
        str(wheel),
        f"pyodps=={owner}",
    )
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    assert "pyodps" in done.stderr
