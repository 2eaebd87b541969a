"""Taking in what clients upload: any Arrow array, cast without loss to the type at rest (types.md §3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.limits import MAX_ARROW_MESSAGE
from maxlake.protocol.types import values
from maxlake.protocol.types.arrow import is_list_like, is_month_interval
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
    walk,
)
from maxlake.protocol.types.nested import make_list, make_map, make_struct
from maxlake.protocol.types.place import Place, refuse_where, unbounded
from maxlake.protocol.types.storage import storage_type

_MAX_ITEMS = 2**31 - 1
#: What one value of a plain type takes at most at rest, text and bytes aside.
_WIDEST = 16

_Converter = Callable[[pa.Array, Any, Place], pa.Array]
_BY_KIND: dict[Kind, _Converter] = {
    Kind.TINYINT: values.to_number,
    Kind.SMALLINT: values.to_number,
    Kind.INT: values.to_number,
    Kind.BIGINT: values.to_number,
    Kind.FLOAT: values.to_number,
    Kind.DOUBLE: values.to_number,
    Kind.BOOLEAN: values.to_boolean,
    Kind.STRING: values.to_text,
    Kind.JSON: values.to_text,
    Kind.VARIANT: values.to_text,
    Kind.BINARY: values.to_bytes,
    Kind.BLOB: values.to_reference,
    Kind.DATE: values.to_date,
    Kind.DATETIME: values.to_instant,
    Kind.TIMESTAMP: values.to_instant,
    Kind.TIMESTAMP_NTZ: values.to_instant,
    Kind.INTERVAL_DAY_TIME: values.to_day_time,
    Kind.INTERVAL_YEAR_MONTH: values.to_year_month,
}


def to_storage(
    array: pa.Array | pa.ChunkedArray,
    t: OdpsType,
    *,
    where: str,
    reserve: Callable[[int], None] = unbounded,
) -> pa.Array:
    """Cast an uploaded column to the type at rest (``storage_type(t)``); what fits already is not copied.

    ``array`` must be valid (``validate(full=True)``); ``where`` names the column in errors; ``reserve`` is
    told how many bytes a copy takes before it is made, and may raise. Raises
    BadRequestError SCHEMA_MISMATCH if the Arrow type cannot stand for ``t`` or text is longer than
    declared, DATA_ERROR if a value would be lost or changed; the error names the row, from 0.
    """
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    return _convert(array, t, Place(where, reserve))


def months_as_int32(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return ``batch`` with Arrow's month intervals, at any depth, as the int32 they are made of.

    PyArrow can carry such columns but not look into them; nothing is copied, and a batch without
    them is returned as it is.
    """
    fields = [pa.field(f.name, _months_as_int32(f.type), f.nullable, f.metadata) for f in batch.schema]
    schema = pa.schema(fields)
    if schema == batch.schema:
        return batch
    return pa.record_batch(_Relabelled(batch, schema))


class _Relabelled:
    """A batch under another schema of the same layout, by Arrow's C data protocol."""

    def __init__(self, batch: pa.RecordBatch, schema: pa.Schema) -> None:
        self.batch = batch
        self.schema = schema

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        _, arrays = self.batch.__arrow_c_array__()
        return self.schema.__arrow_c_schema__(), arrays


def _months_as_int32(dtype: Any) -> pa.DataType:
    if is_month_interval(dtype):
        return pa.int32()
    if pat.is_struct(dtype):
        return pa.struct([f.with_type(_months_as_int32(f.type)) for f in dtype])
    if pat.is_list(dtype):
        return pa.list_(dtype.value_field.with_type(_months_as_int32(dtype.value_type)))
    if pat.is_large_list(dtype):
        return pa.large_list(dtype.value_field.with_type(_months_as_int32(dtype.value_type)))
    if pat.is_map(dtype):
        key = dtype.key_field.with_type(_months_as_int32(dtype.key_type))
        item = dtype.item_field.with_type(_months_as_int32(dtype.item_type))
        return pa.map_(key, item, dtype.keys_sorted)
    return dtype


