"""CREATE TABLE: columns with their clauses, LIKE another table, or AS a query."""

from __future__ import annotations

from typing import TypeVar

from sqlglot import exp

from maxlake.protocol.limits import MAX_BUCKETS
from maxlake.protocol.sql import nodes
from maxlake.protocol.sql.model import (
    ColumnDefinition,
    CreateTable,
    CreateTableAs,
    CreateTableLike,
    SortKey,
)
from maxlake.protocol.sql.parts import read_columns, read_names, read_table_name, refuse_repeated
from maxlake.protocol.sql.query import read_query
from maxlake.protocol.sql.tree import children, read, read_name, read_positive, read_text, refuse

Clause = TypeVar("Clause", bound=exp.Expr)


def read_create_table(tree: exp.Create) -> CreateTable | CreateTableLike | CreateTableAs:
    """Return the statement a CREATE TABLE is: of columns, LIKE another table, or AS a query."""
    read(tree, exp.Create, "this", "kind", "exists", "properties", "expression", "clone")
    if tree.args.get("clone") is not None:
        return _create_like(tree)
    if tree.expression:
        return _create_as(tree)
    return _create_table(tree)


def _create_like(tree: exp.Create) -> CreateTableLike:
    clauses = _Clauses(tree)
    lifecycle = clauses.take(nodes.LifecycleProperty)
    clauses.finish()
    return CreateTableLike(
        table=read_table_name(tree.this),
        like=read_table_name(tree.args.get("clone")),
        if_not_exists=bool(tree.args.get("exists")),
        lifecycle=None if lifecycle is None else read_positive(lifecycle.this, "LIFECYCLE"),
    )


def _create_as(tree: exp.Create) -> CreateTableAs:
    if isinstance(tree.this, exp.Schema):
        refuse(tree, "CREATE TABLE AS takes its columns from the query; create the table, then INSERT")
    clauses = _Clauses(tree)
    comment, lifecycle = clauses.take(exp.SchemaCommentProperty), clauses.take(nodes.LifecycleProperty)
    statement = CreateTableAs(
        table=read_table_name(tree.this),
        query=read_query(tree.expression),
        if_not_exists=bool(tree.args.get("exists")),
        comment=None if comment is None else read_text(comment.this),
        lifecycle=None if lifecycle is None else read_positive(lifecycle.this, "LIFECYCLE"),
        properties=clauses.take_properties(),
    )
    clauses.finish()
    return statement


def _create_table(tree: exp.Create) -> CreateTable:
    schema = read(tree.this, exp.Schema, "this", "expressions")
    keys = [item for item in children(schema) if isinstance(item, exp.PrimaryKey)]
    columns = read_columns([item for item in children(schema) if not isinstance(item, exp.PrimaryKey)])
    if not columns or len(keys) > 1:
        refuse(schema, "Expecting columns and at most one PRIMARY KEY")
    clauses = _Clauses(tree)
    partitioned = clauses.take(exp.PartitionedByProperty)
    comment = clauses.take(exp.SchemaCommentProperty)
    lifecycle = clauses.take(nodes.LifecycleProperty)
    clustered = clauses.take(exp.ClusteredByProperty, "expressions", "sorted_by", "buckets")
    statement = CreateTable(
        table=read_table_name(schema.this),
        columns=columns,
        partition_columns=() if partitioned is None else _partition_columns(partitioned),
        if_not_exists=bool(tree.args.get("exists")),
        comment=None if comment is None else read_text(comment.this),
        lifecycle=None if lifecycle is None else read_positive(lifecycle.this, "LIFECYCLE"),
        properties=clauses.take_properties(),
        primary_key=read_names(keys[0]) if keys else (),
        clustered_by=() if clustered is None else read_names(clustered),
        sorted_by=() if clustered is None else tuple(map(_sort_key, children(clustered, "sorted_by"))),
        buckets=None if clustered is None else _buckets(clustered),
    )
    clauses.finish()
    _check_columns(schema, statement)
    return statement


class _Clauses:
    """The clauses after a table's columns, each taken once, none left over."""

    def __init__(self, tree: exp.Create) -> None:
        found = tree.args.get("properties")
        self._left: list[object] = children(read(found, exp.Properties, "expressions")) if found else []

    def take(self, kind: type[Clause], *understood: str) -> Clause | None:
        mine = [clause for clause in self._left if type(clause) is kind]
        self._left = [clause for clause in self._left if type(clause) is not kind]
        if len(mine) > 1:
            refuse(mine[1], "A clause is given twice")
        return read(mine[0], kind, *(understood or ("this",))) if mine else None

    def take_properties(self) -> dict[str, str]:
        properties: dict[str, str] = {}
        for clause in self._left:
            if type(clause) is exp.Property:
                item = read(clause, exp.Property, "this", "value")
                name = read_text(item.this)
                if name in properties:
                    refuse(item, f"Property {name!r} is given twice")
                properties[name] = read_text(item.args.get("value"))
        self._left = [clause for clause in self._left if type(clause) is not exp.Property]
        return properties

    def finish(self) -> None:
        for clause in self._left:
            refuse(clause, f"{type(clause).__name__.removesuffix('Property').upper()} is not supported")


def _partition_columns(clause: exp.PartitionedByProperty) -> tuple[ColumnDefinition, ...]:
    columns = read_columns(children(read(clause.this, exp.Schema, "expressions")))
    for column in columns:
        if column.default is not None:
            refuse(clause, f"Partition column {column.name} cannot have a default")
    return columns


def _sort_key(node: object) -> SortKey:
    ordered = read(node, exp.Ordered, "this", "desc", "nulls_first")
    descending = bool(ordered.args.get("desc"))
    if bool(ordered.args.get("nulls_first")) is descending:
        refuse(ordered, "NULLS FIRST and NULLS LAST are not supported")
    return SortKey(read_name(ordered.this, "column"), descending)


def _buckets(clause: exp.ClusteredByProperty) -> int:
    buckets = read_positive(clause.args.get("buckets"), "The number of buckets")
    if buckets > MAX_BUCKETS:
        refuse(clause, f"More than {MAX_BUCKETS} buckets")
    return buckets


def _check_columns(node: exp.Expr, statement: CreateTable) -> None:
    """Refuse repeated columns, and keys that are none of the table's columns (case-insensitively)."""
    data = {column.name.lower() for column in statement.columns}
    refuse_repeated(node, [column.name for column in (*statement.columns, *statement.partition_columns)])
    for keys in (statement.primary_key, statement.clustered_by, [key.name for key in statement.sorted_by]):
        folded = [name.lower() for name in keys]
        if len(set(folded)) < len(folded) or not data.issuperset(folded):
            refuse(node, f"Not distinct columns of the table: {', '.join(keys)}")
