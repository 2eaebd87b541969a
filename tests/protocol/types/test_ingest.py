from __future__ import annotations

import datetime as dt
import math
from base64 import b64encode
from decimal import Decimal

import pyarrow as pa
import pytest

from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.limits import MAX_FIELD_SIZE
from maxlake.protocol.types.ingest import months_as_int32, to_storage
from maxlake.protocol.types.storage import storage_type
from maxlake.protocol.types.text import parse_type

REFERENCE = "maxlake-blob:1:p:202611/s/0-a:eA:eA"
D = dt.datetime
NOON = D(2024, 5, 6, 12, 0, 0, 7000)
UTC = dt.UTC
DAY_TIME = pa.struct([("sec", pa.int64()), ("nano", pa.int32())])
ENTRIES = pa.struct([("k", pa.utf8()), ("v", pa.int8())])


def stored(array, text):
    return to_storage(array, parse_type(text), where="c")


def dictionary(values):
    return pa.array(values).dictionary_encode()


#: types.md §3, row by row: type, what is uploaded, what is kept.
ACCEPTED = [
    ("tinyint", pa.array([1, None], pa.int64()), [1, None]),
    ("int", pa.array([7], pa.uint64()), [7]),
    ("bigint", pa.array([7], pa.int8()), [7]),
    ("bigint", pa.array([3.0, None]), [3, None]),
    ("float", pa.array([0.5, math.inf, None]), [0.5, math.inf, None]),
    ("double", pa.array([0.5], pa.float32()), [0.5]),
    ("double", pa.array([0.5], pa.float16()), [0.5]),
    ("double", pa.array([2**53]), [2.0**53]),
    ("boolean", pa.array([True, None]), [True, None]),
    ("string", pa.array(["é"], pa.large_utf8()), ["é"]),
    ("string", pa.array(["é", None], pa.string_view()), ["é", None]),
    ("string", dictionary(["a", None, "a"]), ["a", None, "a"]),
    ("string", pa.array(["é".encode()]), ["é"]),
    ("string", pa.array([b"ab"], pa.binary(2)), ["ab"]),
    ("json", pa.array(["{}"], pa.json_()), ["{}"]),
    ("variant", pa.array(["1"]), ["1"]),
    ("char(2)", pa.array(["éé", "a"]), ["éé", "a"]),
    ("varchar(3)", pa.array(["éàü"], pa.large_utf8()), ["éàü"]),
    ("binary", pa.array([b"\xff"], pa.large_binary()), [b"\xff"]),
    ("binary", pa.array([b"\xff"], pa.binary(1)), [b"\xff"]),
    ("binary", pa.array([b"\xff"], pa.binary_view()), [b"\xff"]),
    ("binary", pa.array(["é"]), ["é".encode()]),
    ("blob", pa.array([REFERENCE, None, ""]), [REFERENCE.encode(), None, None]),
    ("blob", pa.array([b64encode(REFERENCE.encode())], pa.large_binary()), [REFERENCE.encode()]),
    ("date", pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31)]), [dt.date(1, 1, 1), dt.date(9999, 12, 31)]),
    ("date", pa.array([dt.date(1960, 1, 1)], pa.date64()), [dt.date(1960, 1, 1)]),
    ("date", pa.array([D(1960, 1, 1), None], pa.timestamp("us")), [dt.date(1960, 1, 1), None]),
    ("datetime", pa.array([NOON], pa.timestamp("us")), [NOON]),
    ("datetime", pa.array([NOON], pa.timestamp("ns")), [NOON]),
    ("datetime", pa.array([NOON.replace(tzinfo=UTC)], pa.timestamp("us", "Asia/Shanghai")), [NOON]),
    ("datetime", pa.array([dt.date(2024, 1, 1)]), [D(2024, 1, 1)]),
    ("datetime", pa.array([{"sec": -1, "nano": 7_000_000}], DAY_TIME), [D(1969, 12, 31, 23, 59, 59, 7000)]),
    ("datetime", pa.array([D(1, 1, 1), D(9999, 12, 31)], pa.timestamp("s")), [D(1, 1, 1), D(9999, 12, 31)]),
    ("timestamp", pa.array([NOON], pa.timestamp("ms")), [NOON]),
    ("timestamp", pa.array([NOON.replace(tzinfo=UTC)], pa.timestamp("us", "UTC")), [NOON]),
    ("timestamp", pa.array([None, {"sec": 1, "nano": 5000}], DAY_TIME), [None, D(1970, 1, 1, 0, 0, 1, 5)]),
    ("timestamp_ntz", pa.array([NOON], pa.timestamp("us")), [NOON]),
    ("decimal(10,2)", pa.array([Decimal("1.5")], pa.decimal256(50, 10)), [Decimal("1.50")]),
    ("decimal(10,2)", pa.array([Decimal("1.5")], pa.decimal32(5, 1)), [Decimal("1.50")]),
    ("decimal(38,18)", pa.array([5], pa.uint64()), [Decimal(5)]),
    ("decimal(3,1)", pa.array([-99], pa.int8()), [Decimal(-99)]),
    ("decimal(12,9)", pa.array([Decimal("1e-9")], pa.decimal128(10, 18)), [Decimal("1e-9")]),
    ("interval_day_time", pa.array([{"NANO": 3, "Sec": -4}]), [{"sec": -4, "nano": 3}]),
    ("interval_day_time", pa.array([-1], pa.duration("ms")), [{"sec": -1, "nano": 999_000_000}]),
    ("interval_day_time", pa.array([None, dt.timedelta(days=1)]), [None, {"sec": 86400, "nano": 0}]),
    (
        "interval_day_time",
        pa.array([(0, 2, -1), None], pa.month_day_nano_interval()),
        [{"sec": 172_799, "nano": 999_999_999}, None],
    ),
    ("interval_year_month", pa.array([13]), [13]),
    ("interval_year_month", pa.array([None, (14, 0, 0)], pa.month_day_nano_interval()), [None, 14]),
    ("array<int>", pa.array([[1, None], None, []], pa.large_list(pa.int8())), [[1, None], None, []]),
    ("array<int>", pa.array([[1, 2], None], pa.list_(pa.int64(), 2)), [[1, 2], None]),
    ("array<string>", pa.array([["a"], None], pa.list_view(pa.utf8())), [["a"], None]),
    ("array<string>", pa.array([["a", "b"]], pa.list_(pa.dictionary(pa.int8(), pa.utf8()))), [["a", "b"]]),
    ("vector(float,2)", pa.array([[1, 2], None], pa.list_(pa.float64())), [[1, 2], None]),
    ("map<string,int>", pa.array([[("a", 1)], None], pa.map_(pa.large_utf8(), pa.int8())),
     [[("a", 1)], None]),
    ("map<string,int>", pa.array([[{"k": "a", "v": 1}], None], pa.list_(ENTRIES)), [[("a", 1)], None]),
    ("struct<A:int,b:string>", pa.array([{"B": "x", "a": 1}, None]), [{"a": 1, "b": "x"}, None]),
    ("struct<a:int,b:string>", pa.array([{"b": "x"}]), [{"a": None, "b": "x"}]),
    *((text, pa.nulls(2), [None, None]) for text in
      ("int", "char(1)", "array<int>", "map<int,int>", "struct<a:int>")),
    ("bigint", pa.array([5, None, 5]).dictionary_encode(), [5, None, 5]),
    ("timestamp", pa.array([NOON] * 2, pa.timestamp("us")).dictionary_encode(), [NOON] * 2),
]  # fmt: skip


