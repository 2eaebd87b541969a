"""INSERT INTO and INSERT OVERWRITE: where the rows of a query go; and rows that change their partition."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from maxlake.protocol.partitions import PartitionSpec
from maxlake.protocol.sql.model import Insert, Query, TableName
from maxlake.protocol.sql.parts import read_table_name, refuse_repeated
from maxlake.protocol.sql.query import read_query
from maxlake.protocol.sql.query_parser import InsertInto
from maxlake.protocol.sql.tree import children, placed, read, read_constant, read_name, refuse


def read_insert(tree: InsertInto) -> Insert:
    """Return the statement an INSERT is."""
    read(tree, InsertInto, "this", "expression", "overwrite", "partition", "columns", "with_")
    query = tree.expression
    if tree.args.get("with_") is not None:
        query = query.copy()
        if query.args.get("with_") is not None:
            refuse(query, "WITH is given twice")
        query.set("with_", tree.args["with_"].copy())
    columns = tuple(read_name(item, "column") for item in children(tree, "columns"))
    refuse_repeated(tree, columns)
    partition, dynamic = _partition(tree.args.get("partition"))
    return Insert(
        table=read_table_name(tree.this),
        query=read_query(query),
        overwrite=bool(tree.args.get("overwrite")),
        partition=partition,
        dynamic=dynamic,
        columns=columns,
    )


def rows_to_insert(table: TableName, columns: Sequence[str]) -> Query:
    """Return the query of these columns of all rows of a table."""
    parts = [part for part in (table.name, table.schema, table.project) if part is not None]
    quoted = (exp.to_identifier(part, quoted=True) for part in parts)
    names = dict(zip(("this", "db", "catalog"), quoted, strict=False))
    select = exp.select(*(exp.column(name, quoted=True) for name in columns))
    return read_query(select.from_(exp.Table(**names)))


def _partition(node: object) -> tuple[PartitionSpec, tuple[str, ...]]:
    """Return static keys with their values, and dynamic keys."""
    if node is None:
        return PartitionSpec(), ()
    partition = read(node, exp.Partition, "expressions")
    pairs: list[tuple[str, str]] = []
    dynamic: list[str] = []
    for item in children(partition):
        if not isinstance(item, exp.EQ):
            dynamic.append(read_name(item, "partition column"))
            continue
        equation = read(item, exp.EQ, "this", "expression")
        value = read_constant(equation.expression)
        if value is None:
            refuse(partition, "A partition value cannot be NULL")
        pairs.append((read_name(equation.this, "partition column"), value))
    refuse_repeated(partition, [*(key for key, _ in pairs), *dynamic])
    with placed(partition):
        return PartitionSpec(tuple(pairs)), tuple(dynamic)
