"""Bucket numbers: pinned for ever, equal for equal values, as documented, evenly spread; what may cluster."""

import zlib
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxlake.lake.buckets import bucket_numbers, check_clustering
from maxlake.protocol.columns import Column, TableSchema
from maxlake.protocol.errors import BadRequestError
from maxlake.protocol.limits import MAX_BUCKETS
from maxlake.protocol.types.text import parse_type

WORD = 2**64 - 1
WIDE = 2**20
EPOCH = datetime(1970, 1, 1)


def numbers(values: list[Any], kind: pa.DataType, buckets: int = MAX_BUCKETS) -> list[int]:
    return bucket_numbers(
        pa.RecordBatch.from_pydict({"k": pa.array(values, kind)}), ["k"], buckets
    ).to_pylist()


# -- pinned: these numbers lie in catalogs, none of them may ever change ------------------------------

PINNED: list[tuple[pa.DataType, list[Any], list[int]]] = [
    (pa.int64(), [0, 1, -1, 42, 2**63 - 1, -(2**63), None], [3618, 3661, 3552, 3037, 924, 1153, 521]),
    (pa.bool_(), [False, True, None], [3618, 3661, 521]),
    (pa.string(), ["", "a", "maxlake", "数据", "x" * 1000, None], [3618, 2544, 911, 2652, 935, 521]),
    (
        pa.date32(),
        [date(1970, 1, 1), date(2024, 2, 29), date(1, 1, 1), date(9999, 12, 31)],
        [3618, 3703, 1353, 2358],
    ),
    (
        pa.timestamp("ms"),
        [
            datetime(1970, 1, 1, 0, 0),
            datetime(2024, 2, 29, 12, 30, 15, 123000),
            datetime(9999, 12, 31, 23, 59, 59),
        ],
        [3618, 2728, 576],
    ),
    (
        pa.timestamp("ns"),
        [datetime(1970, 1, 1, 0, 0), datetime(2024, 2, 29, 12, 30, 15, 123456)],
        [3618, 634],
    ),
    (
        pa.decimal128(38, 18),
        [Decimal("0"), Decimal("1.5"), Decimal("-1E-18"), Decimal("99999999999999999999.999999999999999999")],
        [713, 1289, 1538, 1760],
    ),
]


@pytest.mark.parametrize(("kind", "values", "wanted"), PINNED, ids=[str(pin[0]) for pin in PINNED])
def test_the_buckets_of_known_values_never_change(kind, values, wanted) -> None:
    assert numbers(values, kind) == wanted


def test_the_buckets_of_known_rows_never_change() -> None:
    batch = pa.RecordBatch.from_pydict({"a": pa.array([1, 1, None, 2]), "b": ["x", None, "x", "1"]})
    assert bucket_numbers(batch, ["a", "b"], 4096).to_pylist() == [3088, 2860, 2315, 904]
    assert bucket_numbers(batch, ["b", "a"], 4096).to_pylist() == [3652, 2474, 2425, 1238]
    assert bucket_numbers(batch, ["a"], 7).to_pylist() == [6, 6, 0, 4]


# -- as documented: the same, written a second time with Python's own numbers -------------------------


def word(value: Any) -> int:
    match value:
        case None:
            return 0xD6E8FEB86659FD93
        case bool():
            return int(value)
        case int():
            return value & WORD
        case str():
            return zlib.crc32(value.encode())
        case Decimal():
            return zlib.crc32(int(Fraction(value) * 10**38).to_bytes(32, "little", signed=True))
        case datetime():
            since = value - EPOCH
            return ((since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000) & WORD
        case date():
            return (value - EPOCH.date()).days & WORD
    raise AssertionError(value)


def reference(values: tuple[Any, ...], buckets: int) -> int:
    mixed = 0
    for value in values:
        mixed = ((mixed + 0x9E3779B97F4A7C15) & WORD) ^ word(value)
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & WORD
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & WORD
        mixed ^= mixed >> 31
    return (mixed >> 32) * buckets >> 32


KEYS: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int8(): st.integers(-(2**7), 2**7 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.bool_(): st.booleans(),
    pa.string(): st.text(st.characters(codec="utf-8"), max_size=20),
    pa.date32(): st.dates(),
    pa.timestamp("ms"): st.datetimes().map(lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000)),
    pa.timestamp("ns"): st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)),
    pa.decimal128(38, 9): st.integers(-(10**38) + 1, 10**38 - 1).map(
        lambda n: Decimal((n < 0, tuple(map(int, str(abs(n)))), -9))
    ),
}


@st.composite
def keyed_rows(draw: st.DrawFn) -> pa.RecordBatch:
    kinds = draw(st.lists(st.sampled_from(list(KEYS)), min_size=1, max_size=3))
    length = draw(st.integers(0, 12))
    columns = [
        pa.array(draw(st.lists(st.none() | KEYS[kind], min_size=length, max_size=length)), kind)
        for kind in kinds
    ]
    return pa.RecordBatch.from_arrays(columns, [f"c{index}" for index in range(len(kinds))])