def _convert(array: pa.Array, t: OdpsType, place: Place) -> pa.Array:
    array = _plain(array, t, place)
    if pat.is_null(array.type):
        _check_expansion(len(array) * _WIDEST * sum(1 for _ in walk(t)), place)
        return pa.nulls(len(array), storage_type(t))
    if not (t.children() or array.type == storage_type(t)):
        _check_expansion(max(array.nbytes, len(array) * _WIDEST), place)
    convert = _BY_KIND[t.kind] if isinstance(t, Simple) else _BY_TYPE[type(t)]
    return convert(array, t, place)


def _check_expansion(size: int, place: Place) -> None:
    """Ask for the memory of a copy; refuse what is small on the wire and huge there."""
    if size > MAX_ARROW_MESSAGE:
        raise place.bad(
            None,
            f"a batch of this column unfolds to more than {MAX_ARROW_MESSAGE} bytes; send smaller batches",
        )
    place.reserve(size)


def _plain(array: pa.Array, t: OdpsType, place: Place) -> pa.Array:
    """Take off extension types, dictionaries and views, watching what they unfold to."""
    while True:
        if isinstance(array, pa.ExtensionArray):
            array = array.storage
        elif pat.is_dictionary(array.type):
            dictionary = _plain(array.dictionary, t, place)
            _check_expansion(_decoded_size(array.indices, dictionary), place)
            array = dictionary.take(array.indices)
        elif pat.is_string_view(array.type) or pat.is_binary_view(array.type):
            _check_expansion(_view_size(array), place)
            return array.cast(pa.utf8() if pat.is_string_view(array.type) else pa.binary())
        else:
            return array


def _decoded_size(indices: pa.Array, dictionary: pa.Array) -> int:
    if values.is_text(dictionary.type) or values.is_bytes(dictionary.type):
        lengths = pc.binary_length(dictionary).cast(pa.int64())
        return pc.sum(lengths.take(indices)).as_py() or 0
    if pat.is_nested(dictionary.type):
        return len(indices) * dictionary.nbytes  # each entry is at most the whole
    return len(indices) * _WIDEST


def _view_size(array: pa.Array) -> int:
    # A view is 16 bytes, the first four of them the length.
    words = pa.Array.from_buffers(
        pa.int32(), len(array) * 4, [None, array.buffers()[1]], offset=array.offset * 4
    )
    lengths = pc.list_element(pa.FixedSizeListArray.from_arrays(words, 4), 0).cast(pa.int64())
    return pc.sum(pc.if_else(array.is_valid(), lengths, 0)).as_py() or 0


def _to_list(array: pa.Array, t: Array | Vector, place: Place) -> pa.Array:
    if not is_list_like(array.type):
        raise place.mismatch(array.type, t, "a list type")
    if isinstance(t, Vector):
        wrong = pc.not_equal(pc.list_value_length(array), t.length)
        refuse_where(wrong, place, f"a {t} has exactly {t.length} elements")
    ends, flat = _items(array, place)
    inside = _convert(flat, t.children()[0], place.items("element", ends))
    target = storage_type(t)
    if inside is flat and pat.is_list(array.type) and array.type == target:
        return array
    return make_list(array, _offsets(ends), inside, target)


def _items(array: pa.Array, place: Place) -> tuple[pa.Array, pa.Array]:
    """Return where each list ends, and the items of all lists that are not null."""
    ends = pc.cumulative_sum(pc.fill_null(pc.list_value_length(array), 0).cast(pa.int64()))
    total = ends[-1].as_py() if len(ends) else 0
    viewed = pat.is_list_view(array.type) or pat.is_large_list_view(array.type)
    if viewed and total > len(array.values):
        raise place.bad(None, "list views share items; send ordinary lists")
    if total > _MAX_ITEMS:
        raise place.bad(None, f"the lists of a batch hold more than {_MAX_ITEMS} items; send smaller batches")
    return ends, array.flatten()


