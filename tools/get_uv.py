"""Put the locked release of uv into a private directory: `get_uv.py DIRECTORY REQUIREMENTS`.

Runs on a bare Python >= 3.11. Nothing outside DIRECTORY is changed, no rights are needed, and the
download is checked against the hashes in REQUIREMENTS whichever way it is made:

* where Python can make a virtual environment with pip in it, uv is installed there;
* where ensurepip is missing (Debian splits it off), the environment is made without pip, the wheel
  is fetched by any pip that can be found, and unpacked.

The package index is the one pip is configured for.
"""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

Command = list[str]

PIP_OPTIONS = (
    "--quiet",
    "--disable-pip-version-check",
    "--no-deps",
    "--require-hashes",
    "--only-binary",
    ":all:",
)
SYSTEM_WHEELS = Path("/usr/share/python-wheels")


def run(*command: str | Path, cwd: Path | None = None) -> bool:
    """Run a command, its output to ours; whether it succeeded."""
    return subprocess.run([*map(str, command)], check=False, cwd=cwd, stdout=sys.stderr).returncode == 0


def pips(scratch: Path) -> Iterator[Command]:
    """Ways to run pip here, the nearest first; each may turn out not to work."""
    if importlib.util.find_spec("pip"):
        yield [sys.executable, "-m", "pip"]
    yield from from_wheels(SYSTEM_WHEELS)
    if shutil.which("apt-get") and shutil.which("dpkg-deb"):
        yield from from_wheels(debian_wheels(scratch))


def from_wheels(directory: Path) -> Iterator[Command]:
    """A pip wheel runs as it lies: Python imports from the archive."""
    for wheel in sorted(directory.glob("pip-*.whl"), reverse=True):
        yield [sys.executable, str(wheel / "pip")]


def debian_wheels(scratch: Path) -> Path:
    """Debian's own pip wheel, downloaded and unpacked without installing it.

    The package lists are kept in `scratch` too, since a fresh system has none and its own are root's.
    """
    lists, cache = scratch / "lists", scratch / "cache"
    (lists / "partial").mkdir(parents=True)
    (cache / "archives" / "partial").mkdir(parents=True)
    apt = ["apt-get", "-qq", "-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={cache}"]
    apt += ["-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root"]
    if run(*apt, "update") and run(*apt, "download", "python3-pip-whl", cwd=scratch):
        for package in scratch.glob("python3-pip-whl_*.deb"):
            run("dpkg-deb", "-x", package, scratch / "unpacked")
    return scratch / "unpacked" / SYSTEM_WHEELS.relative_to("/")


def unpack_uv(wheel: Path, bin_directory: Path) -> None:
    """Take the executables out of uv's wheel."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if ".data/scripts/" in member.filename and not member.is_dir():
                target = bin_directory / Path(member.filename).name
                target.write_bytes(archive.read(member))
                target.chmod(0o755)


def make_environment(directory: Path) -> bool:
    """Make the virtual environment; whether there is a pip in it."""
    ensurepip = importlib.util.find_spec("ensurepip")
    # Asked before: Debian's venv exits the process where its ensurepip is split off.
    if ensurepip and ensurepip.origin:
        try:
            venv.create(directory, clear=True, with_pip=True, symlinks=True)
        except subprocess.CalledProcessError as error:
            print(f"no pip in the virtual environment ({error})", file=sys.stderr)
        else:
            return True
    venv.create(directory, clear=True, with_pip=False, symlinks=True)
    return False


def fetch(directory: Path, requirements: Path) -> bool:
    """Download uv's wheel with whatever pip is found, and unpack it."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        for pip in pips(scratch):
            if run(*pip, "download", *PIP_OPTIONS, "-r", requirements, "-d", scratch / "wheel"):
                unpack_uv(next((scratch / "wheel").glob("uv-*.whl")), directory / "bin")
                return True
    return False


def main() -> int:
    """Install uv and check that it runs."""
    directory, requirements = Path(sys.argv[1]), Path(sys.argv[2])
    if make_environment(directory):
        pip = directory / "bin" / "python", "-m", "pip"
        got = run(*pip, "install", *PIP_OPTIONS, "-r", requirements)
    else:
        got = fetch(directory, requirements)
    if not (got and run(directory / "bin" / "uv", "--version")):
        print(
            "Could not fetch uv. Put uv on PATH, or give this Python its ensurepip module (Debian: the "
            "package python3-venv), or check the package index pip is configured for.",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
