"""Scans of files that are whole, short, damaged or gone."""

import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maxlake.lake import scans
from maxlake.lake.files import PlannedFile
from maxlake.lake.plans import Slice
from maxlake.lake.scans import BatchLimits, Projection, scan
from maxlake.lake.tables import StoredColumn
from maxlake.protocol.errors import DamageError
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