@settings(max_examples=150, deadline=None)
@given(keyed_rows(), st.integers(1, MAX_BUCKETS), st.data())
def test_buckets_are_what_is_documented(batch: pa.RecordBatch, buckets: int, data: st.DataObject) -> None:
    rows = zip(*(column.to_pylist() for column in map(plain, batch.columns)), strict=True)
    wanted = [reference(row, buckets) for row in rows]
    found = bucket_numbers(batch, batch.schema.names, buckets)
    assert found.type == pa.int32()
    assert found.to_pylist() == wanted
    first = data.draw(st.integers(0, batch.num_rows))
    part = batch.slice(first, data.draw(st.integers(0, batch.num_rows)))
    assert bucket_numbers(part, batch.schema.names, buckets).to_pylist() == wanted[first:][: part.num_rows]


def plain(column: pa.Array) -> pa.Array:
    # Nanoseconds would come back as another library's type.
    return column.cast(pa.timestamp("us")) if pa.types.is_timestamp(column.type) else column


# -- widening ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        ([-128, -1, 0, 1, 127, None], [pa.int8(), pa.int16(), pa.int32(), pa.int64()]),
        (
            [Decimal("-1.5"), Decimal("0"), Decimal("12.25"), None],
            [pa.decimal128(4, 2), pa.decimal128(10, 2), pa.decimal128(20, 5), pa.decimal128(38, 18)],
        ),
        (
            [datetime(1969, 12, 31, 23, 59, 59), datetime(2024, 2, 29, 1), None],
            [pa.timestamp("s"), pa.timestamp("ms"), pa.timestamp("us"), pa.timestamp("ns")],
        ),
    ],
    ids=["integers", "decimals", "instants"],
)
def test_equal_values_of_any_width_share_a_bucket(values: list[Any], kinds: list[pa.DataType]) -> None:
    found = [numbers(values, kind) for kind in kinds]
    assert all(other == found[0] for other in found)
    assert len(set(found[0])) == len(values)


def test_the_largest_and_smallest_decimals_have_buckets() -> None:
    for scale in (0, 18, 38):
        values = [Decimal((sign, (9,) * 38, -scale)) for sign in (0, 1)]
        assert numbers(values, pa.decimal128(38, scale)) == [reference((v,), MAX_BUCKETS) for v in values]


# -- spread ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("buckets", [2, 7, 64, 1000])
@pytest.mark.parametrize("step", [1, 64, 1000, 2**32])
@pytest.mark.parametrize("text", [False, True], ids=["integers", "texts"])
def test_regular_keys_spread_evenly(buckets: int, step: int, *, text: bool) -> None:
    keys = pa.array(range(0, 50_000 * step, step), pa.int64())
    batch = pa.RecordBatch.from_pydict({"k": keys.cast(pa.string()) if text else keys})
    counts = [entry["counts"].as_py() for entry in bucket_numbers(batch, ["k"], buckets).value_counts()]
    assert len(counts) == buckets
    mean = 50_000 / buckets
    deviation = sum((count - mean) ** 2 / mean for count in counts)
    # Chi square of buckets - 1 degrees of freedom, eight standard deviations out.
    assert deviation < buckets - 1 + 8 * (2 * buckets) ** 0.5


# -- what may cluster --------------------------------------------------------------------------------


def schema(key: str) -> TableSchema:
    return TableSchema(
        (Column("Id", parse_type(key)), Column("v", parse_type("string"))),
        (Column("p", parse_type("string")),),
    )


@pytest.mark.parametrize(
    "key",
    [
        "tinyint",
        "smallint",
        "int",
        "bigint",
        "boolean",
        "string",
        "char(3)",
        "varchar(9)",
        "date",
        "datetime",
        "timestamp",
        "timestamp_ntz",
        "decimal(38,18)",
        "decimal",
    ],
)
def test_types_that_cluster(key: str) -> None:
    check_clustering(schema(key), ["id", "v"], MAX_BUCKETS)


@pytest.mark.parametrize(
    "key",
    [
        "float",
        "double",
        "binary",
        "json",
        "array<int>",
        "map<string,int>",
        "struct<a:int>",
        "interval_day_time",
        "interval_year_month",
    ],
)
def test_types_that_do_not_cluster(key: str) -> None:
    with pytest.raises(BadRequestError, match="cannot be in CLUSTERED BY"):
        check_clustering(schema(key), ["id"], 4)


@pytest.mark.parametrize(
    ("columns", "buckets"),
    [
        (["id"], None),
        ([], 4),
        (["id"], 0),
        (["id"], MAX_BUCKETS + 1),
        (["id", "ID"], 4),
        (["x"], 4),
        (["p"], 4),
    ],
)
def test_clusterings_that_cannot_be(columns: list[str], buckets: int | None) -> None:
    with pytest.raises(BadRequestError):
        check_clustering(schema("bigint"), columns, buckets)


def test_a_table_need_not_be_clustered() -> None:
    check_clustering(schema("double"), [], None)


@pytest.mark.parametrize("kind", [pa.float64(), pa.binary(), pa.list_(pa.int32())], ids=str)
def test_rows_of_other_types_have_no_buckets(kind: pa.DataType) -> None:
    with pytest.raises(BadRequestError):
        numbers([None], kind)
