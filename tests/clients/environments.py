"""Virtual environments that hold a real PyODPS release and nothing of ours.

Made once per release and set of locked requirements, under `.cache/clients/`, then reused.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "clients"
RELEASES = ("0.13.0", "0.13.2")
#: Our own client, as users get it: installed from the wheel, beside the PyODPS that lacks one.
MAXLAKE = "maxlake"

# Enough for a download over a slow line; a test that only runs a client is given far less.
CREATE_SECONDS = 600.0


def client_python(version: str) -> Path:
    """The interpreter of an environment with `pyodps==version`, made at first use; ours for `MAXLAKE`.

    Safe to call from several processes at once: the first makes it, the others wait.
    """
    if version == MAXLAKE:
        return Path(sys.executable)
    requirements = ROOT / "requirements" / f"clients-{version}.txt"
    identity = hashlib.sha256(sys.version.encode() + requirements.read_bytes()).hexdigest()[:12]
    directory = CACHE / f"{version}-{identity}"
    python, complete = directory / "bin" / "python", directory / "complete"
    CACHE.mkdir(parents=True, exist_ok=True)
    with _locked(CACHE / f"{version}.lock"):
        if not complete.exists():
            _create(directory, python, requirements)
            complete.touch()
    return python


def run_in_client(
    version: str,
    script: Path,
    *args: str,
    env: Mapping[str, str] | None = None,
    timeout: float = 120.0,
) -> subprocess.CompletedProcess[str]:
    """Run a script with a real client; its output is captured, its exit status not judged.

    The process sees neither our source nor our environment: only `env` is added to what the
    machine sets. Raises `subprocess.TimeoutExpired` after `timeout` seconds.
    """
    command = [str(client_python(version)), str(script), *args]
    return subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**_foreign_environment(), **(env or {})},
    )


def start_in_client(version: str, script: Path, *args: str, stderr: IO[str]) -> subprocess.Popen[str]:
    """Start a script with a real client, as `run_in_client` does, to talk to it through pipes."""
    return subprocess.Popen(
        [str(client_python(version)), str(script), *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env=_foreign_environment(),
    )


def _foreign_environment() -> dict[str, str]:
    ours = ("PYTHON", "VIRTUAL_ENV", "MAXLAKE_", "PYTEST_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _create(directory: Path, python: Path, requirements: Path) -> None:
    uv = _find_uv()
    _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(directory))
    _run(uv, "pip", "sync", "--quiet", "--require-hashes", "--python", str(python), str(requirements))


def _find_uv() -> str:
    private = ROOT / ".uv" / "bin" / "uv"
    found = shutil.which("uv") or (str(private) if private.exists() else None)
    if found is None:
        raise FileNotFoundError("no uv on PATH nor in .uv/: run `make env` first")
    return found


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=CREATE_SECONDS)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
