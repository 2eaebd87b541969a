"""Rows looked at together: all of them, in order, and no more bytes at a time than meant."""

import pyarrow as pa
import pytest

from maxlake.lake import key_lookup


@pytest.mark.parametrize(("rows", "size"), [(1000, 10**9), (10**9, 5000), (10**9, 10**9)])
def test_tables_are_bounded_by_rows_and_by_bytes(
    rows: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_lookup, "_ROWS_AT_ONCE", rows)
    monkeypatch.setattr(key_lookup, "_BYTES_AT_ONCE", size)
    batches = [pa.record_batch({"k": pa.array(range(start, start + 100))}) for start in range(0, 5000, 100)]
    tables = list(key_lookup._gathered(batches))
    assert pa.concat_tables(tables)["k"].to_pylist() == list(range(5000))
    for table in tables[:-1]:
        assert rows <= table.num_rows < rows + 100 or size <= table.nbytes < size + batches[0].nbytes
    assert (len(tables) == 1) == (rows == size)