@pytest.mark.parametrize(("text", "array", "expected"), ACCEPTED)
def test_accepted(text, array, expected):
    kept = stored(array, text)
    kept.validate(full=True)
    assert kept.type == storage_type(parse_type(text))
    assert kept.to_pylist() == expected
    assert stored(array.slice(1), text).to_pylist() == expected[1:]
    assert stored(pa.chunked_array([array, array]), text).to_pylist() == expected * 2


SCHEMA, DATA = ErrorCode.SCHEMA_MISMATCH, ErrorCode.DATA_ERROR
#: type, what is uploaded, the code, what the message says.
REFUSED = [
    ("blob", pa.array([REFERENCE, "cmVmZXJlbmNl"]), DATA, "c, row 1: the value is no reference"),
    ("array<blob>", pa.array([[REFERENCE], [REFERENCE, "no reference"]]), DATA, "c.element, row 1"),
    ("tinyint", pa.array([1, 128]), DATA, "c, row 1:"),
    ("int", pa.array([1.0, 1.5]), DATA, "row 1"),
    ("int", pa.array([0.0, math.nan]), DATA, "row 1"),
    ("bigint", pa.array([math.inf]), DATA, "row 0"),
    ("bigint", pa.array([2.0**63]), DATA, "row 0"),
    ("int", pa.array(["1"]), SCHEMA, "string does not go into int"),
    ("int", pa.array([True]), SCHEMA, "bool"),
    ("boolean", pa.array([1]), SCHEMA, "bool"),
    ("float", pa.array([0.5, 0.1]), DATA, "row 1"),
    ("float", pa.array([1e300]), DATA, "row 0"),
    ("double", pa.array([2**53 + 1]), DATA, "row 0"),
    ("string", pa.array([b"a", b"\xff"]), DATA, "row 1: the bytes are not valid UTF-8"),
    ("string", pa.array([1]), SCHEMA, "utf8"),
    ("string", pa.array(["", "x" * (MAX_FIELD_SIZE + 1)]), DATA, "row 1: .*MaxFieldSize"),
    ("binary", pa.array([1]), SCHEMA, "binary"),
    ("char(1)", pa.array(["a", "éé"]), SCHEMA, "row 1: .*longer than char"),
    ("varchar(2)", dictionary(["abc"]), SCHEMA, "longer"),
    ("date", pa.array([-719_163], pa.int32()).view(pa.date32()), DATA, "0001-01-01"),
    ("date", pa.array([2_932_897], pa.int32()).view(pa.date32()), DATA, "9999-12-31"),
    ("date", pa.array([D(2024, 1, 1), NOON], pa.timestamp("us")), DATA, "row 1: .*time of day"),
    ("date", pa.array([1], pa.int64()).view(pa.date64()), DATA, "time of day"),
    ("date", pa.array([D(2024, 1, 1)], pa.timestamp("us", "UTC")), SCHEMA, "date32"),
    ("datetime", pa.array([D(2024, 1, 1, 0, 0, 0, 1)], pa.timestamp("us")), DATA, "milliseconds"),
    ("datetime", pa.array([2**62], pa.timestamp("s")), DATA, "row 0"),
    ("datetime", pa.array([253_402_300_800], pa.timestamp("s")), DATA, "years 1..9999"),
    ("datetime", pa.array([{"sec": 1, "nano": 1}], DAY_TIME), DATA, "milliseconds"),
    ("datetime", pa.array([1]), SCHEMA, "timestamp"),
    ("timestamp", pa.array([D(2300, 1, 1)], pa.timestamp("us")), DATA, "1677 to 2262"),
    ("timestamp", pa.array([-(2**63)], pa.int64()).view(pa.timestamp("ns")), DATA, "1677"),
    ("timestamp", pa.array([2**63 - 1], pa.timestamp("ns")), DATA, "2262"),
    ("timestamp", pa.array([dt.date(2300, 1, 1)]), DATA, "2262"),
    ("timestamp", pa.array([{"sec": 2**40, "nano": 0}], DAY_TIME), DATA, "2262"),
    ("timestamp", pa.array([{"sec": 1, "nano": -1}], DAY_TIME), DATA, "nano"),
    ("timestamp", pa.array([{"sec": 1, "nano": None}], DAY_TIME), DATA, "null"),
    ("timestamp_ntz", pa.array([NOON], pa.timestamp("us", "UTC")), SCHEMA, "without a zone"),
    ("decimal(4,2)", pa.array([Decimal("1.5"), Decimal("1.555")]), DATA, "row 1"),
    ("decimal(4,2)", pa.array([Decimal("123.5")]), DATA, "row 0"),
    ("decimal(4,2)", pa.array([100]), DATA, "row 0"),
    ("decimal(4,2)", pa.array([1.5]), SCHEMA, "decimal"),
    ("decimal", pa.array([10**70], pa.decimal256(76, 0)), DATA, "row 0"),
    ("interval_day_time", pa.array([(1, 0, 0)], pa.month_day_nano_interval()), DATA, "months"),
    ("interval_day_time", pa.array([{"sec": 1, "nano": 10**9}]), DATA, "nano"),
    ("interval_day_time", pa.array([{"sec": 1}]), SCHEMA, "sec"),
    ("interval_year_month", pa.array([(1, 0, 1)], pa.month_day_nano_interval()), DATA, "days"),
    ("interval_year_month", pa.array([2**31]), DATA, "32 bits"),
    ("array<int>", pa.array([1]), SCHEMA, "list"),
    ("array<tinyint>", pa.array([[1], None, [2, 300]]), DATA, r"c\.element, row 2"),
    ("array<array<tinyint>>", pa.array([[[1]], [], [[], [300]]]), DATA, r"c\.element\.element, row 2"),
    ("vector(float,2)", pa.array([[1.0, 2.0], [1.0]]), DATA, "row 1: .*exactly 2"),
    ("map<string,int>", pa.array([[("a", 1)], [("b", 1), ("b", 2)]],
     pa.map_(pa.utf8(), pa.int32())), DATA, "row 1"),
    ("map<double,int>", pa.array([[(0.0, 1), (-0.0, 2)]],
     pa.map_(pa.float64(), pa.int32())), DATA, "more than once"),
    ("map<string,int>", pa.array([[{"k": None, "v": 1}]], pa.list_(ENTRIES)), DATA, "key is null"),
    ("map<string,int>", pa.array([[None]], pa.list_(ENTRIES)), DATA, "entry is null"),
    ("map<string,tinyint>", pa.array([[], [("a", 300)]],
     pa.map_(pa.utf8(), pa.int32())), DATA, r"c\.value, row 1"),
    ("map<string,int>", pa.array([[1]]), SCHEMA, "map"),
    ("struct<a:int>", pa.array([{"b": 1}]), SCHEMA, "no member 'b'"),
    ("struct<a:int>", pa.StructArray.from_arrays([pa.array([1])] * 2, ["a", "A"]), SCHEMA, "twice"),
    ("struct<a:tinyint>", pa.array([{"a": 1}, {"a": 300}]), DATA, r"c\.a, row 1"),
    ("struct<a:int>", pa.array([1]), SCHEMA, "struct"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "array", "code", "says"), REFUSED)
