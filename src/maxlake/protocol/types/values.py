"""Taking in plain values: every Arrow type that can stand for an ODPS type, lossless or refused."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from maxlake.protocol.blob_references import DECODED_PREFIX, decoded
from maxlake.protocol.limits import MAX_FIELD_SIZE
from maxlake.protocol.types.arrow import DAY_TIME, TICKS
from maxlake.protocol.types.model import Char, Decimal, Kind, OdpsType, Simple, Varchar
from maxlake.protocol.types.place import Place, cast, check_range, first_true, refuse_where
from maxlake.protocol.types.storage import floor_divide, storage_type

# 0001-01-01 .. 9999-12-31, the vendor's and Python's calendar.
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
_DAY_SECONDS = 86_400
_NANOS = TICKS["ns"]
# The two ends of 64 bits mean "no time" to NumPy and "infinity" to DuckDB: they would not read back.
_FIRST_NANO, _LAST_NANO = -(2**63) + 2, 2**63 - 2
_INT64 = pa.int64()


def is_text(dtype: pa.DataType) -> bool:
    """Whether this is one of Arrow's three string types."""
    return pat.is_string(dtype) or pat.is_large_string(dtype) or pat.is_string_view(dtype)


def is_bytes(dtype: pa.DataType) -> bool:
    """Whether this is one of Arrow's four binary types."""
    return (
        pat.is_binary(dtype)
        or pat.is_large_binary(dtype)
        or pat.is_fixed_size_binary(dtype)
        or pat.is_binary_view(dtype)
    )


def to_number(array: pa.Array, t: OdpsType, place: Place) -> pa.Array:
    """Take in integers (also whole floats) and floats (also integers they can hold exactly)."""
    target = storage_type(t)
    source = array.type
    if source == target:
        return array
    if not (pat.is_integer(source) or pat.is_floating(source)):
        raise place.mismatch(source, t, f"{target} or another number type")
    problem = f"the value is not a {t}, or not without loss; declare a wider type"
    if not (pat.is_float64(source) and pat.is_float32(target)):
        return cast(array, target, place, problem)
    narrow = array.cast(target)
    lost = pc.and_not(pc.not_equal(narrow.cast(source), array), pc.is_nan(array))
    refuse_where(lost, place, problem)
    return narrow


def to_boolean(array: pa.Array, t: OdpsType, place: Place) -> pa.Array:
    """Take in booleans and nothing else: 0 and 1 may be a mistake."""
    if not pat.is_boolean(array.type):
        raise place.mismatch(array.type, t, "bool")
    return array


def to_text(array: pa.Array, t: OdpsType, place: Place) -> pa.Array:
    """Take in strings, and bytes that are UTF-8; char and varchar count characters."""
    if not (is_text(array.type) or is_bytes(array.type)):
        raise place.mismatch(array.type, t, "utf8")
    text = cast(array, pa.utf8(), place, "the bytes are not valid UTF-8; declare the column binary")
    _check_field_size(text, place)
    if isinstance(t, Char | Varchar):
        index = first_true(pc.greater(pc.utf8_length(text), t.length))
        if index is not None:
            raise place.too_long(
                index, f"the text is longer than {t}; shorten it, it will not be cut, or widen the column"
            )
    return text


def to_bytes(array: pa.Array, t: OdpsType, place: Place) -> pa.Array:
    """Take in bytes, and strings as their UTF-8 bytes."""
    if not (is_text(array.type) or is_bytes(array.type)):
        raise place.mismatch(array.type, t, "binary")
    data = array.cast(pa.binary())
    _check_field_size(data, place)
    return data


def to_reference(array: pa.Array, t: OdpsType, place: Place) -> pa.Array:
    """Take in references to blobs, decoded or in base64, as decoded bytes; empty is null (drift.md B.18).

    Whether a reference leads to a blob is not looked at here.
    """
    data = to_bytes(array, t, place)
    if pc.all(pc.starts_with(data, DECODED_PREFIX.decode())).as_py() is not False:
        return data
    texts = [_reference(index, value, place) for index, value in enumerate(data.to_pylist())]
    return pa.array(texts, pa.binary())


def _reference(index: int, value: bytes | None, place: Place) -> bytes | None:
    if not value:
        return None
    text = decoded(value.decode(errors="replace"))
    if text is None:
        raise place.bad(index, "the value is no reference to a blob; upload the blob and write what answers")
    return text.encode()


