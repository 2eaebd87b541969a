"""Rows as tunnel records have them: their bytes on the wire, and those their checksums cover (types.md §5).

Both are made a column at a time, of columns in their types' forms (:func:`.forms.to_forms`). A null field is
left out. A list begins with its number of items, and every item and member with a byte that says whether it
is null; checksums cover neither.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import google_crc32c
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.tunnel import cells
from maxlake.protocol.tunnel.forms import Form, form_of
from maxlake.protocol.tunnel.wire import WireType, tag
from maxlake.protocol.types.model import Array, Map, OdpsType, Struct, Vector
from maxlake.protocol.types.nested import list_bounds

_Integers = npt.NDArray[np.int64]

_PRESENT, _NULL = b"\0", b"\1"
#: Fields of other forms than these, nested ones among them, count as delimited.
_WIRE_TYPES = {
    Form.SIGNED: WireType.VARINT,
    Form.BOOLEAN: WireType.VARINT,
    Form.FLOAT: WireType.FIXED32,
    Form.DOUBLE: WireType.FIXED64,
}


def field_tag(number: int, t: OdpsType) -> bytes:
    """Return what stands before a field of a type."""
    form = form_of(t)
    return tag(number, _WIRE_TYPES.get(form, WireType.DELIMITED) if form else WireType.DELIMITED)


def wire_rows(columns: Sequence[pa.Array], types: Sequence[OdpsType]) -> pa.Array:
    """Return the fields of each row as cells, without what ends a record; numbers begin at 1.

    Raises DATA_ERROR for a vector with a null in it.
    """
    return _Wire().rows(columns, types)


def checked_rows(columns: Sequence[pa.Array], types: Sequence[OdpsType]) -> pa.Array:
    """Return what each row's checksum covers as cells; raises as :func:`wire_rows`."""
    return _Checked().rows(columns, types)


def checksums(rows: pa.Array) -> npt.NDArray[np.uint32]:
    """Return the CRC32C of each cell."""
    crc32c, data = google_crc32c.value, cells.content(rows)
    ends = cells.bounds(rows)
    ends = (ends - ends[0]).tolist()
    return np.array([crc32c(data[start:end]) for start, end in pairwise(ends)], "<u4")


class _Encoding(ABC):
    """What both kinds of bytes have in common: their order."""

    @abstractmethod
    def _head(self, number: int, t: OdpsType) -> bytes:
        """Return what stands before a field."""

    @abstractmethod
    def _plain(self, array: pa.Array, form: Form) -> pa.Array:
        """Return plain values; what stands for a null one does not matter."""

    @abstractmethod
    def _item(self, values: pa.Array) -> pa.Array:
        """Return what may be null inside another value; none of it is null."""

    @abstractmethod
    def _list(self, counts: _Integers, items: pa.Array) -> pa.Array:
        """Return the items of lists after their number."""

    def rows(self, columns: Sequence[pa.Array], types: Sequence[OdpsType]) -> pa.Array:
        """Return the fields of each row."""
        fields = [
            cells.joined(cells.constant(self._head(number, t)), self._values(column, t))
            for number, (column, t) in enumerate(zip(columns, types, strict=True), 1)
        ]
        return cells.joined_present(fields)

    def _values(self, array: pa.Array, t: OdpsType) -> pa.Array:
        """Return values, null where they are."""
        match t:
            case Array():
                made = self._items(array, array.values, t.item)
            case Vector():
                made = self._vectors(array, t)
            case Map():
                keys = self._items(array, array.keys, t.key)
                made = cells.joined(keys, self._items(array, array.items, t.value))
            case Struct():
                members = [self._values(array.field(i), f.type) for i, f in enumerate(t.fields)]
                made = cells.joined(*map(self._item, members))
            case _:
                form = form_of(t)
                assert form is not None
                made = self._plain(array, form)
        return cells.masked(made, array)

    def _items(self, array: pa.Array, items: pa.Array, t: OdpsType) -> pa.Array:
        offsets, start, length = list_bounds(array)
        return self._grouped(offsets, self._item(self._values(items.slice(start, length), t)))

    def _vectors(self, array: pa.Array, t: Vector) -> pa.Array:
        """Return lists whose items cannot be null."""
        offsets, start, length = list_bounds(array)
        items = array.values.slice(start, length)
        if items.null_count:
            raise BadRequestError(
                ErrorCode.DATA_ERROR, f"a {t} has a null element, which no record can have; read it as Arrow"
            )
        return self._grouped(offsets, self._values(items, t.element))

    def _grouped(self, offsets: pa.Array, items: pa.Array) -> pa.Array:
        ends = offsets.to_numpy().astype(np.int64)
        return self._list(np.diff(ends), cells.grouped(items, ends))


class _Wire(_Encoding):
    def _head(self, number: int, t: OdpsType) -> bytes:
        return field_tag(number, t)

    def _plain(self, array: pa.Array, form: Form) -> pa.Array:
        match form:
            case Form.SIGNED:
                return cells.zigzag(_integers(array))
            case Form.SECONDS:
                return cells.joined(*(cells.zigzag(_integers(part)) for part in array.flatten()))
            case Form.BYTES:
                sizes = pc.fill_null(pc.binary_length(array), 0).to_numpy()
                return cells.joined(cells.varints(sizes.astype(np.uint64)), array)
            case _:
                return _as_in_memory(array)

    def _item(self, values: pa.Array) -> pa.Array:
        return cells.or_else(cells.joined(cells.constant(_PRESENT), values), _NULL)

    def _list(self, counts: _Integers, items: pa.Array) -> pa.Array:
        return cells.joined(cells.varints(counts.astype(np.uint64)), items)


class _Checked(_Encoding):
    def _head(self, number: int, t: OdpsType) -> bytes:  # noqa: ARG002 - the same for all
        return number.to_bytes(4, "little")

    def _plain(self, array: pa.Array, form: Form) -> pa.Array:
        match form:
            case Form.SIGNED:
                return cells.fixed(_integers(array))
            case Form.SECONDS:
                both = np.empty(len(array), [("sec", "<i8"), ("nano", "<i4")])
                both["sec"], both["nano"] = map(_integers, array.flatten())
                return cells.fixed(both)
            case Form.BYTES:
                return array
            case _:
                return _as_in_memory(array)

    def _item(self, values: pa.Array) -> pa.Array:
        return cells.or_else(values, b"")

    def _list(self, counts: _Integers, items: pa.Array) -> pa.Array:  # noqa: ARG002 - not covered
        return items


def _integers(array: pa.Array) -> _Integers:
    return pc.fill_null(array, 0).to_numpy().astype("<i8")


def _as_in_memory(array: pa.Array) -> pa.Array:
    """Return booleans as one byte each, and floats."""
    values = array.cast(pa.uint8()) if pa.types.is_boolean(array.type) else array
    return cells.fixed(pc.fill_null(values, 0).to_numpy())
