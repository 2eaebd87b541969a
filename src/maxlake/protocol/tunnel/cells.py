"""Cells: one byte string a row, as Arrow large binary arrays, made and joined without a loop over rows.

A null cell is the cell of a null value.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_CELL = pa.large_binary()
#: Bytes of the longest varint: 64 bits, seven a byte.
_LONGEST_VARINT = 10


@cache
def constant(value: bytes) -> pa.Scalar:
    """Return a cell that is the same in every row. Not for use at import: Arrow then looks for pandas."""
    return pa.scalar(value, _CELL)


def fixed(values: npt.NDArray[Any]) -> pa.Array:
    """Return the bytes of each value as it lies in memory."""
    ends = np.arange(len(values) + 1, dtype=np.int64) * values.dtype.itemsize
    return _cells(ends, np.ascontiguousarray(values))


def varints(values: npt.NDArray[np.uint64]) -> pa.Array:
    """Return each value as a varint: seven bits a byte, the lowest first, the top bit says that more come."""
    lengths = np.ones(len(values), np.int64)
    for count in range(1, _LONGEST_VARINT):
        lengths += values >= np.uint64(1 << 7 * count)
    places = np.arange(lengths.max(initial=1))
    shifted = values[:, None] >> (places * 7).astype(np.uint64)
    more = places < lengths[:, None] - 1
    groups = (shifted & np.uint64(0x7F)).astype(np.uint8) | (more * np.uint8(0x80))
    return _cells(np.concatenate([[0], np.cumsum(lengths)]), groups[places < lengths[:, None]])


def zigzag(values: npt.NDArray[np.int64]) -> pa.Array:
    """Return each signed value as the varint of its zig-zag form."""
    return varints(((values << 1) ^ (values >> 63)).view(np.uint64))


def masked(cells: pa.Array, like: pa.Array) -> pa.Array:
    """Return the cells with the nulls of another array."""
    return pc.if_else(like.is_valid(), cells, pa.scalar(None, _CELL)) if like.null_count else cells


def joined(*cells: pa.Array | pa.Scalar) -> pa.Array:
    """Return the cells of each row put together; null where any of them is."""
    return pc.binary_join_element_wise(*cells, constant(b""), null_handling="emit_null")


def joined_present(cells: list[pa.Array]) -> pa.Array:
    """Return the cells of each row that are not null, put together."""
    return pc.binary_join_element_wise(*cells, constant(b""), null_handling="replace", null_replacement="")


def or_else(cells: pa.Array, instead: bytes) -> pa.Array:
    """Return the cells with another in place of the null ones."""
    return cells.fill_null(constant(instead))


def grouped(cells: pa.Array, offsets: npt.NDArray[np.int64]) -> pa.Array:
    """Return one cell a list: all cells from ``offsets[i]`` to ``offsets[i + 1]``, none of them null."""
    return pa.LargeBinaryArray.from_buffers(
        _CELL, len(offsets) - 1, [None, pa.py_buffer(bounds(cells)[offsets]), cells.buffers()[2]]
    )


def bounds(cells: pa.Array) -> npt.NDArray[np.int64]:
    """Return where in its data buffer each cell begins, and where the last one ends."""
    all_bounds = np.frombuffer(cells.buffers()[1], np.int64)
    return all_bounds[cells.offset : cells.offset + len(cells) + 1]


def content(cells: pa.Array) -> bytes:
    """Return all cells, one after another."""
    if not len(cells):
        return b""
    ends = bounds(cells)
    return cells.buffers()[2][int(ends[0]) : int(ends[-1])].to_pybytes()


def _cells(ends: npt.NDArray[np.int64], data: npt.NDArray[Any]) -> pa.Array:
    buffers = [None, pa.py_buffer(ends.astype(np.int64)), pa.py_buffer(data)]
    return pa.LargeBinaryArray.from_buffers(_CELL, len(ends) - 1, buffers)
