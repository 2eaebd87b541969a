from collections.abc import Iterator
from pathlib import Path

import pytest

from maxlake.service.project import Project
from maxlake.service.service import Service
from tests.postgresql import Postgresql


@pytest.fixture
def project(tmp_path: Path, database: Postgresql | None) -> Iterator[Project]:
    """A project of its own name: on PostgreSQL tests share the server."""
    name = f"p{abs(hash(str(tmp_path)))}"
    service = Service.open(tmp_path, project=name, database_url=database.url if database else None)
    try:
        yield service.project(name)
    finally:
        service.close()
