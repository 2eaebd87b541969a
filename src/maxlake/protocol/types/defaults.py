"""Default values of columns: the text of a DEFAULT clause, as a value at rest and as the catalog keeps it.

The text of a default stands for one value of the column's type; instants are UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal as Number
from math import isinf
from typing import Any

import pyarrow as pa

from maxlake.protocol.errors import BadRequestError, invalid_argument
from maxlake.protocol.limits import MAX_DECIMAL_PRECISION
from maxlake.protocol.types.arrow import TICKS
from maxlake.protocol.types.ingest import to_storage
from maxlake.protocol.types.model import Char, Decimal, Kind, OdpsType, Simple, Varchar
from maxlake.protocol.types.storage import storage_type

_WHOLE = re.compile(r"[+-]?[0-9]{1,40}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,4})?")
_NOT_FINITE = ("nan", "inf", "-inf", "infinity", "-infinity")
_DAY = r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
_TIME = r"(?P<time>(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2})(?:\.(?P<fraction>[0-9]{1,9}))?"
_DATE = re.compile(_DAY)
_INSTANT = re.compile(f"{_DAY}(?:[ T]{_TIME})?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def default_scalar(text: str, t: OdpsType) -> pa.Scalar:
    """Return the value a default's text stands for, of ``storage_type(t)``.

    Raises InvalidArgument for text that is no value of ``t``, or not without loss (a float rounds as any
    literal does), and for types that have no default but NULL: nested ones, intervals and blobs.
    """
    read = _reader(t)
    if read is None:
        raise invalid_argument(f"a column of type {t} can have no default but NULL")
    try:
        return to_storage(_exactly(read(text), storage_type(t)), t, where="default")[0]
    except (ValueError, ArithmeticError, pa.ArrowException, BadRequestError) as error:
        shown = text if len(text) <= 100 else f"{text[:100]}…"
        raise invalid_argument(f"the default {shown!r} is no {t}") from error


def _exactly(value: Any, at_rest: pa.DataType) -> pa.Array:
    array = pa.array([value], at_rest)
    # PyArrow makes 0 of decimals whose digits all lie far enough below the scale.
    if isinstance(value, Number) and array[0].as_py() != value:
        raise ValueError("finer than the type")
    return array


def canonical_default(text: str, t: OdpsType) -> str:
    """Return the one text of a default's value: ``007`` of a bigint is ``7``. Raises InvalidArgument."""
    value: Any = default_scalar(text, t)
    match t:
        case Simple(kind=Kind.BOOLEAN):
            return "true" if value.as_py() else "false"
        case Simple(kind=Kind.FLOAT | Kind.DOUBLE):
            return repr(value.as_py())
        case Simple(kind=Kind.DATETIME | Kind.TIMESTAMP | Kind.TIMESTAMP_NTZ):
            return _instant_text(value.value, TICKS[value.type.unit])
        case Decimal():
            return f"{value.as_py():f}"
        case Simple(kind=Kind.BINARY):
            return text
        case _:
            return str(value.as_py())


def ducklake_default(text: str, t: OdpsType) -> str:
    """Return a canonical default as ``ducklake_column`` has it: binary in DuckDB's notation."""
    if t == Simple(Kind.BINARY):
        return "".join(f"\\x{byte:02X}" for byte in text.encode())
    return text


def _reader(t: OdpsType) -> Callable[[str], Any] | None:
    match t:
        case Simple():
            return _BY_KIND.get(t.kind)
        case Char() | Varchar():
            return str
        case Decimal():
            return _decimal
        case _:
            return None


def _whole(text: str) -> int:
    return int(_matched(_WHOLE, text)[0])


def _float(text: str) -> float:
    if text.lower() in _NOT_FINITE:
        return float(text)
    value = float(_matched(_NUMBER, text)[0])
    if isinf(value):
        raise ValueError("out of range")
    return value


def _float32(text: str) -> float:
    value = _float(text)
    if isinf(pa.scalar(value, pa.float32()).as_py()) and not isinf(value):
        raise ValueError("out of range")
    return value


def _decimal(text: str) -> Number:
    value = Number(_matched(_NUMBER, text)[0])
    # Beyond this no decimal type goes, and PyArrow would write out all the zeros.
    if abs(value.adjusted()) > MAX_DECIMAL_PRECISION:
        raise ValueError("out of range")
    return value


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("neither true nor false")
    return text.lower() == "true"


def _date(text: str) -> date:
    return date.fromisoformat(_matched(_DATE, text)[0])


def _ticks(unit: str) -> Callable[[str], int]:
    """Read an instant as a count of ``unit`` since 1970; a date alone is its midnight."""

    def read(text: str) -> int:
        found = _matched(_INSTANT, text)
        moment = time.fromisoformat(found["time"] or "00:00:00")
        at = datetime.combine(date.fromisoformat(found["day"]), moment, UTC)
        nanos = int((found["fraction"] or "").ljust(9, "0"))
        ticks, finer = divmod(nanos, TICKS["ns"] // TICKS[unit])
        if finer:
            raise ValueError("finer than the type")
        return (at - _EPOCH) // timedelta(seconds=1) * TICKS[unit] + ticks

    return read


def _matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    found = pattern.fullmatch(text)
    if found is None:
        raise ValueError("malformed")
    return found


def _instant_text(ticks: int, per_second: int) -> str:
    seconds, rest = divmod(ticks, per_second)
    whole = (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat(" ")
    fraction = f"{rest:0{len(str(per_second)) - 1}d}".rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


_BY_KIND: dict[Kind, Callable[[str], Any]] = {
    Kind.TINYINT: _whole,
    Kind.SMALLINT: _whole,
    Kind.INT: _whole,
    Kind.BIGINT: _whole,
    Kind.FLOAT: _float32,
    Kind.DOUBLE: _float,
    Kind.BOOLEAN: _boolean,
    Kind.STRING: str,
    Kind.JSON: str,
    Kind.VARIANT: str,
    Kind.BINARY: str.encode,
    Kind.DATE: _date,
    Kind.DATETIME: _ticks("ms"),
    Kind.TIMESTAMP: _ticks("ns"),
    Kind.TIMESTAMP_NTZ: _ticks("ns"),
}
