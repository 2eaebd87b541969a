"""SQL text to statements (rest.md §6.1). Text that is not wholly understood is a parse error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlglot import exp
from sqlglot.errors import ErrorLevel, ParseError, TokenError

from maxlake.protocol.limits import MAX_SQL_TOKENS, MAX_XML_BODY
from maxlake.protocol.sql import dialect as odps
from maxlake.protocol.sql import nodes
from maxlake.protocol.sql.alter import read_alter_table
from maxlake.protocol.sql.changes import read_change
from maxlake.protocol.sql.create import read_create_table
from maxlake.protocol.sql.inserts import read_insert
from maxlake.protocol.sql.model import (
    CreateSchema,
    DropSchema,
    DropTable,
    SchemaName,
    Statement,
    TruncateTable,
)
from maxlake.protocol.sql.parts import read_partition_spec, read_table_name
from maxlake.protocol.sql.query import read_query
from maxlake.protocol.sql.query_parser import InsertInto
from maxlake.protocol.sql.questions import read_question
from maxlake.protocol.sql.tree import children, parse_error, read, read_name, read_text, refuse


@dataclass(frozen=True, slots=True)
class Script:
    """One statement, and the settings that ``SET`` makes before it."""

    statement: Statement
    settings: Mapping[str, str]


def parse_statement(text: str) -> Statement:
    """Read one statement; see :func:`parse_script`."""
    return parse_script(text).statement


def parse_script(text: str) -> Script:
    """Read one statement, with or without its final semicolon, after any number of ``SET name=value;``.

    Raises BadRequestError with code ODPS-0130161 for anything else: other statements, several of
    them, unknown clauses and functions, malformed names, types and partition specs, and texts of more than
    ``MAX_XML_BODY`` characters.
    """
    if len(text) > MAX_XML_BODY:
        raise parse_error(f"The statement is longer than {MAX_XML_BODY} characters")
    try:
        dialect = odps.Odps()
        tokens = dialect.tokenize(text)
        if len(tokens) > MAX_SQL_TOKENS:
            raise parse_error(f"The statement has more than {MAX_SQL_TOKENS} words and signs")
        trees = dialect.parser(error_level=ErrorLevel.IMMEDIATE).parse(tokens, text)
        return _script([tree for tree in trees if tree is not None])
    except ParseError as error:
        place: dict[str, Any] = error.errors[0] if error.errors else {}
        line, end = place.get("line") or 1, place.get("col") or 1
        column = max(1, end - len(place.get("highlight") or "") + 1)
        raise parse_error(place.get("description") or "Not a statement", line, column) from error
    except TokenError as error:
        raise parse_error("A string, name or comment is not closed") from error
    except RecursionError as error:
        raise parse_error("The statement is nested too deeply") from error


def _script(trees: list[exp.Expr]) -> Script:
    settings = {
        read_text(tree.this): read_text(tree.expression) for tree in trees if isinstance(tree, nodes.Setting)
    }
    others = [tree for tree in trees if not isinstance(tree, nodes.Setting)]
    if len(others) != 1:
        raise parse_error(f"Expecting one statement, not {len(others)}")
    return Script(_statement(others[0]), settings)


def _statement(tree: exp.Expr) -> Statement:  # noqa: PLR0911 - one a statement
    match tree:
        case exp.Create() as tree if tree.kind == "TABLE":
            return read_create_table(tree)
        case exp.Create() as tree if tree.kind == "SCHEMA":
            read(tree, exp.Create, "this", "kind", "exists")
            return CreateSchema(_schema_name(tree.this), bool(tree.args.get("exists")))
        case exp.Drop() as tree if tree.kind in ("TABLE", "SCHEMA"):
            return _drop(read(tree, exp.Drop, "tables", "kind", "exists"))
        case exp.Alter() as tree if tree.args.get("kind") == "TABLE":
            return read_alter_table(read(tree, exp.Alter, "this", "kind", "actions"))
        case InsertInto() as tree:
            return read_insert(tree)
        case exp.Update() | exp.Delete() | exp.Merge() as tree:
            return read_change(tree)
        case nodes.Truncate() as tree:
            return _truncate(tree)
        case nodes.DescribeTable() | nodes.Show() as tree:
            return read_question(tree)
        case tree:
            return read_query(tree)


def _truncate(tree: nodes.Truncate) -> TruncateTable:
    specs = tuple(map(read_partition_spec, children(read(tree, nodes.Truncate, "this", "expressions"))))
    return TruncateTable(read_table_name(tree.this), specs)


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
