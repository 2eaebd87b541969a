"""Functions that make long texts out of short ones: how long, before any of it is made.

Calls nest, so without a limit a predicate of a few hundred characters could fill any memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from maxlake.lake.filters.kernels import as_array, where
from maxlake.protocol.limits import MAX_FILTER_TEXT

_INT64 = pa.int64()
#: UTF-8 takes at most so many bytes for a character.
_CHARACTER = 4
_GROUP = re.compile(r"\\[0-9]")


class TooMuchTextError(Exception):
    """These rows together would need more memory than a filter may take: try fewer at a time."""


def bounded(name: str, inputs: Sequence[Any]) -> Sequence[Any]:
    """Return the inputs of a call, the first NULL where the result could pass ``MAX_FILTER_TEXT`` bytes.

    Raises :class:`TooMuchTextError` if the results of several rows could, together.
    """
    longest = _LONGEST.get(name)
    if longest is None:
        return inputs
    most = pa.scalar(MAX_FILTER_TEXT, _INT64)
    sizes = pc.min_element_wise(longest(*inputs), most, skip_nulls=False)
    rows = max(len(as_array(value)) for value in inputs)
    if rows > 1 and (pc.sum(as_array(sizes, rows)).as_py() or 0) > MAX_FILTER_TEXT:
        raise TooMuchTextError
    return [where(pc.less(sizes, most), inputs[0]), *inputs[1:]]


def _bytes(text: Any) -> Any:
    return pc.binary_length(text).cast(_INT64)


def _concat(*texts: Any) -> Any:
    return reduce(pc.add, map(_bytes, texts))


def _pad(_: Any, length: Any, __: Any) -> Any:
    return pc.multiply(length, pa.scalar(_CHARACTER, _INT64))


def _replace(text: Any, old: Any, new: Any) -> Any:
    """Return the size if all of the text were ``old`` over and over."""
    shortest = pc.max_element_wise(_bytes(old), pa.scalar(1, _INT64), skip_nulls=False)
    return pc.add(_bytes(text), pc.multiply(pc.divide(_bytes(text), shortest), _bytes(new)))


def _regexp_replace(text: Any, _: Any, replacement: Any) -> Any:
    """Return the size if there were a match at every byte, and if every group were the whole text."""
    groups = pa.scalar(1 + len(_GROUP.findall(replacement.as_py())), _INT64)
    matches = pc.add(_bytes(text), pa.scalar(1, _INT64))
    return pc.add(pc.multiply(_bytes(text), groups), pc.multiply(matches, _bytes(replacement)))


_LONGEST: dict[str, Callable[..., Any]] = {
    "concat": _concat,
    "lpad": _pad,
    "rpad": _pad,
    "replace": _replace,
    "regexp_replace": _regexp_replace,
}
