"""The references in the cells of BLOB columns, nested ones too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from maxlake.protocol.blob_references import DECODED_PREFIX, OBJECT_PART
from maxlake.protocol.types.model import Array, Kind, Map, OdpsType, Simple, Struct, StructField, walk
from maxlake.protocol.types.nested import list_bounds

BLOB = Simple(Kind.BLOB)
_OTHER = Simple(Kind.BOOLEAN)
#: The parts of a reference up to its object.
_LOOKS_RIGHT = f"^{DECODED_PREFIX.decode()}[^:]*:[^:]+:"


def holds_blobs(t: OdpsType) -> bool:
    """Tell whether values of a type are blobs, or have some inside."""
    return BLOB in walk(t)


def leaves(array: pa.Array, t: OdpsType) -> Iterator[pa.Array]:
    """Yield the arrays of references in a column of type ``t`` at rest."""
    if t == BLOB:
        yield array
    elif not holds_blobs(t):
        return
    elif isinstance(t, Array):
        yield from leaves(array.flatten(), t.item)
    elif isinstance(t, Map):
        _, start, length = list_bounds(array)
        yield from leaves(array.keys.slice(start, length), t.key)
        yield from leaves(array.items.slice(start, length), t.value)
    elif isinstance(t, Struct):
        for child, field in zip(array.flatten(), t.fields, strict=True):
            yield from leaves(child, field.type)


def objects(array: pa.Array, t: OdpsType) -> set[str]:
    """Return the names of the objects that the references in a column lead to."""
    found: set[str] = set()
    for leaf in leaves(array, t):
        references = leaf.filter(pc.match_substring_regex(leaf, _LOOKS_RIGHT))
        parts = pc.split_pattern(references, ":", max_splits=OBJECT_PART + 1)
        if len(parts):
            names = pc.unique(pc.list_element(parts, OBJECT_PART))
            found.update(name.decode() for name in names.to_pylist())
    return found


def bytes_as_blobs(dtype: Any) -> OdpsType:
    """Return a type for an Arrow column whose declaration is not known: all bytes in it may be references."""
    if pat.is_binary(dtype) or pat.is_large_binary(dtype):
        return BLOB
    if pat.is_map(dtype):
        return Map(bytes_as_blobs(dtype.key_type), bytes_as_blobs(dtype.item_type))
    if pat.is_list(dtype) or pat.is_large_list(dtype):
        return Array(bytes_as_blobs(dtype.value_type))
    if pat.is_struct(dtype):
        members = enumerate(bytes_as_blobs(field.type) for field in dtype)
        return Struct(tuple(StructField(f"f{number}", t) for number, t in members))
    return _OTHER
