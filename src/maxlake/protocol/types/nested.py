"""Taking Arrow lists, maps and structs apart and putting them together again around other children."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from maxlake.protocol.types.model import Array, Map, OdpsType, Struct, Vector


def list_bounds(array: pa.Array) -> tuple[pa.Array, int, int]:
    """Return offsets starting at 0, and the range of child rows they span, of a list, large list or map.

    Slices are honoured: only the children of the rows in ``array`` count.
    """
    offsets = array.offsets
    if len(offsets) == 0:
        return pa.array([0], offsets.type), 0, 0
    start, end = offsets[0].as_py(), offsets[-1].as_py()
    # Even at start 0 the sum makes a fresh array: constructors refuse a sliced one beside a mask.
    return pc.subtract(offsets, offsets[0]), start, end - start


def null_mask(array: pa.Array) -> pa.Array | None:
    """Return where ``array`` is null, or None if nowhere."""
    return array.is_null() if array.null_count else None


def make_list(like: pa.Array, offsets: pa.Array, values: pa.Array, dtype: pa.DataType) -> pa.Array:
    """Return a list array with the nulls of ``like``."""
    return pa.ListArray.from_arrays(offsets, values, type=dtype, mask=null_mask(like))


def make_map(
    like: pa.Array, offsets: pa.Array, keys: pa.Array, items: pa.Array, dtype: pa.DataType
) -> pa.Array:
    """Return a map array with the nulls of ``like``."""
    return pa.MapArray.from_arrays(offsets, keys, items, type=dtype, mask=null_mask(like))


def make_struct(like: pa.Array, children: list[pa.Array], dtype: pa.DataType) -> pa.Array:
    """Return a struct array with the nulls of ``like``."""
    return pa.StructArray.from_arrays(children, fields=list(dtype), mask=null_mask(like))


def with_children(
    array: pa.Array, t: OdpsType, convert: Callable[[pa.Array, OdpsType], pa.Array]
) -> pa.Array | None:
    """Return a nested array with what is directly inside converted; None if ``t`` has nothing inside."""
    match t:
        case Array() | Vector():
            offsets, start, length = list_bounds(array)
            values = convert(array.values.slice(start, length), t.children()[0])
            return make_list(array, offsets, values, pa.list_(values.type))
        case Map():
            offsets, start, length = list_bounds(array)
            keys = convert(array.keys.slice(start, length), t.key)
            items = convert(array.items.slice(start, length), t.value)
            return make_map(array, offsets, keys, items, pa.map_(keys.type, items.type))
        case Struct():
            members = [convert(array.field(i), f.type) for i, f in enumerate(t.fields)]
            fields = [pa.field(f.name, m.type) for f, m in zip(t.fields, members, strict=True)]
            return make_struct(array, members, pa.struct(fields))
        case _:
            return None
