"""Python's own values as a column of a table: never cut to fit, as pyarrow does with 2.5 for an integer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.types as pat

from maxlake.protocol.types.arrow import arrow_type
from maxlake.protocol.types.ingest import to_storage
from maxlake.protocol.types.model import Map, OdpsType
from maxlake.protocol.types.storage import to_read

_NOT_ARROW = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError)


def column_of(values: Sequence[Any], t: OdpsType, where: str) -> pa.Array:
    """Return ``values`` as a column of type ``t``; a map may be a dict or a list of pairs.

    Raises ``BadRequestError`` that names ``where`` and the row, or ``ValueError`` that names ``where``, for
    what does not fit without loss.
    """
    try:
        array = _loosely(values, t) if isinstance(t, Map) else _inferred(values)
    except _NOT_ARROW as error:
        try:
            array = _loosely(values, t)
        except _NOT_ARROW:
            raise ValueError(f"{where}: {error}") from error
    return to_read(to_storage(array, t, where=where), t)


def _inferred(values: Sequence[Any]) -> pa.Array:
    array = pa.array(values)
    if not pat.is_timestamp(array.type):
        return array
    # Inferred are microseconds, to which pandas' nanoseconds would be cut.
    if any(getattr(value, "nanosecond", 0) for value in values):
        return pa.array(values, pa.timestamp("ns", array.type.tz))
    return array


def _loosely(values: Sequence[Any], t: OdpsType) -> pa.Array:
    """Return ``values`` in the shape of ``t``, through integers that refuse a fraction."""
    if isinstance(t, Map):
        values = [list(value.items()) if isinstance(value, Mapping) else value for value in values]
    return pa.array(values, _wide(arrow_type(t))).cast(arrow_type(t))


def _wide(dtype: Any) -> pa.DataType:
    """Return ``dtype`` with decimals for its integers, which pyarrow would cut 2.5 to."""
    if pat.is_integer(dtype):
        return pa.decimal128(38, 0)
    if pat.is_map(dtype):
        return pa.map_(_wide(dtype.key_type), _wide(dtype.item_type))
    if pat.is_list(dtype):
        return pa.list_(_wide(dtype.value_type))
    if pat.is_struct(dtype):
        return pa.struct([field.with_type(_wide(field.type)) for field in dtype])
    return dtype
