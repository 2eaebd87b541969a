from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest
from hypothesis import given, settings

from maxlake.protocol.enums import TimeUnit
from maxlake.protocol.errors import BadRequestError
from maxlake.protocol.types.arrow import ReadUnits, arrow_type, from_arrow
from maxlake.protocol.types.ingest import to_storage
from maxlake.protocol.types.text import parse_type
from tests.protocol.types.strategies import TYPES

#: types.md §2, row by row.
READ_TYPES = {
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "string": pa.utf8(),
    "binary": pa.binary(),
    "char(3)": pa.utf8(),
    "varchar(3)": pa.utf8(),
    "date": pa.date32(),
    "datetime": pa.timestamp("ms"),
    "timestamp": pa.timestamp("ns"),
    "timestamp_ntz": pa.timestamp("ns"),
    "decimal(38,10)": pa.decimal128(38, 10),
    "decimal(39,10)": pa.decimal256(39, 10),
    "decimal": pa.decimal128(38, 18),
    "json": pa.utf8(),
    "interval_day_time": pa.struct([("sec", pa.int64()), ("nano", pa.int32())]),
    "interval_year_month": pa.int32(),
    "array<int>": pa.list_(pa.field("item", pa.int32())),
    "map<string,int>": pa.map_(pa.utf8(), pa.int32()),
    "struct<b:int,a:date>": pa.struct([("b", pa.int32()), ("a", pa.date32())]),
    "blob": pa.binary(),
    "variant": pa.utf8(),
    "vector(float,2)": pa.list_(pa.float32()),
}


@pytest.mark.parametrize(("text", "expected"), READ_TYPES.items())
def test_read_direction(text, expected):
    assert arrow_type(parse_type(text)) == expected


@pytest.mark.parametrize(("unit", "word"), [*zip(TimeUnit, ["s", "ms", "us", "ns"], strict=True)])
def test_units(unit, word):
    units = ReadUnits(datetime=unit, timestamp=unit)
    t = parse_type("struct<a:datetime,b:timestamp,c:array<timestamp_ntz>>")
    instant = pa.timestamp(word)
    assert arrow_type(t, units) == pa.struct([("a", instant), ("b", instant), ("c", pa.list_(instant))])


@given(TYPES)
@settings(max_examples=100, deadline=None)
def test_what_is_read_makes_a_column_that_takes_it_back(t):
    """A table made from what a reader got holds the same Arrow values."""
    assert arrow_type(from_arrow(arrow_type(t))) == arrow_type(t)


@pytest.mark.parametrize(
    ("dtype", "text"),
    [
        (pa.uint8(), "smallint"),
        (pa.uint64(), "decimal(20,0)"),
        (pa.float16(), "float"),
        (pa.large_utf8(), "string"),
        (pa.string_view(), "string"),
        (pa.binary(4), "binary"),
        (pa.date64(), "date"),
        (pa.timestamp("s"), "datetime"),
        (pa.timestamp("us", "UTC"), "timestamp"),
        (pa.duration("ms"), "interval_day_time"),
        (pa.dictionary(pa.int8(), pa.utf8()), "string"),
        (pa.decimal256(76, 76), "decimal(76,76)"),
        (pa.decimal128(5, -3), "decimal(8,0)"),
        (pa.decimal128(2, 5), "decimal(5,5)"),
        (pa.list_(pa.int8(), 3), "array<tinyint>"),
        (pa.large_list(pa.int8()), "array<tinyint>"),
        (pa.list_view(pa.int8()), "array<tinyint>"),
        (pa.json_(), "json"),
        (pa.uuid(), "binary"),
    ],
)
def test_from_arrow(dtype, text):
    assert str(from_arrow(dtype)) == text


@pytest.mark.parametrize(
    "dtype", [pa.null(), pa.time64("ns"), pa.dense_union([pa.field("a", pa.int8())]), pa.struct([])]
)
def test_no_such_odps_type(dtype):
    with pytest.raises(BadRequestError):
        from_arrow(dtype)


def test_a_column_from_arrow_takes_its_values():
    array = pa.array([dt.datetime(2024, 1, 1, 0, 0, 0, 5)], pa.timestamp("us", "UTC"))
    stored = to_storage(array, from_arrow(array.type), where="c")
    assert stored.cast(pa.int64()).to_pylist() == [1704067200000005000]
