from collections.abc import Iterator
from pathlib import Path

import pytest

from maxlake.client import StorageApiClient
from tests.crash.lives import PROJECT, Home
from tests.lake.duckdb_reader import DuckdbReader


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that tell of a server's death instead of waiting for the next."""
    monkeypatch.setattr(StorageApiClient, "retry_seconds", 0)


@pytest.fixture(scope="session")
def duckdb_reader() -> Iterator[DuckdbReader]:
    with DuckdbReader() as reader:
        yield reader


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=[pytest.mark.postgresql, pytest.mark.slow])]
)
def home(tmp_path: Path, request: pytest.FixtureRequest) -> Home:
    """A root directory, and on PostgreSQL, which tests share, a project of its own name."""
    if request.param == "sqlite":
        return Home(tmp_path)
    project = f"{PROJECT}{abs(hash(str(tmp_path)))}"
    return Home(tmp_path, project, request.getfixturevalue("postgresql"))
