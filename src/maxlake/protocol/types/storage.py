"""How values lie at rest: Parquet types and DuckLake 1.0 column rows, and the way back to readers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from maxlake.protocol.errors import BadRequestError, ErrorCode, invalid_argument
from maxlake.protocol.limits import MAX_STORED_PRECISION
from maxlake.protocol.types.arrow import DEFAULT_UNITS, TICKS, ReadUnits, arrow_type, compose
from maxlake.protocol.types.model import (
    Array,
    Char,
    Decimal,
    Kind,
    Map,
    OdpsType,
    Simple,
    Struct,
    Varchar,
    Vector,
    members,
    walk,
)
from maxlake.protocol.types.nested import list_bounds, make_list, make_map, make_struct

_FIELD_ID = b"PARQUET:field_id"

_DUCKLAKE_SIMPLE: dict[Kind, str] = {
    Kind.TINYINT: "int8",
    Kind.SMALLINT: "int16",
    Kind.INT: "int32",
    Kind.BIGINT: "int64",
    Kind.FLOAT: "float32",
    Kind.DOUBLE: "float64",
    Kind.BOOLEAN: "boolean",
    Kind.STRING: "varchar",
    Kind.BINARY: "blob",
    Kind.DATE: "date",
    Kind.DATETIME: "timestamp_ms",
    Kind.TIMESTAMP: "timestamp_ns",
    Kind.TIMESTAMP_NTZ: "timestamp_ns",
    Kind.INTERVAL_DAY_TIME: "struct",
    Kind.INTERVAL_YEAR_MONTH: "int32",
    Kind.JSON: "varchar",
    Kind.BLOB: "blob",
    Kind.VARIANT: "varchar",
}

#: The two members a stored interval_day_time has.
_DAY_TIME_PARTS: tuple[tuple[str, OdpsType], ...] = (("sec", Simple(Kind.BIGINT)), ("nano", Simple(Kind.INT)))


def check_storable(t: OdpsType) -> None:
    """Refuse a type that is well formed but cannot be kept (design §3).

    Raises BadRequestError InvalidArgument: a decimal of more than 38 digits, or a map keyed by
    anything that is not a plain value.
    """
    for part in walk(t):
        if isinstance(part, Decimal) and part.digits[0] > MAX_STORED_PRECISION:
            raise invalid_argument(
                f"type {t}: {part} has more than {MAX_STORED_PRECISION} digits, which cannot be stored; "
                f"declare at most decimal({MAX_STORED_PRECISION},…), or string"
            )
        if isinstance(part, Map) and _parts(part.key):
            raise invalid_argument(f"type {t}: a map key must be a plain value, not {part.key}")


def storage_type(t: OdpsType) -> pa.DataType:
    """Return the Arrow type in which values of ``t`` are written to Parquet.

    Instants keep a fixed unit: datetime milliseconds, timestamp and timestamp_ntz nanoseconds.
    """
    match t:
        case Simple(kind=Kind.DATETIME):
            return pa.timestamp("ms")
        case Simple(kind=Kind.TIMESTAMP | Kind.TIMESTAMP_NTZ):
            return pa.timestamp("ns")
        case _:
            return compose(t, storage_type, list_child="element")


@dataclass(frozen=True)
class DuckLakeColumn:
    """A row of ``ducklake_column``: one for the column, one for every type nested in it."""

    column_id: int
    parent_column: int | None
    name: str
    column_type: str
    nulls_allowed: bool


def ducklake_columns(name: str, t: OdpsType, nullable: bool, first_id: int) -> list[DuckLakeColumn]:
    """Return the catalog rows of one column, numbered depth first from ``first_id``.

    A parent comes directly before its children, as DuckDB's ducklake extension numbers them; the id
    of a row is also the Parquet field id.
    """
    rows: list[DuckLakeColumn] = []

    def add(name: str, t: OdpsType, parent: int | None, nullable: bool) -> None:
        column_id = first_id + len(rows)
        rows.append(DuckLakeColumn(column_id, parent, name, _ducklake_type(t), nullable))
        for child_name, child in _parts(t):
            add(child_name, child, column_id, True)

    add(name, t, None, nullable)
    return rows


def storage_field(name: str, t: OdpsType, nullable: bool, field_ids: Sequence[int]) -> pa.Field:
    """Return the Parquet field of one column, with a field id at every level.

    ``field_ids`` are the column ids of :func:`ducklake_columns`, in its order; ValueError if there
    are more or fewer of them than levels.
    """
    ids = iter(field_ids)
    field = _field(name, t, nullable, ids)
    if next(ids, None) is not None:
        raise ValueError(f"more field ids than levels in column {name!r} of type {t}")
    return field


def _field(name: str, t: OdpsType, nullable: bool, ids: Iterator[int]) -> pa.Field:
    field_id = next(ids, None)
    if field_id is None:
        raise ValueError(f"fewer field ids than levels at {name!r} of type {t}")
    children = [_field(child, ct, True, ids) for child, ct in _parts(t)]
    match t:
        case Array() | Vector():
            dtype = pa.list_(children[0])
        case Map():
            dtype = pa.map_(children[0].with_nullable(False), children[1])
        case _:
            dtype = pa.struct(children) if children else storage_type(t)
    return pa.field(name, dtype, nullable, {_FIELD_ID: str(field_id).encode()})


def field_id(field: pa.Field) -> int | None:
    """Return the Parquet field id of a field of a file, None where the file's writer set none."""
    found = (field.metadata or {}).get(_FIELD_ID)
    return None if found is None else int(found)


