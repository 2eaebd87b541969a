"""Columns of a session as the tunnel tells them (rest.md §8.1)."""

from __future__ import annotations

from maxlake.protocol.messages.schema import ReadColumn, ReadSchema
from maxlake.protocol.messages.tunnel import TunnelColumn, TunnelSchema


def tunnel_schema(schema: ReadSchema) -> TunnelSchema:
    """Return columns and partition keys in the tunnel's shape."""
    return TunnelSchema(
        columns=tuple(map(_column, schema.data_columns)),
        partition_keys=tuple(map(_column, schema.partition_columns)),
    )


def _column(column: ReadColumn) -> TunnelColumn:
    return TunnelColumn(
        name=column.name,
        type=column.type,
        column_id=str(column.column_id),
        comment=column.comment,
        nullable=column.nullable,
    )
