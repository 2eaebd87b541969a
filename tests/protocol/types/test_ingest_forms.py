"""Every form in which a value may come is taken without loss or refused (types.md §3), for any value."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import pyarrow as pa
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from maxlake.protocol.errors import BadRequestError
from maxlake.protocol.types.arrow import arrow_type
from maxlake.protocol.types.ingest import to_storage
from maxlake.protocol.types.model import Array, Char, Kind, Map, OdpsType, Simple, Struct
from maxlake.protocol.types.model import Decimal as OdpsDecimal
from tests.protocol.types.strategies import DECIMALS, TEXT, TYPES, arrays, values

UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
WHOLE = {Kind.TINYINT: 8, Kind.SMALLINT: 16, Kind.INT: 32, Kind.BIGINT: 64}


def taken(array: pa.Array, t: OdpsType) -> list[Any] | None:
    """What is stored; None if it is refused."""
    try:
        return to_storage(array, t, where="c").to_pylist()
    except BadRequestError:
        return None


@given(st.data(), st.sampled_from(INTEGERS), st.sampled_from(list(WHOLE)))
@settings(max_examples=60)
def test_integers_of_any_width(data: st.DataObject, source: pa.DataType, kind: Kind) -> None:
    signed = pa.types.is_signed_integer(source)
    low, high = (-(2 ** (source.bit_width - 1)), 2 ** (source.bit_width - 1) - 1)
    numbers = data.draw(st.lists(st.none() | st.integers(low if signed else 0, high if signed else 2 * high)))
    most = 2 ** (WHOLE[kind] - 1)
    fits = all(number is None or -most <= number < most for number in numbers)
    assert taken(pa.array(numbers, source), Simple(kind)) == (numbers if fits else None)


@given(DECIMALS, st.data(), st.integers(1, 76))
def test_decimals_of_any_precision_and_scale(t: OdpsDecimal, data: st.DataObject, precision: int) -> None:
    scale = data.draw(st.integers(0, precision))
    with localcontext(prec=200):
        digits = data.draw(st.integers(0, 10**precision - 1) | st.integers(0, 999))
        zeros = data.draw(st.integers(0, scale))
        assume(digits * 10**zeros < 10**precision)
        number = Decimal(digits * 10**zeros).scaleb(-scale)
        stored_precision, stored_scale = t.digits
        shifted = number.scaleb(stored_scale)
        fits = shifted == shifted.to_integral_value() and shifted < 10**stored_precision
        found = taken(pa.array([number, None], pa.decimal256(precision, scale)), t)
    assert found == ([number, None] if fits else None)


@given(st.sampled_from([Kind.DATETIME, Kind.TIMESTAMP, Kind.TIMESTAMP_NTZ]), st.sampled_from(list(UNITS)),
       st.integers(-(2**63) + 2, 2**63 - 2) | st.integers(-(10**12), 10**12))  # fmt: skip
def test_instants_of_any_unit(kind: Kind, unit: str, ticks: int) -> None:
    per_second = 1000 if kind is Kind.DATETIME else 10**9
    low, high = (
        (-62_135_596_800_000, 253_402_300_799_999)
        if kind is Kind.DATETIME
        else (-(2**63) + 2, 2**63 - 2)
    )  # fmt: skip
    stored, rest = divmod(ticks * per_second, UNITS[unit])
    fits = not rest and low <= stored <= high
    for zone in (None, "UTC", "Asia/Shanghai", "+05:30"):
        array = pa.array([ticks, None], pa.int64()).view(pa.timestamp(unit, zone))
        try:
            found = to_storage(array, Simple(kind), where="c").view(pa.int64()).to_pylist()
        except BadRequestError:
            found = None
        wall_clock = kind is Kind.TIMESTAMP_NTZ and zone is not None
        assert found == ([stored, None] if fits and not wall_clock else None), zone


@given(st.integers(1, 10), st.lists(st.none() | TEXT))
def test_lengths_count_characters(length: int, texts: list[str | None]) -> None:
    fits = all(text is None or len(text) <= length for text in texts)
    for form in (pa.utf8(), pa.large_utf8(), pa.string_view(), pa.binary()):
        data = texts if form != pa.binary() else [text and text.encode() for text in texts]
        data = [b"" if form == pa.binary() and text == "" else text for text in data]
        assert taken(pa.array(data, form), Char(length)) == (texts if fits else None)


def _large(dtype: Any) -> pa.DataType:
    """The same in the forms with 64-bit offsets."""
    if pa.types.is_list(dtype):
        return pa.large_list(_large(dtype.value_type))
    if pa.types.is_struct(dtype):
        return pa.struct([field.with_type(_large(field.type)) for field in dtype])
    if pa.types.is_map(dtype):
        return pa.map_(_large(dtype.key_type), _large(dtype.item_type))
    return {pa.utf8(): pa.large_utf8(), pa.binary(): pa.large_binary()}.get(dtype, dtype)


def _dictionary(array: pa.Array) -> pa.Array:
    """A dictionary of the distinct places, whatever is in them."""
    indices = pa.array([None if value is None else number for number, value in enumerate(array)], pa.int32())
    return pa.DictionaryArray.from_arrays(indices, array)


def _entries(array: pa.Array) -> pa.Array:
    """Maps as lists of their entries, at the top."""
    if not pa.types.is_map(array.type):
        return array
    entry = pa.struct([("key", array.type.key_type), ("value", array.type.item_type)])
    rows = [
        row and [dict(zip(("key", "value"), pair, strict=True)) for pair in row] for row in array.to_pylist()
    ]
    return pa.array(rows, pa.list_(entry))


FORMS: dict[str, Callable[[pa.Array], pa.Array]] = {
    "large": lambda array: pa.array(array.to_pylist(), _large(array.type)),
    "dictionary": _dictionary,
    "entries": _entries,
    "chunked": lambda array: pa.chunked_array([array.slice(0, 1), array.slice(1)]),
}


def _is_plain(t: OdpsType) -> bool:
    """Whether Python has all values of this type exactly: it has no nanoseconds."""
    instants = (Kind.TIMESTAMP, Kind.TIMESTAMP_NTZ)
    return not (isinstance(t, Simple) and t.kind in instants) and all(map(_is_plain, t.children()))


@given(st.data(), st.sampled_from(list(FORMS)))
@settings(max_examples=60)
def test_every_layout_is_the_same_rows(data: st.DataObject, form: str) -> None:
    t = data.draw(TYPES.filter(_is_plain))
    array = data.draw(arrays(t))
    assert to_storage(FORMS[form](array), t, where="c").equals(to_storage(array, t, where="c"))


@given(st.data())
@settings(max_examples=40)
def test_members_are_found_by_name_in_any_order_and_case(data: st.DataObject) -> None:
    t = data.draw(TYPES.filter(lambda t: isinstance(t, Struct) and _is_plain(t)))
    rows = data.draw(st.lists(values(t), max_size=4))
    array = pa.array(rows, arrow_type(t))
    order = data.draw(st.permutations(range(array.type.num_fields)))
    fields = [array.type.field(index) for index in order]
    assume(all(field.name.upper().lower() == field.name for field in fields))
    shouted = pa.StructArray.from_arrays(
        [array.field(index) for index in order],
        fields=[field.with_name(field.name.upper()) for field in fields],
        mask=array.is_null(),
    )
    for wrapped, outer in (
        (shouted, t),
        (pa.ListArray.from_arrays([0, len(rows)], shouted), Array(t)),
        (pa.MapArray.from_arrays([0, len(rows)], pa.array(range(len(rows)), pa.int64()), shouted),
         Map(Simple(Kind.BIGINT), t)),
    ):  # fmt: skip
        inside = to_storage(wrapped, outer, where="c")
        inside.validate(full=True)
        stored = to_storage(array, t, where="c")
        found = inside if outer is t else inside.values if isinstance(outer, Array) else inside.items
        assert found.equals(stored)
