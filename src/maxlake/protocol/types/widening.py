"""Which types a column may take on so that every value already written is still one of its values.

Files are not rewritten: their values are cast as they are read, by us and by DuckDB alike (design.md P7).
"""

from __future__ import annotations

from maxlake.protocol.types.model import Char, Decimal, Kind, OdpsType, Simple, Varchar

#: Integers, narrow to wide, with the digits of their longest value.
_INTEGER_DIGITS = {Kind.TINYINT: 3, Kind.SMALLINT: 5, Kind.INT: 10, Kind.BIGINT: 19}

#: What :func:`widens` lets through, for messages.
WIDENINGS = (
    "tinyint to smallint to int to bigint; these to a decimal with as many digits before the point; float "
    "to double; decimal to one with no fewer digits before or after the point; char and varchar to a "
    "longer one, to varchar or to string"
)


def widens(old: OdpsType, new: OdpsType) -> bool:
    """Tell whether every value of ``old`` is one of ``new``, and read so from files of ``old``."""
    match old, new:
        case Simple(kind=was), Simple(kind=becomes) if was in _INTEGER_DIGITS and becomes in _INTEGER_DIGITS:
            wider = _INTEGER_DIGITS[was] <= _INTEGER_DIGITS[becomes]
        case Simple(kind=was), Decimal() if was in _INTEGER_DIGITS:
            wider = _whole_digits(new) >= _INTEGER_DIGITS[was]
        case Decimal(), Decimal():
            wider = _whole_digits(new) >= _whole_digits(old) and new.digits[1] >= old.digits[1]
        case (Char(), Char()) | (Char() | Varchar(), Varchar()):
            wider = new.length >= old.length
        case (Simple(kind=Kind.FLOAT), Simple(kind=Kind.DOUBLE)) | (
            Char() | Varchar(),
            Simple(kind=Kind.STRING),
        ):
            wider = True
        case _:
            wider = old == new
    return wider


def _whole_digits(t: Decimal) -> int:
    precision, scale = t.digits
    return precision - scale
