"""Every type, into every library and back: no value becomes another, NaN and NULL stay apart."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from odps.models import Table

import maxlake
from from_code.types import all_types
from maxlake.client.oneline.rows import Rows
from odps import ODPS
from tests.client.oneline.type_samples import sample

SAMPLE = sample()
WAYS: dict[str, Callable[[Rows, Path], Any]] = {
    "the rows themselves": lambda rows, _: rows,
    "Arrow": lambda rows, _: rows.to_arrow(),
    "pandas": lambda rows, _: rows.to_pandas(),
    "polars": lambda rows, _: rows.to_polars(),
    "DuckDB": lambda rows, _: rows.to_duckdb(),
    "Parquet": lambda rows, place: rows.to_parquet(place / "dump"),
    "Python": lambda rows, _: rows.to_arrow().to_pylist(),
}


def comparable(column: pa.ChunkedArray) -> list[str]:
    """The values as texts, in which NaN is NaN, 0.0 is not -0.0, and nanoseconds are all there."""
    if pa.types.is_timestamp(column.type):
        column = pa.chunked_array([chunk.view(pa.int64()) for chunk in column.chunks], pa.int64())
    return [repr(value) for value in column.to_pylist()]


@pytest.fixture(scope="module")
def columns() -> dict[str, str]:
    return {f"c{number}": name for number, name in enumerate(SAMPLE.column_names)}


@pytest.fixture
def table(new_table: Callable[..., Table], columns: dict[str, str]) -> Table:
    return new_table(", ".join(f"{name} {t}" for name, t in columns.items()))


@pytest.mark.parametrize("way", WAYS)
def test_every_type_comes_back_as_it_was(
    way: str, table: Table, columns: dict[str, str], odps: ODPS, tmp_path: Path
) -> None:
    uploaded = SAMPLE.rename_columns(list(columns))
    maxlake.write(table, uploaded, odps=odps)
    turned = WAYS[way](maxlake.read(table, odps=odps), tmp_path)
    maxlake.write(table, turned, mode="overwrite", odps=odps)
    read = maxlake.read(table, odps=odps).to_arrow()
    assert read.schema.types == uploaded.schema.types
    for name, t in columns.items():
        assert comparable(read[name]) == comparable(uploaded[name]), (way, t)


def test_every_type_has_a_sample() -> None:
    assert {str(t) for t in all_types()} - set(SAMPLE.column_names) == {"blob"}
    assert all(column[0].as_py() is None and column[1].as_py() is not None for column in SAMPLE.columns)
