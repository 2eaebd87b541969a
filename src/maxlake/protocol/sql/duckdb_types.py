"""ODPS types by DuckDB's names: what a value is while a query computes with it, as it lies at rest."""

from __future__ import annotations

from maxlake.protocol.types.model import (
    Array,
    Decimal,
    Kind,
    Map,
    OdpsType,
    Simple,
    Struct,
    Vector,
)

_SIMPLE = {
    Kind.TINYINT: "TINYINT",
    Kind.SMALLINT: "SMALLINT",
    Kind.INT: "INTEGER",
    Kind.BIGINT: "BIGINT",
    Kind.FLOAT: "FLOAT",
    Kind.DOUBLE: "DOUBLE",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.STRING: "VARCHAR",
    Kind.BINARY: "BLOB",
    Kind.DATE: "DATE",
    Kind.DATETIME: "TIMESTAMP_MS",
    Kind.TIMESTAMP: "TIMESTAMP_NS",
    Kind.TIMESTAMP_NTZ: "TIMESTAMP_NS",
    Kind.INTERVAL_DAY_TIME: 'STRUCT("sec" BIGINT, "nano" INTEGER)',
    Kind.INTERVAL_YEAR_MONTH: "INTEGER",
    Kind.JSON: "VARCHAR",
    Kind.BLOB: "BLOB",
    Kind.VARIANT: "VARCHAR",
}


def duckdb_type(t: OdpsType) -> str:
    """Return DuckDB's name of the type in which values of ``t`` lie at rest."""
    match t:
        case Simple():
            return _SIMPLE[t.kind]
        case Decimal():
            precision, scale = t.digits
            return f"DECIMAL({precision},{scale})"
        case Array() | Vector():
            return f"{duckdb_type(t.children()[0])}[]"
        case Map():
            return f"MAP({duckdb_type(t.key)}, {duckdb_type(t.value)})"
        case Struct():
            members = ", ".join(f"{quoted(field.name)} {duckdb_type(field.type)}" for field in t.fields)
            return f"STRUCT({members})"
        case _:  # Char and Varchar
            return "VARCHAR"


def quoted(name: str) -> str:
    """Return a name as an identifier of DuckDB's SQL."""
    return '"' + name.replace('"', '""') + '"'


def text_literal(text: str) -> str:
    """Return text as a literal of DuckDB's SQL."""
    return "'" + text.replace("'", "''") + "'"
