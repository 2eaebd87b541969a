"""Optional programs that some tests need: where they are, and whether this run must have them."""

import os
import shutil
from pathlib import Path

ABSENT = "absent tool:"

# Debian keeps PostgreSQL's server programs off PATH, one directory per major version.
DEBIAN_POSTGRESQL = Path("/usr/lib/postgresql")


def required_tools() -> set[str]:
    """The tools named in MAXLAKE_REQUIRE."""
    return {name.strip() for name in os.environ.get("MAXLAKE_REQUIRE", "").split(",") if name.strip()}


def find_tool(name: str) -> Path | None:
    """The program, or for `postgresql` the directory that holds `initdb` and `postgres`."""
    if name == "postgresql":
        return _find_postgresql()
    found = shutil.which(name)
    return Path(found) if found else None


def _find_postgresql() -> Path | None:
    """What PATH holds, else the newest of Debian's: the two programs must lie together."""
    candidates = sorted(DEBIAN_POSTGRESQL.glob("*/bin"), key=_major_version, reverse=True)
    initdb = shutil.which("initdb")
    if initdb:
        candidates.insert(0, Path(initdb).resolve().parent)
    return next(
        (each for each in candidates if (each / "initdb").exists() and (each / "postgres").exists()), None
    )


def _major_version(directory: Path) -> int:
    return int(directory.parent.name) if directory.parent.name.isdigit() else 0