def _check_field_size(array: pa.Array, place: Place) -> None:
    if array.nbytes > MAX_FIELD_SIZE:  # together they are larger than one may be, so look at each
        too_large = pc.greater(pc.binary_length(array), MAX_FIELD_SIZE)
        refuse_where(too_large, place, f"the value is larger than MaxFieldSize, {MAX_FIELD_SIZE} bytes")


def to_decimal(array: pa.Array, t: Decimal, place: Place) -> pa.Array:
    """Take in decimals of any width, precision and scale, and integers, if the values fit."""
    if pat.is_integer(array.type):
        # Wide enough for 64 bits at any scale: integers convert by the digits of their type.
        array = array.cast(pa.decimal256(76, t.digits[1]))
    elif not pat.is_decimal(array.type):
        raise place.mismatch(array.type, t, "a decimal or integer type")
    return cast(array, storage_type(t), place, f"the value does not fit {t} without rounding")


def to_date(array: pa.Array, t: OdpsType, place: Place) -> pa.Array:
    """Take in days, and instants without a zone that fall on midnight."""
    source: Any = array.type
    zoned = pat.is_timestamp(source) and source.tz is not None
    if zoned or not (pat.is_date(source) or pat.is_timestamp(source)):
        raise place.mismatch(source, t, "date32")
    problem = "the value has a time of day; declare datetime or timestamp, or upload midnights"
    if pat.is_timestamp(source):
        days = floor_divide(array.view(_INT64), TICKS[source.unit] * _DAY_SECONDS)
        whole = pc.multiply(days, pa.scalar(TICKS[source.unit] * _DAY_SECONDS, _INT64))
        refuse_where(pc.not_equal(whole, array.view(_INT64)), place, problem)
        _check_days(days, place)
        return days.cast(pa.int32()).view(pa.date32())
    days = cast(array, pa.date32(), place, problem)
    _check_days(days.view(pa.int32()), place)
    return days


def _check_days(days: pa.Array, place: Place) -> None:
    check_range(days, _FIRST_DAY, _LAST_DAY, place, "the date is outside 0001-01-01..9999-12-31")


def to_instant(array: pa.Array, t: Simple, place: Place) -> pa.Array:
    """Take in instants of any unit: a zone is only how they were shown, and not for timestamp_ntz."""
    source: Any = array.type
    if pat.is_timestamp(source):
        if source.tz is not None and t.kind is Kind.TIMESTAMP_NTZ:
            raise place.mismatch(source, t, "timestamps without a zone, or declare timestamp")
        array = array if source.tz is None else array.view(pa.timestamp(source.unit))
    elif pat.is_struct(source):
        return _instant_from_parts(array, t, place)
    elif pat.is_date(source):
        array = cast(array, pa.date32(), place, "the date64 value is not a whole day")
    else:
        raise place.mismatch(source, t, "a timestamp type")
    instants = cast(array, storage_type(t), place, _instant_problem(t))
    _check_instants(instants, t, place)
    return instants


def _instant_problem(t: Simple) -> str:
    if t.kind is Kind.DATETIME:
        return (
            "the value is finer than datetime's milliseconds or out of range; round it, or declare timestamp"
        )
    return f"the value does not fit {t}: 64-bit nanoseconds reach from 1677 to 2262; declare datetime"


def _check_instants(instants: pa.Array, t: Simple, place: Place) -> None:
    if t.kind is Kind.DATETIME:
        low = _FIRST_DAY * _DAY_SECONDS * 1000
        high = (_LAST_DAY + 1) * _DAY_SECONDS * 1000 - 1
        problem = "the instant is outside the years 1..9999"
    else:
        low, high, problem = _FIRST_NANO, _LAST_NANO, _instant_problem(t)
    check_range(instants.view(_INT64), low, high, place, problem)