def test_refused(text, array, code, says):
    with pytest.raises(BadRequestError, match=says) as caught:
        stored(array, text)
    assert caught.value.code is code
    assert caught.value.where.startswith("c")


def test_what_lies_under_a_null_does_not_count():
    hidden = pa.Array.from_buffers(
        pa.list_(pa.int64()),
        2,
        [pa.py_buffer(b"\x02"), pa.array([0, 1, 2], pa.int32()).buffers()[1]],
        children=[pa.array([999, 1])],
    )
    assert stored(hidden, "array<tinyint>").to_pylist() == [None, [1]]
    masked = pa.StructArray.from_arrays([pa.array([999, 1])], ["a"], mask=pa.array([True, False]))
    assert stored(masked, "struct<a:tinyint>").to_pylist() == [None, {"a": 1}]


def test_small_messages_do_not_unfold_without_bound():
    big = "x" * 8_000_000
    bombs = [
        ("string", pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int8()), [big])),
        ("string", _repeated_view(big, 100)),
        ("array<bigint>", pa.FixedSizeListArray.from_arrays(_many_nulls(2**30), 2**30)),
        ("bigint", _many_nulls(2**40)),
    ]
    for text, bomb in bombs:
        with pytest.raises(BadRequestError) as caught:
            stored(bomb, text)
        assert caught.value.code is DATA


