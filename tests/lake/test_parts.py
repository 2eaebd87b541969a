"""Uploads: what they leave behind, what they hold in memory, what their files look like."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maxlake.lake import definitions, parts
from maxlake.lake.database import Database
from maxlake.lake.lake import Lake
from maxlake.lake.parts import Upload, storage_schema
from maxlake.lake.tables import Table, TableOptions
from maxlake.protocol.columns import Column, TableSchema
from maxlake.protocol.types.text import parse_type

MIB = 1024 * 1024


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


def start_and_fail(lake: Lake, table: Table, before: Callable[[], None]) -> None:
    with Upload(lake.data, table, "u") as upload:
        upload.write(rows(table, a=[1, 2], k=["x", "y"]))
        assert len(files(lake)) == 2
        before()
        raise ValueError("first")


def test_a_failed_upload_leaves_nothing_though_its_files_cannot_be_ended(lake: Lake, monkeypatch) -> None:
    table = make_table(lake, ("k",), a="bigint", k="string")

    def full(self: pq.ParquetWriter) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(ValueError, match="first"):
        start_and_fail(lake, table, lambda: monkeypatch.setattr(pq.ParquetWriter, "close", full))
    assert files(lake) == []


def test_what_cannot_be_removed_does_not_hide_the_first_error(lake: Lake, monkeypatch) -> None:
    table = make_table(lake, ("k",), a="bigint", k="string")
    real = Path.unlink

    def unlink(self: Path, missing_ok: bool = False) -> None:
        if "k=x" in str(self):
            raise PermissionError(13, "Permission denied", str(self))
        real(self, missing_ok=missing_ok)

    with pytest.raises(ValueError, match="first") as failed:
        start_and_fail(lake, table, lambda: monkeypatch.setattr(Path, "unlink", unlink))
    assert "left behind" in failed.value.__notes__[0]
    assert len(files(lake)) == 1  # k=y went all the same


def test_finished_parts_stay_until_they_are_discarded(lake: Lake) -> None:
    table = make_table(lake, a="bigint")
    upload = Upload(lake.data, table, "u")

    def finish_and_fail() -> None:
        with upload:
            upload.write(rows(table, a=[1]))
            upload.finish()
            raise RuntimeError("the connection was lost while COMMIT was answered")

    with pytest.raises(RuntimeError):
        finish_and_fail()
    assert files(lake) == ["u.parquet"]
    upload.discard()
    assert files(lake) == []


# -- what is held in memory -------------------------------------------------------------------------


def test_a_rare_partition_does_not_hold_the_rows_of_the_others(lake: Lake, monkeypatch) -> None:
    table = make_table(lake, ("k",), a="string", k="string")
    monkeypatch.setattr(parts, "BUFFERED_BYTES", 4 * MIB)
    before = pa.total_allocated_bytes()
    with Upload(lake.data, table, "u") as upload:
        for number in range(40):
            upload.write(rows(table, a=[f"{number:01000}"] * 1000, k=["common"] * 999 + ["rare"]))
            assert pa.total_allocated_bytes() - before < 16 * MIB
        written = upload.finish()
    assert {part.key: part.record_count for part in written} == {("common",): 39_960, ("rare",): 40}


def test_a_slice_of_a_large_batch_counts_as_the_whole_of_it(lake: Lake, monkeypatch) -> None:
    table = make_table(lake, a="string")
    monkeypatch.setattr(parts, "BUFFERED_BYTES", 4 * MIB)
    before = pa.total_allocated_bytes()
    with Upload(lake.data, table, "u") as upload:
        for number in range(40):
            upload.write(rows(table, a=[f"{number:01000}"] * 1000).slice(0, 1))
            assert pa.total_allocated_bytes() - before < 16 * MIB
        (part,) = upload.finish()
    assert part.record_count == 40


def test_many_short_runs_keep_their_order(lake: Lake) -> None:
    table = make_table(lake, ("k",), a="bigint", k="bigint")
    with Upload(lake.data, table, "u") as upload:
        for first in range(0, 2000, 10):
            numbers = list(range(first, first + 10))
            upload.write(rows(table, a=numbers, k=[number % 3 for number in numbers]))
            if first == 1000:
                upload.write(rows(table, a=[-1] * 3000, k=[0] * 3000))
        written = upload.finish()
    for part in written:
        read = pq.read_table(lake.data / table.path / part.path)["a"].to_pylist()
        wanted = [number for number in range(2000) if number % 3 == int(part.key[0])]
        if part.key == ("0",):
            place = sum(number < 1010 for number in wanted)
            wanted[place:place] = [-1] * 3000
        assert read == wanted


# -- row groups -------------------------------------------------------------------------------------


def row_groups(lake: Lake, table: Table, *batches: pa.RecordBatch) -> list[int]:
    with Upload(lake.data, table, "u") as upload:
        for batch in batches:
            upload.write(batch)
        (part,) = upload.finish()
    footer = pq.read_metadata(lake.data / table.path / part.path)
    return [footer.row_group(index).num_rows for index in range(footer.num_row_groups)]


def test_row_groups_are_full_but_for_the_last(lake: Lake) -> None:
    table = make_table(lake, a="bigint")
    batches = [rows(table, a=list(range(50_000))) for _ in range(6)]
    assert row_groups(lake, table, *batches) == [131_072, 131_072, 300_000 - 2 * 131_072]


def test_row_groups_of_wide_rows_hold_fewer_of_them(lake: Lake, monkeypatch) -> None:
    table = make_table(lake, a="string")
    monkeypatch.setattr(parts, "ROW_GROUP_BYTES", MIB)
    groups = row_groups(lake, table, rows(table, a=["x" * 1024] * 5000))
    assert sum(groups) == 5000
    assert len(set(groups[:-1])) == 1
    assert 900 < groups[0] <= 1024
