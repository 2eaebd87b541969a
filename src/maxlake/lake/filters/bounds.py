"""What is known of a column's values in a file or row group before any of them is read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Context, Decimal, InvalidOperation
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pat

from maxlake.protocol.predicates.tree import LiteralValue
from maxlake.protocol.types.arrow import TICKS
from maxlake.protocol.types.model import Char, Kind, OdpsType, Simple, Varchar
from maxlake.protocol.types.model import Decimal as DecimalType
from maxlake.protocol.types.storage import storage_type

_INTEGERS = (Kind.TINYINT, Kind.SMALLINT, Kind.INT, Kind.BIGINT)
_TICKS = {Kind.DATETIME: 10**3, Kind.TIMESTAMP: 10**9, Kind.TIMESTAMP_NTZ: 10**9}
_EPOCH = date(1970, 1, 1).toordinal()
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_DECIMAL = re.compile(r"-?[0-9]{1,38}(?:\.[0-9]{1,38})?")
# Years outside 0001..9999, BC, infinity and zones are left unread.
_INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?: ([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d{1,9}))?)?",
    re.ASCII,
)
#: Writers cut long texts off, DuckDB at 256 bytes or up to a character before. It raises the last character
#: of a maximum so cut, but nobody says that all programs do: then it would be below what it stands for.
_CUT_TEXT_BYTES = 252
_WIDE = Context(prec=76)


class Bounds(msgspec.Struct, frozen=True):
    """Limits of a column's values, NULLs apart; ``value_count`` and ``null_count`` count both kinds.

    Values are those of a tree's literals: instants are ticks of the column's storage unit. Limits need
    not be values that occur. None is unknown.
    """

    minimum: LiteralValue = None
    maximum: LiteralValue = None
    null_count: int | None = None
    value_count: int | None = None


def text_bounds(
    t: OdpsType, minimum: str | None, maximum: str | None, *, null_count: int | None, value_count: int | None
) -> Bounds:
    """Read DuckLake's statistics (lake/statistics.py, DuckDB's extension) of a column that is a ``t``.

    Texts written when the column was of a narrower type count if that type sorts as ``t`` does: a narrower
    number, a date or coarser instant, a shorter text; what was written as a number must not be given for a
    text column. What cannot be read is unknown, never an error.
    """
    return Bounds(
        _from_text(minimum, t, upper=False), _from_text(maximum, t, upper=True), null_count, value_count
    )


def _from_text(text: str | None, t: OdpsType, *, upper: bool) -> LiteralValue:
    if text is None:
        return None
    try:
        return _parsed(text, t, upper=upper)
    except (ValueError, InvalidOperation):
        return None


def _parsed(text: str, t: OdpsType, *, upper: bool) -> LiteralValue:  # noqa: PLR0911 - one line a type
    match t:
        case Simple(kind=kind) if kind in _INTEGERS:
            return int(text) if _INTEGER.fullmatch(text) else None
        case DecimalType():
            return Decimal(text) if _DECIMAL.fullmatch(text) else None
        case Simple(kind=Kind.BOOLEAN):
            return {"0": False, "1": True, "false": False, "true": True}.get(text.lower())
        case Simple(kind=Kind.STRING) | Char() | Varchar():
            return None if upper and len(text.encode()) >= _CUT_TEXT_BYTES else text
        case Simple(kind=Kind.DATE):
            found = _INSTANT.fullmatch(text)
            return date.fromisoformat(found[1]) if found else None
        case Simple(kind=kind) if kind in _TICKS:
            return _ticks(text, _TICKS[kind], upper=upper)
        case _:
            return None


def _ticks(text: str, per_second: int, *, upper: bool) -> int | None:
    """Read an instant; digits left out of an upper limit may have been cut off, and count as nines."""
    found = _INSTANT.fullmatch(text)
    if not found:
        return None
    day, hour, minute, second, part = found.groups()
    seconds = (date.fromisoformat(day).toordinal() - _EPOCH) * 86_400
    if hour:
        seconds += int(hour) * 3600 + int(minute) * 60 + int(second)
    nanos = int((part or "").ljust(9, "9" if upper else "0"))
    return seconds * per_second + nanos * per_second // 10**9


def row_group_bounds(
    footer: pq.FileMetaData, groups: Iterable[int], columns: Mapping[str, OdpsType]
) -> list[dict[str, Bounds]]:
    """Return what a Parquet footer says of flat columns, one entry a row group.

    ``columns`` gives, by their name in the file, the types these columns have in the table now, in whose
    values the bounds are; a file whose own type sorts differently has none.
    """
    kinds = footer.schema.to_arrow_schema()
    positions: dict[str, int] = {}
    for position in range(footer.num_columns):
        leaf = footer.schema.column(position)
        if leaf.path in columns and leaf.max_repetition_level == 0 and leaf.physical_type != "INT96":
            positions[leaf.path] = position
    found: list[dict[str, Bounds]] = []
    for group in groups:
        chunks = footer.row_group(group)
        found.append(
            {
                name: _chunk_bounds(chunks.column(position), kinds.field(name).type, columns[name])
                for name, position in positions.items()
            }
        )
    return found


def _chunk_bounds(chunk: pq.ColumnChunkMetaData, kind: pa.DataType, t: OdpsType) -> Bounds:
    statistics: Any = chunk.statistics
    if statistics is None:
        return Bounds()
    nulls: int | None = statistics.null_count if statistics.has_null_count else None
    values = None if nulls is None else chunk.num_values - nulls
    if not statistics.has_min_max:
        return Bounds(None, None, nulls, values)
    low, high = _from_raw(statistics.min_raw, kind, t), _from_raw(statistics.max_raw, kind, t, upper=True)
    return Bounds(low, high, nulls, values)


def _from_raw(  # noqa: PLR0911 - one line a type
    raw: Any, kind: pa.DataType, t: OdpsType, *, upper: bool = False
) -> LiteralValue:
    """Read a raw statistic of a ``kind`` as a value of ``t``; the kinds left out have bounds of no use."""
    target = storage_type(t)
    if pat.is_integer(kind) and (pat.is_integer(target) or pat.is_decimal(target)):
        return int(raw)
    if pat.is_decimal(kind) and pat.is_decimal(target):
        unscaled = int.from_bytes(raw, "big", signed=True) if isinstance(raw, bytes) else int(raw)
        return Decimal(unscaled).scaleb(-kind.scale, _WIDE)
    if pat.is_timestamp(kind) and pat.is_timestamp(target):
        return _rescaled(int(raw), TICKS[kind.unit], TICKS[target.unit], upper=upper)
    if pat.is_date32(kind) and pat.is_timestamp(target):
        return int(raw) * 86_400 * TICKS[target.unit]
    if pat.is_date32(kind) and pat.is_date32(target):
        return _day(raw)
    if pat.is_string(kind) and pat.is_string(target):
        return _utf8(raw)
    plain = kind == target and (pat.is_boolean(kind) or pat.is_binary(kind))
    return raw if plain else None


def _rescaled(ticks: int, stored: int, wanted: int, *, upper: bool) -> int:
    return -(-ticks * wanted // stored) if upper else ticks * wanted // stored


def _day(raw: int) -> date | None:
    try:
        return date.fromordinal(_EPOCH + raw)
    except (ValueError, OverflowError):
        return None


def _utf8(raw: bytes) -> str | None:
    """Read text; a bound that was cut inside a character is none."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None
