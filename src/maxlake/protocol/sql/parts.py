"""What statements have in common: names of tables and columns, definitions of columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlglot import exp

from maxlake.protocol.partitions import PartitionSpec
from maxlake.protocol.sql.model import ColumnDefinition, TableName
from maxlake.protocol.sql.places import place_of
from maxlake.protocol.sql.tree import children, placed, read, read_constant, read_name, read_text, refuse
from maxlake.protocol.types.text import parse_type


def read_table_name(node: object) -> TableName:
    """Return a table name; of two parts the first is the project."""
    table = read(node, exp.Table, "this", "db", "catalog")
    name = read_name(table.this, "table")
    first, second = table.args.get("catalog"), table.args.get("db")
    place = place_of(first or second or table.this)
    if first is None:
        return TableName(None if second is None else read_name(second, "project"), None, name, place)
    return TableName(read_name(first, "project"), read_name(second, "schema"), name, place)


def read_names(node: exp.Expr) -> tuple[str, ...]:
    """Return the names of columns in a list."""
    if isinstance(node, exp.PrimaryKey):
        read(node, exp.PrimaryKey, "expressions")
    return tuple(read_name(item, "column") for item in children(node))


def refuse_repeated(node: exp.Expr, names: Sequence[str]) -> None:
    """Raise the parse error for a column that stands twice among names, in any case."""
    folded = [name.lower() for name in names]
    for name in folded:
        if folded.count(name) > 1:
            refuse(node, f"Column {name} is named twice")


def read_partition_spec(node: object) -> PartitionSpec:
    """Return the spec that ``PARTITION (a='x', ...)`` names."""
    partition = read(node, exp.Partition, "expressions")
    pairs: list[tuple[str, str]] = []
    for item in children(partition):
        equation = read(item, exp.EQ, "this", "expression")
        value = read_constant(equation.expression)
        if value is None:
            refuse(partition, "A partition value cannot be NULL")
        pairs.append((read_name(equation.this, "partition column"), value))
    with placed(partition):
        return PartitionSpec(tuple(pairs))


def read_columns(nodes: list[object]) -> tuple[ColumnDefinition, ...]:
    """Return the columns of a list that holds nothing else."""
    return tuple(read_column(read(node, exp.ColumnDef, "this", "kind", "constraints")) for node in nodes)


def read_column(node: exp.ColumnDef) -> ColumnDefinition:
    """Return one column with its clauses, each given at most once."""
    name = read_name(node.this, "column")
    written = node.args.get("kind")
    if not isinstance(written, exp.DataType):
        refuse(node, f"Column {name} has no type")
    with placed(node):
        column_type = parse_type(str(written.args.get("kind")))
    seen: dict[type, Any] = {}
    for item in children(node, "constraints"):
        kind = read(item, exp.ColumnConstraint, "kind").args.get("kind")
        group = type(kind)
        if group in seen:
            refuse(node, f"Column {name} has a clause twice")
        match kind:
            case exp.NotNullColumnConstraint():
                # NULL, spelled out, is the same node with allow_null.
                seen[group] = not read(kind, exp.NotNullColumnConstraint, "allow_null").args.get("allow_null")
            case exp.CommentColumnConstraint():
                seen[group] = read_text(read(kind, exp.CommentColumnConstraint, "this").this)
            case exp.DefaultColumnConstraint():
                seen[group] = read_constant(read(kind, exp.DefaultColumnConstraint, "this").this)
            case _:
                refuse(node, f"Column {name} has a clause that is not supported")
    return ColumnDefinition(
        name=name,
        type=column_type,
        nullable=not seen.get(exp.NotNullColumnConstraint, False),
        comment=seen.get(exp.CommentColumnConstraint),
        default=seen.get(exp.DefaultColumnConstraint),
    )
