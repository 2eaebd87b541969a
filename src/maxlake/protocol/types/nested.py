"""Taking Arrow lists, maps and structs apart and putting them together again around other children."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


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
