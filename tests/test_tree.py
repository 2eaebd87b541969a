"""What no file of the project may contain: a path of one machine, or a package index's host."""

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# What `make` and its tools leave behind (.gitignore), and this very list.
NOT_OURS = {
    ".git",
    ".venv",
    ".uv",
    ".cache",
    "build",
    "dist",
    ".pytest_cache",
    ".ruff_cache",
    ".hypothesis",
    "tests",
}
FORBIDDEN = re.compile(r"/(?:work|tmp|root)/|/home/\w|pypi\.org|pythonhosted\.org")


def project_files() -> list[Path]:
    found = list[Path]()
    for directory, directories, names in os.walk(ROOT):
        directories[:] = [name for name in directories if name not in NOT_OURS and name != "__pycache__"]
        found += [Path(directory, name) for name in names if name not in NOT_OURS]
    return found


def test_no_file_names_a_machine_or_an_index() -> None:
    files = project_files()
    assert ROOT / "pyproject.toml" in files
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in files
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if FORBIDDEN.search(line)
    ]
    assert not wrong, "\n".join(wrong)