def _instant_from_parts(array: pa.Array, t: Simple, place: Place) -> pa.Array:
    seconds, nanos = _parts(array, t, place)
    check_range(nanos, 0, _NANOS - 1, place, "nano is outside 0..999999999")
    dtype = storage_type(t)
    ticks = TICKS[dtype.unit]
    step = pa.scalar(_NANOS // ticks, _INT64)
    fraction = pc.divide(nanos, step)
    refuse_where(pc.not_equal(pc.multiply(fraction, step), nanos), place, _instant_problem(t))
    # Counted back from the second after, where the product of the one before could pass 64 bits.
    before = pc.less(seconds, 0).cast(_INT64)
    seconds = pc.add(seconds, before)
    fraction = pc.subtract(fraction, pc.multiply(before, pa.scalar(ticks, _INT64)))
    most = (_LAST_DAY + 1) * _DAY_SECONDS if t.kind is Kind.DATETIME else _LAST_NANO // _NANOS
    check_range(seconds, -most, most, place, _instant_problem(t))
    at_the_end = pc.equal(pc.abs(seconds), most)
    room = pa.scalar(_LAST_NANO - most * ticks if t.kind is not Kind.DATETIME else ticks, _INT64)
    refuse_where(pc.and_(at_the_end, pc.greater(pc.abs(fraction), room)), place, _instant_problem(t))
    instants = pc.add(pc.multiply(seconds, pa.scalar(ticks, _INT64)), fraction).view(dtype)
    _check_instants(instants, t, place)
    return instants


def _parts(array: pa.Array, t: OdpsType, place: Place) -> tuple[pa.Array, pa.Array]:
    """Return seconds and nanoseconds, both int64, of a struct<sec,nano>."""
    names = [field.name.lower() for field in array.type]
    if sorted(names) != ["nano", "sec"]:
        raise place.mismatch(array.type, t, "struct<sec: int64, nano: int32>")
    found = dict(zip(names, array.flatten(), strict=True))
    bigint = Simple(Kind.BIGINT)
    for name, part in found.items():
        if part.null_count != array.null_count:
            half = pc.and_not(part.is_null(), array.is_null())
            refuse_where(half, place, f"{name} is null where the whole value is not")
        found[name] = to_number(part, bigint, place.member(name))
    return found["sec"], found["nano"]


def to_day_time(array: pa.Array, t: OdpsType, place: Place) -> pa.Array:
    """Take in struct<sec,nano>, durations, and month-day-nano intervals without months."""
    source: Any = array.type
    if pat.is_struct(source):
        seconds, nanos = _parts(array, t, place)
        check_range(nanos, 1 - _NANOS, _NANOS - 1, place, "nano is outside ±999999999")
        if source == DAY_TIME:
            return array
    elif pat.is_duration(source):
        seconds, nanos = _split(array.view(_INT64), TICKS[source.unit])
    elif source == pa.month_day_nano_interval():
        months, days, nanos = _month_day_nano(array)
        refuse_where(
            pc.not_equal(months, 0), place, f"the interval counts months, which have no fixed length in {t}"
        )
        seconds, nanos = _split(nanos, _NANOS)
        seconds = pc.add(seconds, pc.multiply(days.cast(_INT64), pa.scalar(_DAY_SECONDS, _INT64)))
    else:
        raise place.mismatch(source, t, "struct<sec: int64, nano: int32> or a duration")
    mask = array.is_null() if array.null_count else None
    return pa.StructArray.from_arrays([seconds, nanos.cast(pa.int32())], fields=list(DAY_TIME), mask=mask)


def _split(ticks: pa.Array, per_second: int) -> tuple[pa.Array, pa.Array]:
    seconds = floor_divide(ticks, per_second)
    rest = pc.subtract(ticks, pc.multiply(seconds, pa.scalar(per_second, _INT64)))
    return seconds, pc.multiply(rest, pa.scalar(_NANOS // per_second, _INT64))


def to_year_month(array: pa.Array, t: OdpsType, place: Place) -> pa.Array:
    """Take in months as integers, and month-day-nano intervals of months alone."""
    if array.type == pa.month_day_nano_interval():
        months, days, nanos = _month_day_nano(array)
        more = pc.or_(pc.not_equal(days, 0), pc.not_equal(nanos, 0))
        refuse_where(more, place, f"the interval counts days or less, which {t} cannot hold")
        return months
    if not pat.is_integer(array.type):
        raise place.mismatch(array.type, t, "int32 months")
    return cast(array, pa.int32(), place, "the number of months does not fit 32 bits")


def _month_day_nano(array: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Return months, days (int32) and nanoseconds (int64) from the 16 bytes of each interval."""
    count, start, data = len(array), array.offset, array.buffers()[1]
    valid = array.is_valid()

    def part(dtype: pa.DataType, width: int, position: int) -> pa.Array:
        words = pa.Array.from_buffers(dtype, count * width, [None, data], offset=start * width)
        values = pc.list_element(pa.FixedSizeListArray.from_arrays(words, width), position)
        return pc.if_else(valid, values, pa.scalar(None, dtype))

    return part(pa.int32(), 4, 0), part(pa.int32(), 4, 1), part(_INT64, 2, 1)
