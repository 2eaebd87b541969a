"""Scans of files that are whole, short, damaged or gone."""

import errno
import logging
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maxlake.lake import scans
from maxlake.lake.files import PlannedFile
from maxlake.lake.plans import Slice
from maxlake.lake.scans import BatchLimits, Projection, scan
from maxlake.lake.tables import StoredColumn
from maxlake.protocol.errors import BusyError, DamageError
from maxlake.protocol.types.arrow import ReadUnits

COLUMN = StoredColumn(
    name="a",
    type="bigint",
    nullable=True,
    comment="",
    column_id=1,
    default=None,
    field_id=1,
    partition=False,
)
PROJECTION = Projection((COLUMN,), ReadUnits())
FILE = PlannedFile("t/f.parquet", 10_000, 80_000, ())


def read(data: Path, start: int, count: int) -> list[int]:
    batches = scan(data, [Slice(FILE, start, count)], PROJECTION, BatchLimits(1000))
    return pa.Table.from_batches(batches, PROJECTION.schema)["a"].to_pylist()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "t").mkdir()
    schema = pa.schema([pa.field("a", pa.int64(), metadata={"PARQUET:field_id": "1"})])
    table = pa.table({"a": range(10_000)}, schema=schema)
    pq.write_table(table, tmp_path / "t" / "f.parquet", row_group_size=6000)
    return tmp_path


@pytest.mark.parametrize(("start", "count"), [(0, 1), (0, 10_000), (5_999, 2), (9_999, 1), (6_000, 10)])
def test_a_slice_is_its_rows(data: Path, start: int, count: int) -> None:
    assert read(data, start, count) == list(range(start, start + count))


def test_a_few_rows_do_not_decode_the_row_group(data: Path, monkeypatch) -> None:
    decoded: list[int] = []
    real = pq.ParquetFile.iter_batches

    def iter_batches(self, **options):
        for batch in real(self, **options):
            decoded.append(batch.num_rows)
            yield batch

    monkeypatch.setattr(scans.pq.ParquetFile, "iter_batches", iter_batches)
    assert read(data, 0, 1) == [0]
    assert decoded == [1]


def test_a_missing_file_is_named_as_the_table_knows_it(data: Path, caplog) -> None:
    (data / "t" / "f.parquet").unlink()
    with caplog.at_level(logging.ERROR), pytest.raises(DamageError) as failed:
        read(data, 0, 1)
    assert "t/f.parquet" in str(failed.value)
    assert str(data) not in str(failed.value)
    assert not failed.value.retryable
    assert str(data / "t" / "f.parquet") in caplog.text


def test_a_damaged_file_is_no_rows(data: Path) -> None:
    (data / "t" / "f.parquet").write_bytes(b"PAR1 no more PAR1")
    with pytest.raises(DamageError):
        read(data, 0, 1)


def test_a_file_with_too_few_rows_is_damaged(data: Path) -> None:
    with pytest.raises(DamageError, match="lacks 5 rows"):
        read(data, 9_995, 10)


def test_wide_rows_are_decoded_few_at_a_time(tmp_path: Path) -> None:
    """Neither a batch nor the filling of one from further row groups takes more than its bytes."""
    schema = pa.schema([pa.field("a", pa.string(), metadata={"PARQUET:field_id": "1"})])
    rows, width = 4000, 100_000
    table = pa.table({"a": ["x" * width] * rows}, schema=schema)
    pq.write_table(table, tmp_path / "wide.parquet", row_group_size=500)
    file = PlannedFile("wide.parquet", rows, table.nbytes, ())
    column = msgspec.structs.replace(COLUMN, type="string")
    batches = list(scans.decode(tmp_path, [Slice(file, 0, rows)], [column]))
    assert sum(batch.num_rows for batch in batches) == rows
    assert max(batch.nbytes for batch in batches) <= scans.DECODED_BYTES


def test_a_shortage_of_the_server_is_no_damage(data: Path, monkeypatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(scans.pq, "ParquetFile", refused)
    with pytest.raises(BusyError, match="open files"):
        read(data, 0, 1)
