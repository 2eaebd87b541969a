"""Python's own values as a column of a table: never cut to fit, as pyarrow does with 2.5 for an integer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.types as pat

from maxlake.protocol.types.arrow import arrow_type
from maxlake.protocol.types.ingest import to_storage
from maxlake.protocol.types.model import Array, Kind, Map, OdpsType, Simple, Struct, walk
from maxlake.protocol.types.storage import to_read

_NOT_ARROW = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError)
_DATE, _DATETIME = Simple(Kind.DATE), Simple(Kind.DATETIME)
_INTERVAL = Simple(Kind.INTERVAL_DAY_TIME)
#: Types into which pyarrow cuts what Python has more of.
_CUT = (_DATE, _DATETIME, Simple(Kind.TIMESTAMP), Simple(Kind.TIMESTAMP_NTZ), _INTERVAL)


def column_of(values: Sequence[Any], t: OdpsType, where: str) -> pa.Array:
    """Return ``values`` as a column of type ``t``; a map may be a dict or a list of pairs.

    Raises ``BadRequestError`` that names ``where`` and the row, or ``ValueError`` that names ``where``, for
    what does not fit without loss, for dates beside times, and for times with a zone beside those without.
    """
    unit = _checked_unit(values, t, where)
    try:
        array = _loosely(values, t, unit) if isinstance(t, Map) else _inferred(values, t, unit)
    except _NOT_ARROW as error:
        try:
            array = _loosely(values, t, unit)
        except _NOT_ARROW:
            raise ValueError(f"{where}: {error}") from error
    return to_read(to_storage(array, t, where=where), t)


def _checked_unit(values: Sequence[Any], t: OdpsType, where: str) -> str:
    """Return the unit of time that holds all of ``values``: pandas has nanoseconds, Python the range."""
    if not any(part in _CUT or isinstance(part, Struct) for part in walk(t)):
        return "us"
    found = [(part, leaf) for value in values for part, leaf in _leaves(value, t, where)]
    for part, leaf in found:
        if (
            part == _DATE
            and isinstance(leaf, datetime)
            and (leaf.time() != datetime.min.time() or _nanos(leaf))
        ):
            raise ValueError(f"{where}: {leaf} is no date: its time of day would be lost")
        if part == _DATETIME and isinstance(leaf, datetime) and (leaf.microsecond % 1000 or _nanos(leaf)):
            raise ValueError(f"{where}: {leaf} is no datetime: what is below milliseconds would be lost")
    kinds = {_kind(leaf) for part, leaf in found if part in _CUT}
    if len(kinds) > 1:
        raise ValueError(f"{where}: {' beside '.join(sorted(kinds))}; make them alike")
    return "ns" if any(_nanos(leaf) for _, leaf in found) else "us"


def _leaves(value: Any, t: OdpsType, where: str) -> Iterator[tuple[OdpsType, Any]]:
    """Yield every date, time and duration in ``value`` after its type; raises for an unknown member."""
    match t, value:
        case Array(), list() | tuple():
            for item in value:
                yield from _leaves(item, t.item, where)
        case Map(), Mapping() | list() | tuple():
            for key, item in value.items() if isinstance(value, Mapping) else value:
                yield from _leaves(key, t.key, where)
                yield from _leaves(item, t.value, where)
        case Struct(), Mapping():
            members = {field.name: field.type for field in t.fields}
            for name, item in value.items():
                if str(name).lower() not in members:
                    raise ValueError(
                        f"{where}: the struct has no member {name}; it has: {', '.join(members)}"
                    )
                yield from _leaves(item, members[str(name).lower()], where)
        case _, date() | timedelta():
            yield t, value
        case _:
            pass


def _kind(leaf: date | timedelta) -> str:
    if isinstance(leaf, timedelta):
        return "durations"
    if not isinstance(leaf, datetime):
        return "dates"
    return "times without a zone" if leaf.tzinfo is None else "times with a zone"


def _nanos(leaf: Any) -> bool:
    """Whether pandas has nanoseconds here; Python has none."""
    return bool(getattr(leaf, "nanosecond", 0) or getattr(leaf, "nanoseconds", 0))


def _inferred(values: Sequence[Any], t: OdpsType, unit: str) -> pa.Array:
    """Return ``values`` as what they look like; inferred are microseconds, too few for some."""
    if unit == "us":
        return pa.array(values)
    return pa.array(values, pa.duration(unit) if t == _INTERVAL else _wide(arrow_type(t), unit))


def _loosely(values: Sequence[Any], t: OdpsType, unit: str) -> pa.Array:
    """Return ``values`` in the shape of ``t``, through integers that refuse a fraction."""
    if isinstance(t, Map):
        values = [list(value.items()) if isinstance(value, Mapping) else value for value in values]
    return pa.array(values, _wide(arrow_type(t), unit)).cast(arrow_type(t))


def _wide(dtype: Any, unit: str) -> pa.DataType:
    """Return ``dtype`` with times in ``unit``, and decimals for integers, which pyarrow would cut 2.5 to."""
    if pat.is_integer(dtype):
        return pa.decimal128(38, 0)
    if pat.is_timestamp(dtype):
        return pa.timestamp(unit, dtype.tz)
    if pat.is_map(dtype):
        return pa.map_(_wide(dtype.key_type, unit), _wide(dtype.item_type, unit))
    if pat.is_list(dtype):
        return pa.list_(_wide(dtype.value_type, unit))
    if pat.is_struct(dtype):
        return pa.struct([field.with_type(_wide(field.type, unit)) for field in dtype])
    return dtype
