"""The ODPS types of what DuckDB computes."""

from __future__ import annotations

from duckdb.sqltypes import DuckDBPyType

from maxlake.protocol.sql.duckdb_types import duckdb_type
from maxlake.protocol.types.model import Array, Decimal, Kind, Map, OdpsType, Simple, Struct, StructField
from maxlake.protocol.types.text import parse_type

_KINDS = {
    "boolean": Kind.BOOLEAN,
    "tinyint": Kind.TINYINT,
    "smallint": Kind.SMALLINT,
    "utinyint": Kind.SMALLINT,
    "integer": Kind.INT,
    "usmallint": Kind.INT,
    "bigint": Kind.BIGINT,
    "uinteger": Kind.BIGINT,
    "ubigint": Kind.BIGINT,
    # Sums of bigint are bigint again; larger ones are an error.
    "hugeint": Kind.BIGINT,
    "uhugeint": Kind.BIGINT,
    "float": Kind.FLOAT,
    "double": Kind.DOUBLE,
    "blob": Kind.BINARY,
    "date": Kind.DATE,
    "timestamp": Kind.TIMESTAMP,
    "timestamp_s": Kind.DATETIME,
    "timestamp_ms": Kind.DATETIME,
    "timestamp_ns": Kind.TIMESTAMP,
    "interval": Kind.INTERVAL_DAY_TIME,
}
_DAY_TIME = duckdb_type(Simple(Kind.INTERVAL_DAY_TIME)).replace('"', "")


def result_type(computed: DuckDBPyType, declared: str | None = None) -> OdpsType:
    """Return the type of a column: as it was declared, if DuckDB's is that type, else the nearest."""
    if declared is not None and _plain(duckdb_type(parse_type(declared))) == _plain(str(computed)):
        return parse_type(declared)
    return _nearest(computed)


def _plain(text: str) -> str:
    """Quotes stand only where they have to."""
    return text.replace('"', "")


def _nearest(computed: DuckDBPyType) -> OdpsType:
    if _plain(str(computed)) == _DAY_TIME:
        return Simple(Kind.INTERVAL_DAY_TIME)
    match computed.id:
        case "decimal":
            digits = dict(computed.children)
            return Decimal(int(str(digits["precision"])), int(str(digits["scale"])))
        case "list" | "array":
            return Array(_nearest(_inner(computed)[0][1]))
        case "map":
            (_, key), (_, value) = _inner(computed)
            return Map(_nearest(key), _nearest(value))
        case "struct":
            return Struct(
                tuple(
                    StructField(name or f"col{place}", _nearest(inner))
                    for place, (name, inner) in enumerate(_inner(computed), 1)
                )
            )
        case name:
            return Simple(_KINDS.get(name, Kind.STRING))


def _inner(computed: DuckDBPyType) -> list[tuple[str, DuckDBPyType]]:
    return [(name, inner) for name, inner in computed.children if isinstance(inner, DuckDBPyType)]
