"""Column statistics of a Parquet file, as DuckLake writes them: text, by the type of the column.

Only top-level columns get bounds; what is missing counts as unknown, never as empty.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from maxlake.protocol.types.storage import field_id

#: Longer bounds cost catalog space and prune no better.
MAX_BOUND_LENGTH = 256

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Wide enough for decimal(38, s) of any scale.
_WIDE = Context(prec=76)
_TICKS = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


class ColumnStatistics(msgspec.Struct, frozen=True, array_like=True):
    """Bounds of one column of one file; ``column_id`` is the Parquet field id, sizes in bytes.

    None is unknown.
    """

    column_id: int
    size: int
    value_count: int | None
    null_count: int | None
    minimum: str | None
    maximum: str | None


def bounded_leaves(schema: pa.Schema) -> list[str]:
    """Return the paths of the Parquet columns that get statistics: all but float and double.

    NaN counts as larger than every number in SQL, but is left out of the bounds in a Parquet footer, by
    which readers then skip rows they should have read (design.md P7).
    """
    sample = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), sample)
    columns = pq.read_metadata(pa.BufferReader(sample.getvalue())).schema
    leaves = [columns.column(index) for index in range(len(columns))]
    return [leaf.path for leaf in leaves if leaf.physical_type not in ("FLOAT", "DOUBLE")]


def file_statistics(footer: pq.FileMetaData, fields: Iterable[pa.Field]) -> list[ColumnStatistics]:
    """Collect from a Parquet footer the statistics of those fields that are flat and have a field id."""
    positions = {footer.schema.column(index).path: index for index in range(footer.num_columns)}
    return [
        _column_statistics(footer, positions[field.name], field, number)
        for field in fields
        if field.name in positions and (number := field_id(field)) is not None
    ]


def _column_statistics(
    footer: pq.FileMetaData, position: int, field: pa.Field, field_id: int
) -> ColumnStatistics:
    size = values = 0
    nulls: int | None = 0
    minima: list[Any] = []
    maxima: list[Any] = []
    complete = True
    for group in range(footer.num_row_groups):
        chunk = footer.row_group(group).column(position)
        size += chunk.total_compressed_size
        values += chunk.num_values
        found = chunk.statistics
        if found is None or not found.has_null_count or nulls is None:
            complete, nulls = False, None
            continue
        nulls += found.null_count
        if found.has_min_max:
            minima.append(found.min_raw)
            maxima.append(found.max_raw)
        elif found.null_count < chunk.num_values:
            complete = False
    bounds = (None, None)
    if complete and minima:
        key = _order(field.type)
        bounds = (_text(min(minima, key=key), field.type), _text(max(maxima, key=key), field.type))
    return ColumnStatistics(field_id, size, None if nulls is None else values - nulls, nulls, *bounds)


def _order(kind: pa.DataType) -> Any:
    """Parquet's raw decimals are big-endian two's complement bytes; everything else orders as it is."""
    return _decimal_value if pa.types.is_decimal(kind) else lambda raw: raw


def _decimal_value(raw: Any) -> int:
    return int.from_bytes(raw, "big", signed=True) if isinstance(raw, bytes) else raw


def _text(raw: Any, kind: pa.DataType) -> str | None:  # noqa: PLR0911 - one line a type
    if pa.types.is_boolean(kind):
        return str(int(raw))
    if pa.types.is_integer(kind):
        return str(raw)
    if pa.types.is_decimal(kind):
        return f"{Decimal(_decimal_value(raw)).scaleb(-kind.scale, _WIDE):f}"
    if pa.types.is_date32(kind):
        return (date(1970, 1, 1) + timedelta(days=raw)).isoformat()
    if pa.types.is_timestamp(kind):
        seconds, ticks = divmod(raw, _TICKS[kind.unit])
        digits = len(str(_TICKS[kind.unit])) - 1
        return (
            f"{(_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat(' ')}.{ticks:0{digits}d}"
        )
    if pa.types.is_string(kind):
        text = raw.decode() if isinstance(raw, bytes) else str(raw)
        # PostgreSQL's text holds no NUL.
        return text if len(text) <= MAX_BOUND_LENGTH and "\0" not in text else None
    return None
