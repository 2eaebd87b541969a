"""The six forms a plain value has in a tunnel record (types.md §5), and Arrow columns in these forms.

On the wire a bigint and a date look the same, so do a string and a decimal, which travels as text. Encoder
and decoder know forms only; what a form means for a type is said here. Items and members are of the forms of
their types.
"""

from __future__ import annotations

import re
from decimal import Decimal as PyDecimal
from enum import Enum, auto

import pyarrow as pa
import pyarrow.compute as pc

from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.limits import MAX_DECIMAL_PRECISION
from maxlake.protocol.types.arrow import DAY_TIME, TICKS
from maxlake.protocol.types.model import Array, Decimal, Kind, Map, OdpsType, Simple, Struct, Vector
from maxlake.protocol.types.nested import with_children
from maxlake.protocol.types.storage import floor_divide

#: A decimal as text, of no more digits than any can have.
_NUMBER = re.compile(r"[+-]?(?=[0-9.]{1,80}(?![0-9.]))([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


class Form(Enum):
    """How a plain value lies on the wire."""

    #: A zig-zag varint.
    SIGNED = auto()
    BOOLEAN = auto()
    FLOAT = auto()
    DOUBLE = auto()
    #: A length and as many bytes.
    BYTES = auto()
    #: Seconds and nanoseconds, two zig-zag varints.
    SECONDS = auto()


#: The Arrow type in which values of a form are held.
FORM_ARROW: dict[Form, pa.DataType] = {
    Form.SIGNED: pa.int64(),
    Form.BOOLEAN: pa.bool_(),
    Form.FLOAT: pa.float32(),
    Form.DOUBLE: pa.float64(),
    Form.BYTES: pa.large_binary(),
    Form.SECONDS: DAY_TIME,
}

_FORMS: dict[Kind, Form] = {
    Kind.TINYINT: Form.SIGNED,
    Kind.SMALLINT: Form.SIGNED,
    Kind.INT: Form.SIGNED,
    Kind.BIGINT: Form.SIGNED,
    Kind.FLOAT: Form.FLOAT,
    Kind.DOUBLE: Form.DOUBLE,
    Kind.BOOLEAN: Form.BOOLEAN,
    Kind.DATE: Form.SIGNED,
    Kind.DATETIME: Form.SIGNED,
    Kind.TIMESTAMP: Form.SECONDS,
    Kind.TIMESTAMP_NTZ: Form.SECONDS,
    Kind.INTERVAL_DAY_TIME: Form.SECONDS,
    Kind.INTERVAL_YEAR_MONTH: Form.SIGNED,
}

_NANOS = TICKS["ns"]


def form_of(t: OdpsType) -> Form | None:
    """Return the form of a plain type, None for one that has others inside."""
    match t:
        case Simple():
            return _FORMS.get(t.kind, Form.BYTES)
        case Array() | Vector() | Map() | Struct():
            return None
        case _:  # decimals and texts
            return Form.BYTES


def to_forms(array: pa.Array, t: OdpsType) -> pa.Array:
    """Return values of the read direction (``arrow_type(t)``) in the form of ``t``."""
    nested = with_children(array, t, to_forms)
    return _to_form(array, t) if nested is None else nested


def from_forms(array: pa.Array, t: OdpsType) -> pa.Array:
    """Return values in the form of ``t`` as uploads have them, ready for ``to_storage``.

    Raises BadRequestError DATA_ERROR for text that is no number, and days that no date has.
    """
    nested = with_children(array, t, from_forms)
    return _from_form(array, t) if nested is None else nested


def _to_form(array: pa.Array, t: OdpsType) -> pa.Array:
    match t:
        case Simple(kind=Kind.TIMESTAMP | Kind.TIMESTAMP_NTZ):
            ticks = array.view(pa.int64())
            seconds = floor_divide(ticks, _NANOS)
            nanos = pc.subtract(ticks, pc.multiply(seconds, _NANOS)).cast(pa.int32())
            mask = array.is_null() if array.null_count else None
            return pa.StructArray.from_arrays([seconds, nanos], fields=list(DAY_TIME), mask=mask)
        case Simple(kind=Kind.DATETIME):
            return array.view(pa.int64())
        case Simple(kind=Kind.DATE):
            return array.view(pa.int32()).cast(pa.int64())
        case Decimal():
            return array.cast(pa.utf8()).cast(pa.large_binary())
        case _:
            form = form_of(t)
            assert form is not None
            return array.cast(FORM_ARROW[form])


def _from_form(array: pa.Array, t: OdpsType) -> pa.Array:
    match t:
        case Simple(kind=Kind.DATETIME):
            return array.view(pa.timestamp("ms"))
        case Simple(kind=Kind.DATE):
            try:
                return array.cast(pa.int32()).view(pa.date32())
            except pa.ArrowInvalid as error:
                raise _bad("a date is outside 0001-01-01..9999-12-31") from error
        case Decimal():
            return _decimals(array, t)
        case _:
            return array


def _decimals(array: pa.Array, t: Decimal) -> pa.Array:
    """Read decimals from text, of all the digits Arrow has; whether they fit is seen later."""
    dtype = pa.decimal256(MAX_DECIMAL_PRECISION, t.digits[1])
    try:
        texts = array.cast(pa.large_utf8())
        longest = pc.max(pc.utf8_length(texts)).as_py() or 0
        # Arrow does not notice what overflows.
        if longest + dtype.scale <= dtype.precision and not pc.any(_with_exponent(texts)).as_py():
            return texts.cast(dtype)
        numbers = [None if text is None else _number(text) for text in texts.to_pylist()]
        return pa.array(numbers, dtype)
    except (pa.ArrowInvalid, ValueError) as error:
        raise _bad(f"a value does not fit {t} without rounding, or is no number") from error


def _with_exponent(texts: pa.Array) -> pa.Array:
    return pc.match_substring(texts, "e", ignore_case=True)


def _number(text: str) -> PyDecimal:
    if not _NUMBER.fullmatch(text):
        raise ValueError("no number")
    return PyDecimal(text)


def _bad(message: str) -> BadRequestError:
    return BadRequestError(ErrorCode.DATA_ERROR, message)
