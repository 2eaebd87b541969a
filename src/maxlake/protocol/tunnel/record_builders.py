"""Values of tunnel records, read one by one into columns of their forms (types.md §5).

A builder reads from bytes at a position and returns the position after the value. ``IndexError`` means that
the value goes on beyond the bytes that are there: ``truncate`` then takes back what was read of its record.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.limits import MAX_FIELD_SIZE
from maxlake.protocol.tunnel.forms import FORM_ARROW, Form, form_of
from maxlake.protocol.types.arrow import DAY_TIME
from maxlake.protocol.types.model import Array, Map, OdpsType, Struct, Vector

_MAX_UINT64 = 2**64 - 1
#: Bits of a varint read before its last byte at most.
_LAST_SHIFT = 63


def damaged(message: str) -> BadRequestError:
    """Return the error for bytes that are no records."""
    return BadRequestError(ErrorCode.DATA_ERROR, f"{message}; the record stream is damaged, send it again")


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return an unsigned number of at most 64 bits, and where it ends."""
    value = data[at]
    at += 1
    if value < 0x80:
        return value, at
    value &= 0x7F
    shift = 7
    while True:
        group = data[at]
        at += 1
        value |= (group & 0x7F) << shift
        if group < 0x80:
            break
        shift += 7
        if shift > _LAST_SHIFT:
            raise damaged("a number has more than 64 bits")
    if value > _MAX_UINT64:
        raise damaged("a number has more than 64 bits")
    return value, at


def read_signed(data: bytes, at: int) -> tuple[int, int]:
    """Return a number in zig-zag form, and where it ends."""
    value, at = read_varint(data, at)
    return (value >> 1) ^ -(value & 1), at


class Builder(ABC):
    """A column in the making."""

    @abstractmethod
    def read(self, data: bytes, at: int) -> int:
        """Append the value that begins at a position; return where it ends."""

    @abstractmethod
    def append_null(self) -> None:
        """Append a null."""

    @abstractmethod
    def truncate(self, count: int) -> None:
        """Keep the first values only."""

    @abstractmethod
    def finish(self) -> pa.Array:
        """Return the values, and begin again."""


class _Plain(Builder):
    """Values that are read whole: a Python object each, None for null."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._items: list[Any] = []
        # Bound once, because it is called for every value.
        self._append = self._items.append

    def append_null(self) -> None:
        self._append(None)

    def truncate(self, count: int) -> None:
        del self._items[count:]

    def finish(self) -> pa.Array:
        items = self._items
        self._begin()
        return self._array(items)

    @abstractmethod
    def _array(self, items: list[Any]) -> pa.Array: ...


class _Signed(_Plain):
    def read(self, data: bytes, at: int) -> int:
        value = data[at]
        if value < 0x80:
            at += 1
        else:
            value, at = read_varint(data, at)
        self._append((value >> 1) ^ -(value & 1))
        return at

    def _array(self, items: list[int | None]) -> pa.Array:
        return pa.array(items, FORM_ARROW[Form.SIGNED])


class _Booleans(_Plain):
    def read(self, data: bytes, at: int) -> int:
        self._append(_boolean(data, at))
        return at + 1

    def _array(self, items: list[bool | None]) -> pa.Array:
        return pa.array(items, FORM_ARROW[Form.BOOLEAN])


class _Bytes(_Plain):
    def read(self, data: bytes, at: int) -> int:
        size, at = read_varint(data, at)
        if size > MAX_FIELD_SIZE:
            raise BadRequestError(
                ErrorCode.DATA_ERROR, f"a value has {size} bytes, more than MaxFieldSize, {MAX_FIELD_SIZE}"
            )
        end = at + size
        if end > len(data):
            raise IndexError
        self._append(data[at:end])
        return end

    def _array(self, items: list[bytes | None]) -> pa.Array:
        return pa.array(items, FORM_ARROW[Form.BYTES])


class _Floats(_Plain):
    """Floats, as their bytes: as Python's, NaN would lose its bits, which checksums cover."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self._type = FORM_ARROW[form]
        self._size = self._type.bit_width // 8

    def read(self, data: bytes, at: int) -> int:
        end = at + self._size
        if end > len(data):
            raise IndexError
        self._append(data[at:end])
        return end

    def _array(self, items: list[bytes | None]) -> pa.Array:
        nothing = bytes(self._size)
        joined = b"".join([nothing if item is None else item for item in items])
        values = np.frombuffer(joined, self._type.to_pandas_dtype())
        return pa.array(values, self._type, mask=np.array([item is None for item in items], bool))


class _Seconds(_Plain):
    def read(self, data: bytes, at: int) -> int:
        seconds, at = read_signed(data, at)
        nanos, at = read_signed(data, at)
        if not -(2**31) <= nanos < 2**31:
            raise damaged("a number of nanoseconds has more than 32 bits")
        self._append((seconds, nanos))
        return at

    def _array(self, items: list[tuple[int, int] | None]) -> pa.Array:
        present = [(0, 0) if item is None else item for item in items]
        seconds = pa.array([item[0] for item in present], pa.int64())
        nanos = pa.array([item[1] for item in present], pa.int32())
        return pa.StructArray.from_arrays([seconds, nanos], fields=list(DAY_TIME), mask=_is_null(items))


