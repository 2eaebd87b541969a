"""Every type: what readers are sent, what uploads may hold, and how it lies at rest."""

from __future__ import annotations

import pyarrow as pa

from from_code.markdown import code, table
from maxlake.protocol.errors import BadRequestError
from maxlake.protocol.types.arrow import arrow_type
from maxlake.protocol.types.ingest import to_storage
from maxlake.protocol.types.model import Kind, OdpsType
from maxlake.protocol.types.storage import ducklake_columns
from maxlake.protocol.types.text import parse_type

#: The types with parameters, each by an example.
PARAMETERISED = (
    "decimal(10,2)",
    "decimal",
    "char(10)",
    "varchar(10)",
    "array<bigint>",
    "map<string,bigint>",
    "struct<x:bigint,y:string>",
    "vector(float,3)",
)

_DAY_TIME = pa.struct([("sec", pa.int64()), ("nano", pa.int32())])

#: What Arrow has, by the words the table uses. A type takes all of a family or none of it.
FAMILIES: dict[str, tuple[pa.DataType, ...]] = {
    "integers": tuple(getattr(pa, f"{sign}int{width}")() for sign in ("", "u") for width in (8, 16, 32, 64)),
    "floats": (pa.float32(), pa.float64()),
    "decimals": (pa.decimal128(10, 2), pa.decimal256(60, 2)),
    "bool": (pa.bool_(),),
    "text": (pa.utf8(), pa.large_utf8(), pa.string_view()),
    "binary": (pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(4)),
    "dates": (pa.date32(), pa.date64()),
    "timestamps without a zone": tuple(pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")),
    "timestamps with a zone": tuple(pa.timestamp(unit, "UTC") for unit in ("s", "ms", "us", "ns")),
    "durations": tuple(pa.duration(unit) for unit in ("s", "ms", "us", "ns")),
    "month_day_nano": (pa.month_day_nano_interval(),),
    "struct of sec and nano": (_DAY_TIME,),
    "lists": (pa.list_(pa.int64()), pa.large_list(pa.int64()), pa.list_(pa.int64(), 3)),
    "maps": (pa.map_(pa.utf8(), pa.int64()),),
    "structs by member name": (pa.struct([("y", pa.utf8()), ("x", pa.int64())]),),
}


def all_types() -> list[OdpsType]:
    """Return every type, those with parameters by an example."""
    return [parse_type(text) for text in (*Kind, *PARAMETERISED)]


def accepts(t: OdpsType, uploaded: pa.DataType) -> bool:
    """Tell whether uploads may hold a column of ``t`` in this Arrow type, if its values fit."""
    try:
        to_storage(pa.nulls(0, uploaded), t, where="")
    except BadRequestError:
        return False
    return True


def accepted(t: OdpsType) -> list[str]:
    """Return the families of Arrow types that uploads may hold for ``t``."""
    return [word for word, family in FAMILIES.items() if all(accepts(t, each) for each in family)]


def types_table() -> str:
    """Return the table of all types."""
    header = ("ODPS type", "Readers get", "Uploads may hold", "In the catalog")
    return table(header, map(_row, all_types()))


def _row(t: OdpsType) -> list[str]:
    at_rest = ducklake_columns("", t, True, 1)[0].column_type
    return [code(str(t)), code(str(arrow_type(t))), ", ".join(accepted(t)), code(at_rest)]