def _many_nulls(count):
    return pa.Array.from_buffers(pa.null(), count, [None])


def _repeated_view(text, times):
    _, view, data = pa.array([text], pa.string_view()).buffers()
    return pa.Array.from_buffers(
        pa.string_view(), times, [None, pa.py_buffer(view.to_pybytes()[:16] * times), data]
    )


def test_month_intervals_become_months():
    plain = pa.record_batch(
        {"m": pa.array([1, None], pa.int32()), "l": pa.array([[3], None], pa.list_(pa.int32()))}
    )
    assert months_as_int32(plain) is plain
    months = _month_interval()
    schema = pa.schema([("m", months), ("l", pa.list_(months))])
    _, arrays = plain.__arrow_c_array__()
    batch = pa.RecordBatch._import_from_c_capsule(schema.__arrow_c_schema__(), arrays)
    assert months_as_int32(batch).to_pydict() == plain.to_pydict()


def _month_interval():
    """Arrow's month interval, which PyArrow makes only from a foreign schema."""
    import ctypes

    release_type = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

    class CSchema(ctypes.Structure):
        _fields_ = [
            *((name, ctypes.c_char_p) for name in ("format", "name", "metadata")),
            *((name, ctypes.c_int64) for name in ("flags", "n_children")),
            *((name, ctypes.c_void_p) for name in ("children", "dictionary")),
            ("release", release_type),
            ("private", ctypes.c_void_p),
        ]

    def release(address):
        CSchema.from_address(address).release = release_type(0)

    kept = release_type(release)
    schema = CSchema(b"tiM", b"", None, 2, 0, None, None, kept, None)
    return pa.DataType._import_from_c(ctypes.addressof(schema))


