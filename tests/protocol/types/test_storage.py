from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxlake.protocol.enums import TimeUnit
from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.types.arrow import ReadUnits, arrow_type
from maxlake.protocol.types.ingest import to_storage
from maxlake.protocol.types.storage import (
    check_storable,
    ducklake_columns,
    floor_divide,
    storage_field,
    storage_type,
    to_read,
)
from maxlake.protocol.types.text import parse_type
from tests.protocol.types.strategies import TYPES, arrays


def columns_of(text, first_id=1):
    rows = ducklake_columns("c", parse_type(text), nullable=True, first_id=first_id)
    return [(r.column_id, r.parent_column, r.name, r.column_type, r.nulls_allowed) for r in rows]


def test_columns_are_numbered_as_the_extension_numbers_them():
    text = "struct<a:map<string,struct<x:int,y:array<bigint>>>,b:interval_day_time,d:decimal>"
    assert columns_of(text, first_id=9) == [
        (9, None, "c", "struct", True),
        (10, 9, "a", "map", True),
        (11, 10, "key", "varchar", True),
        (12, 10, "value", "struct", True),
        (13, 12, "x", "int32", True),
        (14, 12, "y", "list", True),
        (15, 14, "element", "int64", True),
        (16, 9, "b", "struct", True),
        (17, 16, "sec", "int64", True),
        (18, 16, "nano", "int32", True),
        (19, 9, "d", "decimal(38,18)", True),
    ]


@pytest.mark.parametrize(
    ("text", "ducklake", "arrow"),
    [
        ("tinyint", "int8", pa.int8()),
        ("smallint", "int16", pa.int16()),
        ("int", "int32", pa.int32()),
        ("bigint", "int64", pa.int64()),
        ("float", "float32", pa.float32()),
        ("double", "float64", pa.float64()),
        ("boolean", "boolean", pa.bool_()),
        ("string", "varchar", pa.utf8()),
        ("char(2)", "varchar", pa.utf8()),
        ("varchar(2)", "varchar", pa.utf8()),
        ("json", "varchar", pa.utf8()),
        ("variant", "varchar", pa.utf8()),
        ("binary", "blob", pa.binary()),
        ("blob", "blob", pa.binary()),
        ("date", "date", pa.date32()),
        ("datetime", "timestamp_ms", pa.timestamp("ms")),
        ("timestamp", "timestamp_ns", pa.timestamp("ns")),
        ("timestamp_ntz", "timestamp_ns", pa.timestamp("ns")),
        ("decimal(10,2)", "decimal(10,2)", pa.decimal128(10, 2)),
        ("interval_year_month", "int32", pa.int32()),
    ],
)
def test_plain_types_at_rest(text, ducklake, arrow):
    assert columns_of(text) == [(1, None, "c", ducklake, True)]
    assert storage_type(parse_type(text)) == arrow


@pytest.mark.parametrize("text", ["decimal(39,0)", "array<decimal(76,1)>", "map<array<int>,int>"])
def test_not_storable(text):
    with pytest.raises(BadRequestError) as caught:
        check_storable(parse_type(text))
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


@pytest.mark.parametrize("key", ["struct<a:int>", "map<int,int>", "interval_day_time", "vector(int,2)"])
def test_map_keys_are_plain(key):
    with pytest.raises(BadRequestError, match="map key"):
        check_storable(parse_type(f"struct<m:map<{key},int>>"))


@given(TYPES, st.integers(1, 50))
@settings(max_examples=60)
def test_field_ids_stand_at_every_level_of_the_file(t, first_id):
    rows = ducklake_columns("c", t, nullable=False, first_id=first_id)
    ids = [row.column_id for row in rows]
    assert ids == list(range(first_id, first_id + len(rows)))
    field = storage_field("c", t, nullable=False, field_ids=ids)
    assert field.type == storage_type(t)
    assert not field.nullable
    sink = pa.BufferOutputStream()
    pq.write_table(pa.schema([field]).empty_table(), sink)
    written = pq.read_schema(pa.BufferReader(sink.getvalue()))
    assert _field_ids(written.field(0)) == ids


