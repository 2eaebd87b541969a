"""Columns as a read session describes them (wire.md §4.6)."""

from __future__ import annotations

import msgspec


class Column(msgspec.Struct, kw_only=True, rename="pascal"):
    """One column: ``type`` is the ODPS type as text."""

    name: str | None = None
    type: str | None = None
    comment: str | None = None
    nullable: bool | None = None


class DataSchema(msgspec.Struct, kw_only=True, rename="pascal"):
    """The columns a read session returns, in order: data columns, then partition columns."""

    data_columns: list[Column] | None = None
    partition_columns: list[Column] | None = None