LAST_NANO, LAST_MILLI = 2**63 - 2, 253_402_300_799_999


def in_parts(ticks: int, per_second: int) -> pa.Array:
    seconds, rest = divmod(ticks, per_second)
    return pa.array([{"sec": seconds, "nano": rest * (10**9 // per_second)}, None], DAY_TIME)


@pytest.mark.parametrize("ticks", [-LAST_NANO, -LAST_NANO + 10**9, -(10**9), -1, 0, 10**9, LAST_NANO])
def test_timestamps_in_parts_reach_as_far_as_others(ticks):
    assert stored(in_parts(ticks, 10**9), "timestamp").view(pa.int64()).to_pylist() == [ticks, None]


@pytest.mark.parametrize("ticks", [-62_135_596_800_000, -1, LAST_MILLI])
def test_datetimes_in_parts_reach_as_far_as_others(ticks):
    assert stored(in_parts(ticks, 1000), "datetime").view(pa.int64()).to_pylist() == [ticks, None]


@pytest.mark.parametrize(
    ("text", "ticks", "per_second"),
    [
        ("timestamp", LAST_NANO + 1, 10**9),
        ("timestamp", 2**63, 10**9),
        ("timestamp", -LAST_NANO - 1, 10**9),
        ("timestamp", -(2**63) - 1, 10**9),
        ("timestamp", (2**63 - 1) * 10**9, 10**9),
        ("datetime", LAST_MILLI + 1, 1000),
        ("datetime", -62_135_596_800_001, 1000),
    ],
)
def test_parts_beyond_are_refused(text, ticks, per_second):
    with pytest.raises(BadRequestError):
        stored(in_parts(ticks, per_second), text)
