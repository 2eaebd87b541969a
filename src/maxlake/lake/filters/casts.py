"""CASTs, by the two types; what cannot be converted is NULL, as in ODPS."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from maxlake.lake.filters.kernels import Kernel, arrow, duckdb_functions, in_duckdb
from maxlake.lake.filters.numbers import to_boolean, to_number
from maxlake.lake.filters.times import from_text, to_text, to_time
from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.types.model import Char, Kind, OdpsType, Simple, Varchar
from maxlake.protocol.types.storage import storage_type


def cast_kernel(source: OdpsType, target: OdpsType) -> Kernel:  # noqa: PLR0911 - one line a kind
    """Return the conversion from ``source`` to ``target``. Raises InvalidArgument if there is none."""
    given, wanted = storage_type(source), storage_type(target)
    if _is_text(target):
        return arrow(_text_conversion(source, target))
    if _is_text(source) and _is_number(wanted):
        return in_duckdb(lambda text: duckdb_functions().number_from_text(text, wanted))
    if _is_text(source) and _is_time(wanted):
        return in_duckdb(partial(from_text, wanted=wanted))
    if pat.is_floating(given) and pat.is_decimal(wanted):
        return in_duckdb(lambda number: duckdb_functions().decimal_from_float(number, wanted))
    if _is_number(given) and _is_number(wanted):
        return arrow(partial(to_number, wanted=wanted))
    if _is_time(given) and _is_time(wanted):
        return arrow(partial(to_time, wanted=wanted))
    if pat.is_integer(given) and pat.is_boolean(wanted):
        return arrow(to_boolean)
    if pat.is_boolean(given) and pat.is_integer(wanted):
        return arrow(lambda value: value.cast(wanted))
    if given == wanted:
        return arrow(lambda value: value)
    raise _no_cast(source, target)


def _no_cast(source: OdpsType, target: OdpsType) -> Exception:
    return invalid_argument(f"a predicate cannot cast {source} to {target}")


def _is_text(t: OdpsType) -> bool:
    return t == Simple(Kind.STRING) or isinstance(t, Char | Varchar)


def _is_number(kind: pa.DataType) -> bool:
    return pat.is_integer(kind) or pat.is_floating(kind) or pat.is_decimal(kind)


def _is_time(kind: pa.DataType) -> bool:
    return pat.is_date32(kind) or pat.is_timestamp(kind)


def _text_conversion(source: OdpsType, target: OdpsType) -> Callable[[Any], Any]:
    plain = _to_string(source, target)
    if isinstance(target, Char | Varchar):
        return lambda value: pc.utf8_slice_codeunits(plain(value), 0, target.length)
    return plain


def _to_string(source: OdpsType, target: OdpsType) -> Callable[[Any], Any]:
    kind = storage_type(source)
    if _is_text(source):
        return lambda value: value
    if pat.is_integer(kind):
        return lambda value: value.cast(pa.utf8())
    if source in (Simple(Kind.DATE), Simple(Kind.DATETIME)):
        return to_text
    raise _no_cast(source, target)
