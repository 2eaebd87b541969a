from collections.abc import Iterator

import pytest

from tests.lake.duckdb_reader import DuckdbReader


@pytest.fixture(scope="session")
def duckdb_reader() -> Iterator[DuckdbReader]:
    with DuckdbReader() as reader:
        yield reader
