"""Columns of a session as the tunnel tells them (rest.md §8.1)."""

from __future__ import annotations

from dataclasses import replace

from maxlake.protocol.messages.schema import ReadColumn, ReadSchema
from maxlake.protocol.messages.tunnel import TunnelColumn, TunnelSchema
from maxlake.protocol.types.model import Array, Kind, Map, OdpsType, Simple, Struct
from maxlake.protocol.types.text import parse_type


def tunnel_schema(schema: ReadSchema) -> TunnelSchema:
    """Return columns and partition keys in the tunnel's shape."""
    return TunnelSchema(
        columns=tuple(map(_column, schema.data_columns)),
        partition_keys=tuple(map(_column, schema.partition_columns)),
    )


def _column(column: ReadColumn) -> TunnelColumn:
    return TunnelColumn(
        name=column.name,
        type=str(_announced(parse_type(column.type))),
        column_id=str(column.column_id),
        comment=column.comment,
        nullable=column.nullable,
    )


def _announced(t: OdpsType) -> OdpsType:
    """Return a type as the tunnel knows it: its records have no blobs, so a reference to one is text."""
    match t:
        case Simple(kind=Kind.BLOB):
            return Simple(Kind.STRING)
        case Array():
            return Array(_announced(t.item))
        case Map():
            return Map(t.key, _announced(t.value))
        case Struct():
            return Struct(tuple(replace(field, type=_announced(field.type)) for field in t.fields))
        case _:
            return t
