"""What is taken for rows, and as which values."""

from datetime import UTC, date, datetime, timedelta
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maxlake.client.oneline.file_sources import dataset_of
from maxlake.client.oneline.fitting import Fitting
from maxlake.client.oneline.sources import source_of
from maxlake.client.oneline.table_schema import TableSchema
from maxlake.protocol.errors import BadRequestError
from maxlake.protocol.limits import CLIENT_WRITE_BATCH
from maxlake.protocol.types.text import parse_type

TYPES = {name: parse_type(name) for name in ("double", "bigint", "string", "date", "decimal(10,2)")}


def taken(data: Any, **types: str) -> pa.Table:
    source = source_of(data, {name: parse_type(t) for name, t in types.items()})
    return pa.Table.from_batches(source.batches, source.schema)


@pytest.mark.parametrize("missing", [float("nan"), None, pd.NA])
def test_nan_of_numpy_is_a_value_only_where_floats_are_wanted(missing: Any) -> None:
    values = pd.Series([1.0, missing], dtype=object if missing is not missing else None)
    frame = pd.DataFrame({"a": [1.0, float("nan")], "b": values})
    assert taken(frame, a="bigint")["a"].to_pylist() == [1.0, None]
    assert taken(frame, a="string")["a"].to_pylist() == [1.0, None]
    assert taken(frame)["a"].to_pylist() == [1.0, None]
    floats = taken(frame, a="double")["a"].to_pylist()
    assert floats[0] == 1.0
    assert isnan(floats[1])
    if missing is None or missing is pd.NA:
        objects = pd.DataFrame({"b": pd.Series([1.0, missing], dtype=object)})
        assert taken(objects, b="double")["b"].to_pylist() == [1.0, None]


def test_an_index_is_no_column_and_names_are_needed() -> None:
    frame = pd.DataFrame({"a": [1, 2]}, index=[5, 6])
    assert taken(frame).to_pydict() == {"a": [1, 2]}
    for columns in ([0], ["a", "a"]):
        data = pd.DataFrame([[1] * len(columns)], columns=columns)
        with pytest.raises(ValueError, match="need a name each"):
            taken(data)


def test_python_values_become_what_they_are_meant_for() -> None:
    meant = {"m": "map<string,bigint>", "d": "decimal(10,2)", "s": "struct<x:int>"}
    columns = {"m": [{"a": 1}, None, [("a", 2)]], "d": [1, None, 2], "s": [{"x": 1}, None, {}]}
    found = taken(columns, **meant)
    types = ["map<string, int64>", "decimal128(10, 2)", "struct<x: int32>"]
    assert [str(t) for t in found.schema.types] == types
    assert (
        taken([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)], **meant)
        == found
    )
    for bad in ({"a": 1.5}, [("a", "b")], 5):
        with pytest.raises((ValueError, BadRequestError), match="column m"):
            taken([{"m": {}}, {"m": bad}], **meant)