def _offsets(ends: pa.Array) -> pa.Array:
    return pa.concat_arrays([pa.array([0], pa.int32()), ends.cast(pa.int32())])


def _to_map(array: pa.Array, t: Map, place: Place) -> pa.Array:
    lists = _entry_lists(array, t, place)
    ends, entries = _items(lists, place)
    refuse_where(entries.is_null(), place.items("key", ends), "a map entry is null; give it a key")
    keys, items = entries.flatten()
    key_place = place.items("key", ends)
    new_keys = _convert(keys, t.key, key_place)
    refuse_where(new_keys.is_null(), key_place, "a map key is null; give every entry a key")
    new_items = _convert(items, t.value, place.items("value", ends))
    offsets = _offsets(ends)
    _refuse_repeated_keys(offsets, new_keys, place)
    target = storage_type(t)
    if new_keys is keys and new_items is items and array.type == target:
        return array
    return make_map(array, offsets, new_keys, new_items, target)


def _entry_lists(array: Any, t: Map, place: Place) -> pa.Array:
    """Return a map as the list of entries it is laid out as; also accept such a list itself."""
    dtype = array.type
    if pat.is_map(dtype):
        entries = pa.StructArray.from_arrays([array.keys, array.items], names=["key", "value"])
        buffers = array.buffers()[:2]
        return pa.Array.from_buffers(
            pa.list_(entries.type), len(array), buffers, offset=array.offset, children=[entries]
        )
    if is_list_like(dtype) and pat.is_struct(dtype.value_type) and dtype.value_type.num_fields == 2:
        return array
    raise place.mismatch(dtype, t, "a map type")


def _refuse_repeated_keys(offsets: pa.Array, keys: pa.Array, place: Place) -> None:
    if len(keys) <= 1:
        return
    if pat.is_floating(keys.type):
        keys = pc.add(keys, pa.scalar(0, keys.type))  # -0.0 and 0.0 are one key
    rows = pc.list_parent_indices(pa.ListArray.from_arrays(offsets, keys))
    counted = pa.table({"row": rows, "key": keys}).group_by(["row", "key"]).aggregate([([], "count_all")])
    if counted.num_rows < len(keys):
        repeated = counted.filter(pc.greater(counted["count_all"], 1))
        row = pc.min(repeated["row"]).as_py()
        raise place.bad(row, "a map has a key more than once; keep one entry for each key")


def _to_struct(array: pa.Array, t: Struct, place: Place) -> pa.Array:
    if not pat.is_struct(array.type):
        raise place.mismatch(array.type, t, "a struct with the members by name")
    uploaded: dict[str, pa.Array] = {}
    for field, child in zip(array.type, array.flatten(), strict=True):
        name = field.name.lower()
        if name in uploaded:
            raise _member_error(f"member {field.name!r} occurs twice", place)
        uploaded[name] = child
    unknown = uploaded.keys() - {f.name for f in t.fields}
    if unknown:
        raise _member_error(f"{t} has no member {min(unknown)!r}", place)
    target = storage_type(t)
    children: list[pa.Array] = []
    for f in t.fields:
        child = uploaded.get(f.name)
        if child is None:
            child = pa.nulls(len(array))
        children.append(_convert(child, f.type, place.member(f.name)))
    unchanged = all(new is uploaded.get(f.name) for f, new in zip(t.fields, children, strict=True))
    if unchanged and array.type == target:
        return array
    return make_struct(array, children, target)


def _member_error(problem: str, place: Place) -> BadRequestError:
    return BadRequestError(ErrorCode.SCHEMA_MISMATCH, problem, where=place.path)


_BY_TYPE: dict[type[OdpsType], _Converter] = {
    Decimal: values.to_decimal,
    Char: values.to_text,
    Varchar: values.to_text,
    Array: _to_list,
    Vector: _to_list,
    Map: _to_map,
    Struct: _to_struct,
}
