"""What rows become: as documented, or an error that says what would be lost."""

import time
from datetime import date, datetime
from decimal import Decimal
from math import isnan, nan
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from odps.errors import DependencyNotInstalledError

from maxlake.client.oneline import targets
from maxlake.client.oneline.parquet_dump import ParquetDump
from maxlake.client.oneline.progress import Progress
from maxlake.client.oneline.targets import PandasTypes, to_pandas


def numpy(values: list[Any], dtype: pa.DataType | None = None) -> pd.Series:
    return to_pandas(pa.table({"c": pa.array(values, dtype)}), PandasTypes.NUMPY)["c"]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, None], pa.int64()),
        ([True, None], pa.bool_()),
        ([1.5, nan, None], pa.float64()),
    ],
)
def test_what_numpy_cannot_hold_is_refused(values: list[Any], dtype: pa.DataType) -> None:
    with pytest.raises(ValueError, match=r"column c: .*NULL.*types=\"arrow\""):
        numpy(values, dtype)
    arrow = to_pandas(pa.table({"c": pa.array(values, dtype)}), PandasTypes.ARROW)
    assert arrow.dtypes.tolist() == [pd.ArrowDtype(dtype)]
    assert pa.array(arrow["c"]).null_count == 1


def test_what_numpy_can_hold_has_its_types() -> None:
    assert numpy([1, 2**63 - 1]).dtype == np.int64
    assert numpy([True, False]).dtype == np.bool_
    assert numpy([1.5, nan]).dtype == np.float64
    floats = numpy([1.5, None])
    assert floats.dtype == np.float64
    assert isnan(floats[1])
    for instant in (datetime(1, 1, 1), datetime(9999, 12, 31)):
        assert numpy([instant], pa.timestamp("ms"))[0].year == instant.year
    assert numpy([2**62], pa.timestamp("ns"))[0].value == 2**62
    assert numpy([date(1, 1, 1), None]).tolist() == [date(1, 1, 1), None]
    assert numpy([Decimal("0.10"), None]).tolist() == [Decimal("0.10"), None]
    assert list(numpy([[1, None, 2**53 + 1]])[0]) == [1, None, 2**53 + 1]


def test_a_library_that_is_absent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "polars", None)
    with pytest.raises(DependencyNotInstalledError, match="pip install polars"):
        targets.to_polars(pa.table({}))


BATCH = pa.record_batch({"a": list(range(1000))})


def dump(place: Path, parts: dict[int, Any], memory: int = 1 << 20) -> list[Path]:
    return ParquetDump(place, BATCH.schema, memory, Progress(None, None)).write(parts, 2)


def test_each_part_is_a_file(tmp_path: Path) -> None:
    files = dump(tmp_path / "new", {3: (b for b in [BATCH] * 10), 5: (b for b in [BATCH])}, memory=17_000)
    assert [file.name for file in files] == ["part-00003.parquet", "part-00005.parquet"]
    assert sorted((tmp_path / "new").iterdir()) == files
    assert pq.read_table(files[0]) == pa.Table.from_batches([BATCH] * 10)
    assert pq.ParquetFile(files[0]).num_row_groups == 4
    assert pq.read_schema(dump(tmp_path / "none", {})[0]) == BATCH.schema


def test_a_directory_with_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    with pytest.raises(FileExistsError, match="is not empty"):
        dump(tmp_path, {})


def test_a_part_that_fails_leaves_no_half_file(tmp_path: Path) -> None:
    def broken() -> Any:
        yield BATCH
        raise KeyError("mine")

    def endless() -> Any:
        while True:
            yield BATCH

    with pytest.raises(KeyError, match="mine"):
        dump(tmp_path / "new", {0: endless(), 1: broken()})
    assert list((tmp_path / "new").iterdir()) == []


def test_a_silent_part_holds_up_no_error(tmp_path: Path) -> None:
    silent = Event()

    def stalled() -> Any:
        silent.wait(120)
        yield BATCH

    def broken() -> Any:
        yield BATCH
        raise KeyError("mine")

    begun = time.monotonic()
    with pytest.raises(KeyError, match="mine"):
        dump(tmp_path / "new", {0: stalled(), 1: broken()})
    assert time.monotonic() - begun < 60
    silent.set()