def _field_ids(field):
    found = [int(field.metadata[b"PARQUET:field_id"])]
    dtype = field.type
    if pa.types.is_map(dtype):
        inside = [dtype.key_field, dtype.item_field]
    elif pa.types.is_list(dtype):
        inside = [dtype.value_field]
    else:
        inside = list(dtype) if pa.types.is_struct(dtype) else []
    return found + [i for child in inside for i in _field_ids(child)]


def test_field_ids_must_be_as_many_as_levels():
    with pytest.raises(ValueError, match="fewer"):
        storage_field("c", parse_type("array<int>"), True, [1])
    with pytest.raises(ValueError, match="more"):
        storage_field("c", parse_type("int"), True, [1, 2])


@given(st.data())
@settings(max_examples=250)
def test_everything_taken_in_reads_back_equal(data):
    """Upload form -> at rest -> Parquet -> read direction, also of a slice."""
    t = data.draw(TYPES)
    uploaded = data.draw(arrays(t))
    stored = to_storage(uploaded, t, where="c")
    assert stored.type == storage_type(t)
    stored.validate(full=True)
    ids = [row.column_id for row in ducklake_columns("c", t, True, 1)]
    schema = pa.schema([storage_field("c", t, True, ids)])
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays([stored], schema=schema), sink, compression="zstd")
    back = pq.read_table(pa.BufferReader(sink.getvalue())).column(0).combine_chunks()
    read = to_read(back, t)
    read.validate(full=True)
    assert read.type == arrow_type(t)
    assert read.equals(uploaded)
    cut = data.draw(st.integers(0, len(uploaded)))
    assert to_read(stored.slice(cut), t).equals(uploaded.slice(cut))
    assert to_storage(uploaded.slice(cut), t, where="c").equals(stored.slice(cut))


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)), st.integers(2, 10**9))
@settings(max_examples=60)
def test_floor_divide_is_pythons(numbers, factor):
    floored = floor_divide(pa.array(numbers, pa.int64()), factor)
    assert floored.to_pylist() == [None if n is None else n // factor for n in numbers]


@pytest.mark.parametrize(("unit", "ticks"), [("second", 10**9), ("milli", 10**6), ("micro", 1000)])
def test_finer_instants_truncate_toward_the_past(unit, ticks):
    t = parse_type("struct<a:timestamp,b:array<map<string,timestamp_ntz>>>")
    instants = [-(2**63) + 2, -1, 0, 1, -ticks, ticks - 1]
    stored = pa.array([{"a": n, "b": [[("k", n)], None]} for n in instants], storage_type(t))
    read = to_read(stored, t, ReadUnits(timestamp=TimeUnit(unit)))
    expected = [n // ticks for n in instants]
    assert read.field("a").cast(pa.int64()).to_pylist() == expected
    assert read.field("b").values.items.cast(pa.int64()).to_pylist() == expected


@pytest.mark.parametrize("text", ["datetime", "array<datetime>", "map<int,datetime>", "struct<a:datetime>"])
def test_instants_never_wrap(text):
    t = parse_type(text)
    far = dt.datetime(2300, 1, 1)
    value = {"a": [far], "m": [(1, far)], "s": {"a": far}, "d": far}[text[0]]
    stored = pa.array([None, value], storage_type(t))
    with pytest.raises(BadRequestError) as caught:
        to_read(stored, t, ReadUnits(datetime=TimeUnit.NANO))
    assert caught.value.code is ErrorCode.DATA_ERROR
    assert to_read(stored.slice(0, 1), t, ReadUnits(datetime=TimeUnit.NANO)).to_pylist() == [None]
    assert to_read(stored, t, ReadUnits(datetime=TimeUnit.MICRO)).type == arrow_type(
        t, ReadUnits(datetime=TimeUnit.MICRO)
    )


@pytest.mark.parametrize("text", ["int", "string", "array<timestamp>", "map<int,struct<a:datetime>>"])
def test_same_type_is_not_copied(text):
    t = parse_type(text)
    array = pa.nulls(3, storage_type(t))
    assert to_read(array, t) is array
    assert to_storage(array, t, where="c") is array
