"""SQL text to statements (rest.md §6.1). Text that is not wholly understood is a parse error."""

from __future__ import annotations

from typing import Any, TypeVar

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, ParseError, TokenError

from maxlake.protocol.limits import MAX_BUCKETS, MAX_XML_BODY
from maxlake.protocol.sql import dialect as odps
from maxlake.protocol.sql.alter import read_alter_table
from maxlake.protocol.sql.model import (
    ColumnDefinition,
    CreateSchema,
    CreateTable,
    DropSchema,
    DropTable,
    SchemaName,
    SortKey,
    Statement,
)
from maxlake.protocol.sql.parts import read_columns, read_names, read_table_name, refuse_repeated
from maxlake.protocol.sql.tree import (
    children,
    parse_error,
    read,
    read_name,
    read_positive,
    read_text,
    refuse,
)

Clause = TypeVar("Clause", bound=exp.Expr)


def parse_statement(text: str) -> Statement:
    """Read one DDL statement, with or without its final semicolon.

    Raises BadRequestError with code ODPS-0130161 for anything else: other statements, several of
    them, unknown clauses, malformed names, types and partition specs, and texts of more than
    ``MAX_XML_BODY`` characters.
    """
    if len(text) > MAX_XML_BODY:
        raise parse_error(f"The statement is longer than {MAX_XML_BODY} characters")
    try:
        trees = sqlglot.parse(text, dialect=odps.Odps, error_level=ErrorLevel.IMMEDIATE)
        return _statement([tree for tree in trees if tree is not None])
    except ParseError as error:
        place: dict[str, Any] = error.errors[0] if error.errors else {}
        line, end = place.get("line") or 1, place.get("col") or 1
        column = max(1, end - len(place.get("highlight") or "") + 1)
        raise parse_error(place.get("description") or "Not a statement", line, column) from error
    except TokenError as error:
        raise parse_error("A string, name or comment is not closed") from error
    except RecursionError as error:
        raise parse_error("The statement is nested too deeply") from error


def _statement(trees: list[exp.Expr]) -> Statement:
    if len(trees) != 1:
        raise parse_error(f"Expecting one statement, not {len(trees)}")
    match trees[0]:
        case exp.Create() as tree if tree.kind == "TABLE":
            return _create_table(read(tree, exp.Create, "this", "kind", "exists", "properties"))
        case exp.Create() as tree if tree.kind == "SCHEMA":
            read(tree, exp.Create, "this", "kind", "exists")
            return CreateSchema(_schema_name(tree.this), bool(tree.args.get("exists")))
        case exp.Drop() as tree if tree.kind in ("TABLE", "SCHEMA"):
            return _drop(read(tree, exp.Drop, "tables", "kind", "exists"))
        case exp.Alter() as tree if tree.args.get("kind") == "TABLE":
            return read_alter_table(read(tree, exp.Alter, "this", "kind", "actions"))
        case tree:
            return refuse(tree, "Only CREATE, DROP and ALTER of tables and schemas are supported")


def _schema_name(node: object) -> SchemaName:
    table = read(node, exp.Table, "db", "catalog")
    project = table.args.get("catalog")
    return SchemaName(
        None if project is None else read_name(project, "project"), read_name(table.args.get("db"), "schema")
    )


def _drop(tree: exp.Drop) -> Statement:
    named = children(tree, "tables")
    if len(named) != 1:
        refuse(tree, "Expecting one name to drop")
    exists = bool(tree.args.get("exists"))
    if tree.kind == "SCHEMA":
        return DropSchema(_schema_name(named[0]), exists)
    return DropTable(read_table_name(named[0]), exists)


def _create_table(tree: exp.Create) -> CreateTable:
    schema = read(tree.this, exp.Schema, "this", "expressions")
    keys = [item for item in children(schema) if isinstance(item, exp.PrimaryKey)]
    columns = read_columns([item for item in children(schema) if not isinstance(item, exp.PrimaryKey)])
    if not columns or len(keys) > 1:
        refuse(schema, "Expecting columns and at most one PRIMARY KEY")
    clauses = _Clauses(tree)
    partitioned = clauses.take(exp.PartitionedByProperty)
    comment = clauses.take(exp.SchemaCommentProperty)
    lifecycle = clauses.take(odps.LifecycleProperty)
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
