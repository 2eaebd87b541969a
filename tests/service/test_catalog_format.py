"""Catalogs of other builds are refused as such, before anything of them is changed."""

import hashlib
from pathlib import Path

import pytest
from sqlalchemy import create_engine, delete, inspect, update

from maxlake.lake import ducklake
from maxlake.lake.catalog_format import FORMAT, FORMAT_KEY
from maxlake.lake.database import Database, metadata
from maxlake.protocol.errors import ConflictError, ErrorCode
from maxlake.service.service import CATALOG_FILE, Service, namespace
from tests.postgresql import Postgresql

#: What our own tables are made of in each format. A new value here needs a new number there.
OURS = {1: "3c15"}
KEY = ducklake.catalog_metadata.c.key


def written_by_another(root: Path, project: str, url: str | None, number: str | None) -> None:
    """Make a catalog; then it has the format ``number``, or none as those made before there was one."""
    service = Service.open(root, project=project, database_url=url)
    change = delete(ducklake.catalog_metadata) if number is None else update(ducklake.catalog_metadata)
    with service.project(project).lake.database.write() as connection:
        if number is not None:
            change = change.values(value=number)
        connection.execute(change.where(KEY == FORMAT_KEY))
        connection.exec_driver_sql("DROP TABLE maxlake_blob_use")
    service.close()


@pytest.mark.parametrize("number", [None, "7"])
def test_a_catalog_of_another_format_is_refused_untouched(
    tmp_path: Path, database: Postgresql | None, number: str | None
) -> None:
    project, url = f"p{abs(hash(str(tmp_path)))}", database.url if database else None
    written_by_another(tmp_path, project, url, number)
    for _ in range(2):
        with pytest.raises(ConflictError) as caught:
            Service.open(tmp_path, project=project, database_url=url)
        assert caught.value.code is ErrorCode.CATALOG_FORMAT
        for mention in (project, f"format {number or 0}", f"format {FORMAT}", "new root"):
            assert mention in str(caught.value)
    opened = (
        Database.postgresql(url, namespace(project))
        if url
        else Database.sqlite(tmp_path / "projects" / project / CATALOG_FILE)
    )
    assert not inspect(opened.engine).has_table("maxlake_blob_use")
    opened.close()


def test_a_catalog_of_this_format_is_opened_again(tmp_path: Path) -> None:
    for _ in range(2):
        Service.open(tmp_path, project="demo").close()


def test_a_change_of_our_tables_is_a_new_format() -> None:
    engine = create_engine("sqlite://")
    described = [
        f"{column} {column.type.compile(engine.dialect)} {column.nullable} {column.primary_key}"
        for table in metadata.tables.values()
        for column in table.columns
        if table.name.startswith("maxlake_")
    ]
    found = hashlib.sha256("\n".join(sorted(described)).encode()).hexdigest()[:4]
    assert OURS.get(FORMAT) == found, "raise catalog_format.FORMAT, and add it here"