def test_large_batches_are_cut() -> None:
    table = pa.table({"a": pa.array(range(3 * CLIENT_WRITE_BATCH // 8))})
    pieces = list(source_of(table, {}).small_batches())
    assert len(pieces) == 3
    assert all(piece.nbytes <= CLIENT_WRITE_BATCH for piece in pieces)
    assert pa.Table.from_batches(pieces) == table


def test_text_files_are_read_as_the_types_of_the_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('n,t,d,x\n1,"",2024-02-29,1.50\n,,,\n')
    meant = {"n": "decimal(10,2)", "t": "string", "d": "string", "x": "string"}
    assert taken(tmp_path / "a.csv", **meant).to_pylist() == [
        {"n": 1, "t": "", "d": "2024-02-29", "x": "1.50"},
        {"n": None, "t": None, "d": None, "x": None},
    ]
    (tmp_path / "a.json").write_text('{"n": 1, "l": [1]}\n{"n": null}\n')
    found = taken(tmp_path / "a.json", n="tinyint", l="array<smallint>")
    assert [str(t) for t in found.schema.types] == ["int8", "list<item: int16>"]
    (tmp_path / "a.tsv").write_text("n\tt\n1\ta,b\n")
    assert taken(tmp_path / "a.tsv").to_pylist() == [{"n": 1, "t": "a,b"}]
    (tmp_path / "b.csv").write_text("n\n1\nx\n")
    with pytest.raises(ValueError, match="'x'"):
        taken(tmp_path / "b.csv", n="bigint")


def test_columns_that_some_files_lack_are_null(tmp_path: Path) -> None:
    for day, columns in (("1", {"a": [1]}), ("2", {"a": [2], "b": ["x"]})):
        (tmp_path / f"day={day}").mkdir()
        pq.write_table(pa.table(columns), tmp_path / f"day={day}" / "part.parquet")
    (tmp_path / ".hidden.parquet").write_text("no parquet")
    found = taken(tmp_path, day="string").to_pylist()
    assert [(row["a"], row["b"], str(row["day"])) for row in found] == [(1, None, "1"), (2, "x", "2")]


def test_files_must_be_of_one_known_format(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")
    (tmp_path / "b.json").write_text('{"a": 1}\n')
    (tmp_path / "c.xlsx").write_text("")
    with pytest.raises(ValueError, match="of one format are needed, not of csv, json"):
        dataset_of([tmp_path / "a.csv", tmp_path / "b.json"], {})
    with pytest.raises(ValueError, match=r"c\.xlsx: the ending must be one of"):
        dataset_of(tmp_path / "c.xlsx", {})
    with pytest.raises(ValueError, match="named twice"):
        dataset_of([tmp_path / "a.csv", str(tmp_path / "a.csv")], {})
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no file at"):
        dataset_of(tmp_path / "empty", {})


NOON = datetime(2024, 2, 29, 12)
FINE = pd.Timestamp("2024-02-29 12:00:00.000000123")


@pytest.mark.parametrize(
    ("values", "t"),
    [
        ([date(2024, 2, 28), NOON], "date"),
        ([date(2024, 2, 28), NOON], "timestamp"),
        ([{"k": NOON}], "map<string,date>"),
        ([[date(2024, 2, 28), NOON]], "array<date>"),
        ([{"k": FINE}], "map<string,datetime>"),
        ([{"k": datetime(2024, 2, 29, 12, 0, 0, 1)}], "map<string,datetime>"),
        ([NOON, NOON.replace(tzinfo=UTC)], "timestamp"),
        ([{"k": {"a": 1, "more": 2}}], "map<string,struct<a:int>>"),
        ([2.5, 1], "bigint"),
        ([[2.5]], "array<bigint>"),
    ],
)
@pytest.mark.parametrize("form", ["columns", "rows", "frame"])
def test_python_values_are_never_cut(values: list[Any], t: str, form: str) -> None:
    data: Any = {"a": values}
    if form == "rows":
        data = [{"a": value} for value in values]
    if form == "frame":
        data = pd.DataFrame({"a": pd.Series(values, dtype=object)})
    with pytest.raises((ValueError, BadRequestError), match="column a"):
        fitted(taken(data, a=t), t)


def fitted(table: pa.Table, t: str) -> list[Any]:
    """What would be sent of the column."""
    schema = TableSchema("t", {"a": parse_type(t)}, {})
    fitting = Fitting(schema, table.schema, {})
    return [value for batch in table.to_batches() for value in fitting.fit(batch, 0)["a"].to_pylist()]


@pytest.mark.parametrize(
    ("values", "t"),
    [
        ([FINE, None], "timestamp"),
        ([[FINE], None], "array<timestamp>"),
        ([{"at": FINE}], "struct<at:timestamp>"),
        ([{"k": FINE}], "map<string,timestamp>"),
        ([{"k": datetime(9999, 12, 31)}], "map<string,datetime>"),
        ([{"k": date(2024, 2, 29)}, [("k", date(1, 1, 1))]], "map<string,date>"),
    ],
)
@pytest.mark.parametrize("form", ["columns", "frame"])
def test_instants_of_python_come_whole(values: list[Any], t: str, form: str) -> None:
    data: Any = {"a": values}
    if form == "frame":
        data = pd.DataFrame({"a": pd.Series(values, dtype=object)})
    found = taken(data, a=t)
    assert fitted(found, t) == pa.array(values, found["a"].type).to_pylist()
    assert ("00123" in str(found["a"])) == ("FINE" in repr(values) or "000123" in repr(values))


@pytest.mark.parametrize("value", [timedelta(seconds=1, microseconds=1), pd.Timedelta(1_000_000_001, "ns")])
def test_durations_of_python_come_whole(value: timedelta) -> None:
    nanos = getattr(value, "nanoseconds", 0) + 1000 * value.microseconds
    assert fitted(taken({"a": [value]}, a="interval_day_time"), "interval_day_time") == [
        {"sec": 1, "nano": nanos}
    ]


def test_what_is_no_column_is_refused() -> None:
    for bad in ({"city": "Oslo"}, {"city": b"Oslo"}):
        with pytest.raises(TypeError, match="column city"):
            taken(bad, city="string")
    with pytest.raises(ValueError, match="row 0 has no columns"):
        taken([{}, {}], city="string")


def test_nan_in_a_mapping_of_series_is_what_it_is_in_a_frame() -> None:
    series = pd.Series([1.0, float("nan")])
    floats = taken({"x": series}, x="double")["x"].to_pylist()
    assert floats[0] == 1.0
    assert isnan(floats[1])
    assert taken({"x": series}, x="bigint")["x"].to_pylist() == [1.0, None]


def test_a_file_below_a_directory_that_is_named_too_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")
    with pytest.raises(ValueError, match="named twice"):
        dataset_of([tmp_path, tmp_path / "a.csv"], {})
    with pytest.raises(ValueError, match="named twice"):
        dataset_of([tmp_path / "a.csv", tmp_path / "." / "a.csv"], {})


def test_a_field_of_json_that_comes_late_is_refused(tmp_path: Path) -> None:
    rows = '{"id": 1}\n' * 200_000 + '{"id": 2, "new": 5}\n'
    (tmp_path / "late.jsonl").write_text(rows)
    with pytest.raises(ValueError, match="unexpected field"):
        taken(tmp_path / "late.jsonl", id="bigint", new="bigint")


@pytest.mark.parametrize(("t", "month"), [("string", "01"), ("bigint", 1), (None, "01")])
def test_names_of_directories_are_texts_or_what_the_table_says(
    tmp_path: Path, t: str | None, month: Any
) -> None:
    (tmp_path / "month=01").mkdir()
    pq.write_table(pa.table({"a": [1]}), tmp_path / "month=01" / "part.parquet")
    meant = {} if t is None else {"month": t}
    assert taken(tmp_path, **meant).to_pylist() == [{"a": 1, "month": month}]
