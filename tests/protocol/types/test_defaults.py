"""The text of a default is one value of its type, or refused; its canonical text means the same."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.types.defaults import canonical_default, default_scalar, ducklake_default
from maxlake.protocol.types.storage import storage_type
from maxlake.protocol.types.text import parse_type

CANONICAL = [
    ("tinyint", "-128", "-128"),
    ("bigint", "007", "7"),
    ("bigint", "+9223372036854775807", "9223372036854775807"),
    ("float", "0.5", "0.5"),
    ("float", "0.1", "0.10000000149011612"),
    ("double", ".1", "0.1"),
    ("double", "1E300", "1e+300"),
    ("double", "NaN", "nan"),
    ("double", "-Infinity", "-inf"),
    ("boolean", "TRUE", "true"),
    ("boolean", "false", "false"),
    ("decimal(10,2)", "1.5", "1.50"),
    ("decimal(10,2)", "1.50000", "1.50"),
    ("decimal(10,2)", "1e3", "1000.00"),
    ("decimal", "0.5", "0.500000000000000000"),
    ("decimal(38,0)", "-" + "9" * 38, "-" + "9" * 38),
    ("string", "", ""),
    ("string", "NULL", "NULL"),
    ("json", '{"a": 1}', '{"a": 1}'),
    ("char(3)", "äöü", "äöü"),
    ("varchar(2)", " ", " "),
    ("binary", "ü\\", "ü\\"),
    ("date", "0001-01-01", "0001-01-01"),
    ("datetime", "2024-01-01", "2024-01-01 00:00:00"),
    ("datetime", "0001-01-01 01:02:03.120", "0001-01-01 01:02:03.12"),
    ("timestamp", "2024-01-01T01:02:03.123456789", "2024-01-01 01:02:03.123456789"),
    ("timestamp_ntz", "1700-01-01 23:59:59.000000001", "1700-01-01 23:59:59.000000001"),
]

REFUSED = [
    ("tinyint", "128"),
    ("bigint", "9223372036854775808"),
    ("bigint", "1.0"),
    ("bigint", "0x10"),
    ("bigint", "１"),  # noqa: RUF001 - a digit of another script is meant
    ("bigint", ""),
    ("float", "1e39"),
    ("double", "1e999"),
    ("double", "1_0"),
    ("boolean", "1"),
    ("decimal(10,2)", "1.555"),
    ("decimal(10,2)", "100000000"),
    ("decimal(10,2)", "nan"),
    ("decimal(16,16)", "1.7764948906939152579546276783e-27"),
    ("decimal(38,18)", "1e9999"),
    ("decimal(38,18)", "0e9999"),
    ("char(2)", "abc"),
    ("varchar(2)", "abc"),
    ("string", "\ud800"),
    ("date", "2024-02-30"),
    ("date", "2024-1-1"),
    ("date", "0000-01-01"),
    ("datetime", "2024-01-01 24:00:00"),
    ("datetime", "2024-01-01 00:00:00.1234"),
    ("datetime", "2024-01-01 00:00:00Z"),
    ("timestamp", "1600-01-01"),
    ("timestamp", "2262-04-11 23:47:16.854775807"),
    ("interval_day_time", "1"),
    ("interval_year_month", "1"),
    ("blob", "x"),
    ("array<int>", "[]"),
    ("vector(float,1)", "[1]"),
    ("map<string,int>", "{}"),
    ("struct<a:int>", "{}"),
]


@pytest.mark.parametrize(("kind", "text", "canonical"), CANONICAL)
def test_canonical(kind: str, text: str, canonical: str):
    t = parse_type(kind)
    assert canonical_default(text, t) == canonical
    assert canonical_default(canonical, t) == canonical
    value = default_scalar(text, t)
    assert value.type == storage_type(t)
    assert repr(value) == repr(default_scalar(canonical, t))


@pytest.mark.parametrize(("kind", "text"), REFUSED)
def test_refused(kind: str, text: str):
    with pytest.raises(BadRequestError) as caught:
        default_scalar(text, parse_type(kind))
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert kind in str(caught.value)


def test_binary_is_the_bytes_of_its_text():
    t = parse_type("binary")
    assert default_scalar("ü\\", t).as_py() == b"\xc3\xbc\\"
    assert ducklake_default("ü\\", t) == "\\xC3\\xBC\\x5C"


INTEGERS = {"tinyint": pa.int8(), "smallint": pa.int16(), "int": pa.int32(), "bigint": pa.int64()}


@settings(deadline=None)
@given(st.sampled_from(sorted(INTEGERS)), st.integers(-(2**65), 2**65))
def test_every_integer_that_fits_and_no_other(kind: str, number: int):
    bits = INTEGERS[kind].bit_width
    if -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
        assert default_scalar(str(number), parse_type(kind)) == pa.scalar(number, INTEGERS[kind])
    else:
        with pytest.raises(BadRequestError):
            default_scalar(str(number), parse_type(kind))


@settings(deadline=None)
@given(st.floats(), st.sampled_from(["float", "double"]))
def test_floats_read_back(number: float, kind: str):
    t = parse_type(kind)
    value = pa.scalar(number, storage_type(t))
    assume(kind == "double" or repr(value.as_py()) in ("nan", "inf", "-inf") or abs(value.as_py()) < 1e38)
    assert repr(default_scalar(repr(value.as_py()), t)) == repr(value)


@settings(deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False), st.integers(1, 38), st.data())
def test_decimals_are_exact_or_refused(number, precision: int, data: st.DataObject):
    t = parse_type(f"decimal({precision},{data.draw(st.integers(0, precision))})")
    try:
        value = default_scalar(str(number), t)
    except BadRequestError:
        return
    assert value.as_py() == number


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30), st.sampled_from(sorted({kind for kind, _, _ in CANONICAL})))
def test_any_text_is_a_value_or_a_bad_request(text: str, kind: str):
    t = parse_type(kind)
    try:
        canonical = canonical_default(text, t)
    except BadRequestError:
        return
    assert canonical_default(canonical, t) == canonical
