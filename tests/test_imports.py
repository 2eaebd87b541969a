"""Imports run one way (docs/design.md §1): read from the sources, then seen in a real process."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"

# What each part of maxlake may import of the others; itself always.
EVERYTHING_BELOW = {"protocol", "lake", "service", "server", "client", "integrations", "testing"}
MAY_IMPORT = {
    "__init__": {"client"},  # when one of its names is first asked for
    "failpoints": set[str](),
    "storage_api_v2": {"client"},
    "protocol": set[str](),
    "lake": {"protocol", "failpoints"},
    "service": {"lake", "protocol", "failpoints"},
    "server": {"service", "protocol", "failpoints"},
    "client": {"protocol"},
    "integrations": {"client", "protocol"},
    "testing": {"server", "service", "lake", "client", "protocol", "failpoints"},
    "cli": EVERYTHING_BELOW,
    "__main__": {"cli"},
}

# Third parties that one layer is kept free of, whoever would like them there.
HTTP = {"http", "urllib3", "requests", "starlette", "uvicorn", "httptools", "socket"}
DATABASES = {"duckdb", "sqlalchemy", "sqlite3", "psycopg"}
NEVER_IMPORTS = {
    "protocol": HTTP | DATABASES | {"odps", "pandas", "os", "pathlib", "shutil", "tempfile"},
    "lake": HTTP | {"odps", "pandas"},
    "service": HTTP | {"odps", "pandas"},
    "server": {"odps", "pandas"},
    # It hands rows to the caller's DuckDB, if there is one.
    "client": (DATABASES - {"duckdb"}) | {"starlette", "uvicorn"},
    "testing": {"odps", "pandas"},
    "cli": {"odps", "pandas"},
}


def part_of(name: str) -> str:
    """`maxlake.lake.tables` → `lake`; `maxlake` → `__init__`."""
    return [*name.split("."), "__init__"][1]


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST, module: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """Line and full name of every module that a source file imports, wherever in it."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], *filter(None, [base])])
            # `from maxlake import lake` names the part in what is imported.
            names = [f"{base}.{alias.name}" for alias in node.names] if base == "maxlake" else [base]
            yield from ((node.lineno, name) for name in names)


def wrong_imports(source: str, module: str, *, is_package: bool = False) -> list[str]:
    part, wrong = part_of(module), list[str]()
    for line, name in imported(ast.parse(source), module, is_package):
        top = name.partition(".")[0]
        if top == "maxlake":
            target = part_of(name)
            # `from maxlake import __version__` is the package itself, which loads nothing by itself.
            allowed = target in {part, "__init__", "__version__"} or target in MAY_IMPORT[part]
        else:
            allowed = top not in NEVER_IMPORTS.get(part, ())
        if not allowed:
            wrong.append(f"{module}:{line}: {part} must not import {name}")
    return wrong


def test_every_import_runs_the_one_way() -> None:
    files = sorted((SOURCE / "maxlake").rglob("*.py"))
    assert files
    unknown = {part_of(module_name(path)) for path in files} - MAY_IMPORT.keys()
    assert not unknown, f"no rule says what these may import: {sorted(unknown)}"
    wrong = [
        line
        for path in files
        for line in wrong_imports(path.read_text(), module_name(path), is_package=path.name == "__init__.py")
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_but_the_documented_path_lies_below_odps() -> None:
    documented = SOURCE / "odps" / "apis" / "storage_api_v2" / "__init__.py"
    below = [path for path in (SOURCE / "odps").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert below == [documented]
    names = {
        name for _, name in imported(ast.parse(documented.read_text()), "odps.apis.storage_api_v2", True)
    }
    assert {part_of(name) for name in names if name.startswith("maxlake")} <= {"client", "storage_api_v2"}
    assert all(name.startswith("maxlake") for name in names)


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from maxlake.server import app", "maxlake.lake.tables"),
        ("from maxlake import lake", "maxlake.protocol.types.parse"),
        ("from ..lake import tables", "maxlake.protocol.types"),
        ("def f():\n    import maxlake.cli", "maxlake.server.app"),
        ("import maxlake.testing", "maxlake.client"),
        ("from maxlake.lake.tables import Table", "maxlake.server.app"),
        ("import odps.errors", "maxlake.server.app"),
        ("from sqlalchemy import select", "maxlake.protocol.states"),
    ],
)
def test_the_rule_catches(source: str, module: str) -> None:
    assert wrong_imports(source, module)


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from maxlake.protocol import errors", "maxlake.lake.tables"),
        ("from . import errors\nfrom .types import parse", "maxlake.protocol.states"),
        ("from maxlake import __version__", "maxlake.protocol.states"),
        ("from odps import errors", "maxlake.client.errors"),
    ],
)
def test_the_rule_allows(source: str, module: str) -> None:
    assert wrong_imports(source, module) == []


def loaded_after(modules: list[str]) -> set[str]:
    """The top-level modules a fresh process holds after these imports."""
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code, *modules], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_maxlake_stays_light() -> None:
    assert not loaded_after(["maxlake"]) & {"odps", "pandas", "pyarrow", "duckdb", "sqlalchemy"}


@pytest.mark.parametrize("part", ["protocol", "lake", "service", "server"])
def test_the_server_side_never_loads_pyodps_or_pandas(part: str) -> None:
    modules = [module_name(path) for path in sorted((SOURCE / "maxlake" / part).rglob("*.py"))]
    assert modules
    assert not loaded_after([name for name in modules if not name.endswith("__main__")]) & {"odps", "pandas"}


@pytest.mark.slow
def test_the_client_loads_no_library_that_only_some_use() -> None:
    modules = [module_name(path) for path in sorted((SOURCE / "maxlake" / "client").rglob("*.py"))]
    assert not loaded_after(modules) & {"duckdb", "polars", "rich"}
