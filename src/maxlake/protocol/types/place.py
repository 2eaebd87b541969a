"""Where uploaded values stand, so that a refusal can name the column and the row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.types.model import OdpsType

#: Characters of an Arrow type in an error: senders can make them millions long.
_LONGEST_TYPE = 200


def _same(index: int) -> int:
    return index


def unbounded(size: int) -> None:
    """Let whoever asks take memory."""


@dataclass(frozen=True)
class Place:
    """A column, or a path into one, and how positions there map to rows of the upload (from 0).

    ``reserve`` is told how many bytes values there will take, before they are made.
    """

    path: str
    reserve: Callable[[int], None] = unbounded
    row: Callable[[int], int] = _same

    def member(self, name: str) -> Place:
        """The struct member ``name``: row for row."""
        return Place(f"{self.path}.{name}", self.reserve, self.row)

    def items(self, name: str, ends: pa.Array) -> Place:
        """The items of lists whose last items are before the positions ``ends``."""

        def row(index: int) -> int:
            lists_before = pc.sum(pc.less_equal(ends, index)).as_py()
            return self.row(lists_before)

        return Place(f"{self.path}.{name}", self.reserve, row)

    def mismatch(self, dtype: pa.DataType, t: OdpsType, hint: str) -> BadRequestError:
        """The error for a whole Arrow type that does not go into ``t``."""
        shown = str(dtype)
        if len(shown) > _LONGEST_TYPE:
            shown = f"{shown[:_LONGEST_TYPE]}…"
        return BadRequestError(
            ErrorCode.SCHEMA_MISMATCH, f"Arrow {shown} does not go into {t}; upload {hint}", where=self.path
        )

    def bad(self, index: int | None, problem: str) -> BadRequestError:
        """The error for the value at ``index``, or for the column as a whole."""
        where = self.path if index is None else f"{self.path}, row {self.row(index)}"
        return BadRequestError(ErrorCode.DATA_ERROR, problem, where=where)

    def too_long(self, index: int, problem: str) -> BadRequestError:
        """The error for text longer than its declared type (types.md §3 wants SCHEMA_MISMATCH)."""
        where = f"{self.path}, row {self.row(index)}"
        return BadRequestError(ErrorCode.SCHEMA_MISMATCH, problem, where=where)


def first_true(mask: pa.Array) -> int | None:
    """Return the first position at which ``mask`` is true."""
    index = pc.index(mask, pa.scalar(True)).as_py()
    return index if index >= 0 else None


def refuse_where(mask: pa.Array, place: Place, problem: str) -> None:
    """Raise DATA_ERROR at the first position at which ``mask`` is true."""
    index = first_true(mask)
    if index is not None:
        raise place.bad(index, problem)


def check_range(values: pa.Array, low: int, high: int, place: Place, problem: str) -> None:
    """Raise DATA_ERROR at the first integer outside ``low..high``."""
    bounds = pc.min_max(values)
    smallest, largest = bounds["min"].as_py(), bounds["max"].as_py()
    if smallest is None or (low <= smallest and largest <= high):
        return
    outside = pc.or_(
        pc.less(values, pa.scalar(low, values.type)), pc.greater(values, pa.scalar(high, values.type))
    )
    refuse_where(outside, place, problem)


def cast(array: pa.Array, dtype: pa.DataType, place: Place, problem: str) -> pa.Array:
    """Cast without loss, or raise DATA_ERROR for the first value that does not survive."""
    if array.type == dtype:
        return array
    try:
        return array.cast(dtype)
    except pa.ArrowInvalid as e:
        raise place.bad(_first_failing(array, dtype), problem) from e


def _first_failing(array: pa.Array, dtype: pa.DataType) -> int:
    low, high = 0, len(array)  # values before low survive; some value in [low, high) does not
    while high - low > 1:
        middle = (low + high) // 2
        try:
            array.slice(low, middle - low).cast(dtype)
        except pa.ArrowInvalid:
            high = middle
        else:
            low = middle
    return low
