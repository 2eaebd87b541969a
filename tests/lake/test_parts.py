"""Uploads: what they leave behind, what they hold in memory, what their files look like."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maxlake.lake import definitions
from maxlake.lake.database import Database
from maxlake.lake.lake import Lake
from maxlake.lake.parts import Upload, storage_schema
from maxlake.lake.tables import Table, TableOptions
from maxlake.protocol.columns import Column, TableSchema
from maxlake.protocol.types.text import parse_type


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    opened = Lake.open(Database.sqlite(tmp_path / "lake.sqlite"), tmp_path / "data")
    yield opened
    opened.close()


def make_table(lake: Lake, keys: tuple[str, ...] = (), **types: str) -> Table:
    columns = {name: Column(name, parse_type(text)) for name, text in types.items()}
    data = tuple(column for name, column in columns.items() if name not in keys)
    schema = TableSchema(data, tuple(columns[key] for key in keys))
    with lake.database.write() as connection:
        return definitions.create_table(connection, "default", "t", schema, TableOptions(), "me")


def rows(table: Table, **columns: list[object]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(columns, schema=storage_schema(table))


def files(lake: Lake) -> list[str]:
    return sorted(path.name for path in lake.data.rglob("*.parquet"))


# -- what is left behind ----------------------------------------------------------------------------


def test_a_failed_upload_leaves_nothing_though_its_files_cannot_be_ended(lake: Lake, monkeypatch) -> None:
    table = make_table(lake, ("k",), a="bigint", k="string")

    def full(self: pq.ParquetWriter) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(ValueError, match="first"), Upload(lake.data, table, "u") as upload:
        upload.write(rows(table, a=[1, 2], k=["x", "y"]))
        assert len(files(lake)) == 2
        monkeypatch.setattr(pq.ParquetWriter, "close", full)
        raise ValueError("first")
    assert files(lake) == []


def test_what_cannot_be_removed_does_not_hide_the_first_error(lake: Lake, monkeypatch) -> None:
    table = make_table(lake, ("k",), a="bigint", k="string")
    real = Path.unlink

    def unlink(self: Path, missing_ok: bool = False) -> None:
        if "k=x" in str(self):
            raise PermissionError(13, "Permission denied", str(self))
        real(self, missing_ok=missing_ok)

    with pytest.raises(ValueError, match="first") as failed, Upload(lake.data, table, "u") as upload:
        upload.write(rows(table, a=[1, 2], k=["x", "y"]))
        monkeypatch.setattr(Path, "unlink", unlink)
        raise ValueError("first")
    assert "left behind" in failed.value.__notes__[0]
    assert len(files(lake)) == 1  # k=y went all the same


def test_finished_parts_stay_until_they_are_discarded(lake: Lake) -> None:
    table = make_table(lake, a="bigint")
    upload = Upload(lake.data, table, "u")
    with pytest.raises(RuntimeError), upload:
        upload.write(rows(table, a=[1]))
        upload.finish()
        raise RuntimeError("the connection was lost while COMMIT was answered")
    assert files(lake) == ["u.parquet"]
    upload.discard()
    assert files(lake) == []