def _parts(t: OdpsType) -> Sequence[tuple[str, OdpsType]]:
    """Name and type of what lies directly below ``t`` at rest."""
    return _DAY_TIME_PARTS if t == Simple(Kind.INTERVAL_DAY_TIME) else members(t)


def _ducklake_type(t: OdpsType) -> str:
    match t:
        case Simple():
            return _DUCKLAKE_SIMPLE[t.kind]
        case Decimal():
            precision, scale = t.digits
            return f"decimal({precision},{scale})"
        case Array() | Vector():
            return "list"
        case Map():
            return "map"
        case Struct():
            return "struct"
        case _:
            assert isinstance(t, Char | Varchar)
            return "varchar"


def to_read(array: pa.Array, t: OdpsType, units: ReadUnits = DEFAULT_UNITS) -> pa.Array:
    """Return values read at rest in the type readers are sent (:func:`arrow_type`).

    Where nothing differs this is ``array`` itself. Instants finer than the unit truncate toward
    negative infinity (types.md §2). Raises BadRequestError DATA_ERROR for an instant that does not
    fit 64 bits in the unit asked.
    """
    target = arrow_type(t, units)
    if array.type == target:
        return array
    match t:
        case Simple(kind=Kind.DATETIME | Kind.TIMESTAMP | Kind.TIMESTAMP_NTZ):
            return _instants_to_read(array, target, t)
        case Array() | Vector():
            offsets, start, length = list_bounds(array)
            values = to_read(array.values.slice(start, length), t.children()[0], units)
            return make_list(array, offsets, values, target)
        case Map():
            offsets, start, length = list_bounds(array)
            keys = to_read(array.keys.slice(start, length), t.key, units)
            items = to_read(array.items.slice(start, length), t.value, units)
            return make_map(array, offsets, keys, items, target)
        case Struct():
            members = [to_read(array.field(i), f.type, units) for i, f in enumerate(t.fields)]
            return make_struct(array, members, target)
        case _:
            return array.cast(target)


def _instants_to_read(array: pa.Array, target: pa.DataType, t: OdpsType) -> pa.Array:
    factor = TICKS[array.type.unit] // TICKS[target.unit]
    if factor > 1:
        return floor_divide(array.view(pa.int64()), factor).view(target)
    try:
        return array.cast(target)
    except pa.ArrowInvalid as e:
        raise BadRequestError(
            ErrorCode.DATA_ERROR,
            f"a {t} value does not fit 64-bit {target}; ask for a coarser unit in ArrowOptions",
        ) from e


def floor_divide(integers: pa.Array, factor: int) -> pa.Array:
    """Divide int64 values by a positive factor, rounding toward negative infinity."""
    divisor = pa.scalar(factor, pa.int64())
    quotient = pc.divide(integers, divisor)  # truncates toward zero
    below = pc.less(pc.subtract(integers, pc.multiply(quotient, divisor)), pa.scalar(0, pa.int64()))
    return pc.subtract(quotient, below.cast(pa.int64()))