def _is_null(items: Sequence[Any]) -> pa.Array:
    return pa.array([item is None for item in items], pa.bool_())


def _boolean(data: bytes, at: int) -> bool:
    if data[at] > 1:
        raise damaged(f"a boolean is {data[at]}, neither 0 nor 1")
    return data[at] == 1


def _plain(form: Form) -> Builder:
    match form:
        case Form.SIGNED:
            return _Signed()
        case Form.BOOLEAN:
            return _Booleans()
        case Form.FLOAT | Form.DOUBLE:
            return _Floats(form)
        case Form.BYTES:
            return _Bytes()
        case Form.SECONDS:
            return _Seconds()


def _read_item(builder: Builder, data: bytes, at: int) -> int:
    """Read what lies inside another value: a byte says whether it is null."""
    if _boolean(data, at):
        builder.append_null()
        return at + 1
    return builder.read(data, at + 1)


class _Lists(Builder):
    """Lists: how many items each has, None for a null one, and the items of all of them."""

    def __init__(self, item: OdpsType, *, flagged: bool = True) -> None:
        self._sizes: list[int | None] = []
        self._items = builder_of(item)
        self._flagged = flagged

    def read(self, data: bytes, at: int) -> int:
        size, at = read_varint(data, at)
        if at + size > len(data):  # an item is a byte at least
            raise IndexError
        for _ in range(size):
            at = _read_item(self._items, data, at) if self._flagged else self._items.read(data, at)
        self._sizes.append(size)
        return at

    def append_null(self) -> None:
        self._sizes.append(None)

    def truncate(self, count: int) -> None:
        del self._sizes[count:]
        self._items.truncate(sum(filter(None, self._sizes)))

    def finish(self) -> pa.Array:
        offsets, mask = self.offsets()
        items = self._items.finish()
        return pa.ListArray.from_arrays(offsets, items, type=pa.list_(items.type), mask=mask)

    def offsets(self) -> tuple[pa.Array, pa.Array]:
        """Return where each list begins and ends, and which are null; begin again with these."""
        sizes, self._sizes = self._sizes, []
        ends = np.cumsum([0, *(size or 0 for size in sizes)])
        return pa.array(ends, pa.int32()), _is_null(sizes)

    @property
    def last_size(self) -> int | None:
        """How many items the newest list has."""
        return self._sizes[-1]

    def finish_items(self) -> pa.Array:
        """Return the items of all lists, and begin again with these."""
        return self._items.finish()


class _Maps(Builder):
    """Maps: the list of their keys, then the list of their values."""

    def __init__(self, t: Map) -> None:
        self._keys = _Lists(t.key)
        self._values = _Lists(t.value)

    def read(self, data: bytes, at: int) -> int:
        at = self._keys.read(data, at)
        at = self._values.read(data, at)
        if self._keys.last_size != self._values.last_size:
            raise damaged("a map has another number of keys than of values")
        return at

    def append_null(self) -> None:
        self._keys.append_null()
        self._values.append_null()

    def truncate(self, count: int) -> None:
        self._keys.truncate(count)
        self._values.truncate(count)

    def finish(self) -> pa.Array:
        offsets, mask = self._keys.offsets()
        self._values.offsets()
        keys, values = self._keys.finish_items(), self._values.finish_items()
        if keys.null_count:
            raise damaged("a map has a null key")
        return pa.MapArray.from_arrays(offsets, keys, values, type=pa.map_(keys.type, values.type), mask=mask)


class _Structs(Builder):
    """Structs: a column a member, and which of them are null."""

    def __init__(self, t: Struct) -> None:
        self._names = [f.name for f in t.fields]
        self._members = [builder_of(f.type) for f in t.fields]
        self._present: list[bool | None] = []

    def read(self, data: bytes, at: int) -> int:
        for member in self._members:
            at = _read_item(member, data, at)
        self._present.append(True)
        return at

    def append_null(self) -> None:
        for member in self._members:
            member.append_null()
        self._present.append(None)

    def truncate(self, count: int) -> None:
        del self._present[count:]
        for member in self._members:
            member.truncate(count)

    def finish(self) -> pa.Array:
        present, self._present = self._present, []
        return pa.StructArray.from_arrays(
            [member.finish() for member in self._members], names=self._names, mask=_is_null(present)
        )


def builder_of(t: OdpsType) -> Builder:
    """Return an empty column of a type's form."""
    match t:
        case Array():
            return _Lists(t.item)
        case Vector():
            return _Lists(t.element, flagged=False)
        case Map():
            return _Maps(t)
        case Struct():
            return _Structs(t)
        case _:
            form = form_of(t)
            assert form is not None
            return _plain(form)
