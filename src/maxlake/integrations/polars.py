"""Tables as lazy frames of polars: ``scan("trips").filter(…).select(…).collect()``."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source

from maxlake.client.oneline.connect import client_of
from maxlake.client.oneline.reading import read
from maxlake.client.oneline.table_schema import TableSchema
from maxlake.integrations.conditions import (
    Both,
    Comparison,
    Condition,
    Either,
    NullTest,
    Operator,
    Unknown,
    is_comparable,
    to_sql,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPERATORS = {
    "Eq": Operator.EQUAL,
    "NotEq": Operator.NOT_EQUAL,
    "Lt": Operator.LESS,
    "LtEq": Operator.LESS_OR_EQUAL,
    "Gt": Operator.GREATER,
    "GtEq": Operator.GREATER_OR_EQUAL,
}
_JOINTS = {"And": Both, "Or": Either}
_NULL_TESTS = {"IsNull": True, "IsNotNull": False}
_INTEGERS = tuple(f"{sign}nt{width}" for sign in ("I", "UI") for width in (8, 16, 32, 64))
_EPOCH = date(1970, 1, 1)


def scan(table: Any, **options: Any) -> pl.LazyFrame:
    """Return ``table`` as a lazy frame: each ``collect`` reads its newest version.

    ``options`` are those of ``maxlake.read``, such as ``odps`` and ``partitions``. Only the columns that a
    query names are sent, and of its conditions the service judges those on whole numbers, texts, dates and
    booleans. ``head`` ends the read when it has enough.
    """
    schema = TableSchema.of(client_of(table, options.get("odps")).table).arrow

    def batches(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        names = with_columns or schema.names
        looked_at = set(names) | set(() if predicate is None else predicate.meta.root_names())
        where = None if predicate is None else to_sql(condition_of(predicate, schema))
        left = n_rows
        for batch in read(table, [name for name in schema.names if name in looked_at], where, **options):
            frame = pl.DataFrame(batch)
            if predicate is not None:
                frame = frame.filter(predicate)
            frame = frame.select(names).head(frame.height if left is None else left)
            yield frame
            if left is not None:
                left -= frame.height
                if left <= 0:
                    return

    empty: pl.DataFrame = pl.DataFrame(schema.empty_table())
    return register_io_source(batches, schema=empty.schema)


def condition_of(predicate: pl.Expr, schema: pa.Schema) -> Condition:
    """Return what ``predicate`` asks of the columns of ``schema``, as far as its JSON form is understood."""
    try:
        return _condition(json.loads(predicate.meta.serialize(format="json")), schema)
    except (pl.exceptions.PolarsError, LookupError, ValueError, AttributeError, TypeError):
        return Unknown()


def _condition(node: Any, schema: pa.Schema) -> Condition:
    match node:
        case {"BinaryExpr": {"left": left, "op": "And" | "Or" as joint, "right": right}}:
            return _JOINTS[joint](_condition(left, schema), _condition(right, schema))
        case {"BinaryExpr": {"left": {"Column": column}, "op": name, "right": {"Literal": literal}}}:
            value = _value(literal)
            if name in _OPERATORS and value is not None and is_comparable(schema.field(column).type, value):
                return Comparison(column, _OPERATORS[name], value)
        case {"Function": {"input": [{"Column": column}], "function": {"Boolean": test}}}:
            if test in _NULL_TESTS and is_comparable(schema.field(column).type):
                return NullTest(column, _NULL_TESTS[test])
        case _:
            pass
    return Unknown()


def _value(literal: Any) -> bool | int | str | date | None:
    match literal:
        case {"Scalar": {"Date": int(days)}}:
            return _EPOCH + timedelta(days=days)
        case {"Scalar": {"String": str(value)}} | {"Scalar": {"Boolean": bool(value)}}:
            return value
        case {"Scalar": scalar}:
            return next((scalar[kind] for kind in _INTEGERS if isinstance(scalar.get(kind), int)), None)
        case {"Dyn": {"Int": int(value)}} | {"Dyn": {"Str": str(value)}}:
            return value
        case _:
            return None
