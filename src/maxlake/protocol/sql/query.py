"""Queries: ODPS SQL, allowed node by node, as DuckDB SQL over named scans of tables.

Nothing of the text reaches DuckDB as it was written: a tree of known nodes is changed and written anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from sqlglot import exp

from maxlake.protocol.sql import allowed, functions
from maxlake.protocol.sql.conditions import conditions_on
from maxlake.protocol.sql.duckdb_types import duckdb_type
from maxlake.protocol.sql.model import Query, TableScan
from maxlake.protocol.sql.names import SCANS
from maxlake.protocol.sql.parts import read_table_name
from maxlake.protocol.sql.places import PlacedDuckDB
from maxlake.protocol.sql.tree import placed, read_name, refuse
from maxlake.protocol.types.model import Kind, OdpsType, Simple
from maxlake.protocol.types.text import parse_type

_WHOLE = (Kind.TINYINT, Kind.SMALLINT, Kind.INT, Kind.BIGINT)
#: The nodes whose place in a query is a SELECT's.
QUERIES = (exp.Select, exp.Union, exp.Intersect, exp.Except, exp.Subquery, exp.Values)


def read_query(tree: object) -> Query:
    """Translate a query. Raises the parse error for whatever is not known in it."""
    if not isinstance(tree, QUERIES):
        refuse(tree, "Expecting a query")
    allowed.check(tree)
    tree = tree.copy()
    scans = _Tables().resolve(tree)
    translated = _translated(tree)
    text = translated.sql(dialect=PlacedDuckDB, comments=False, identify=True)
    return Query(tuple(scans), translated, text)


class _Tables:
    """Finds the tables a query reads, and gives each place a name of its own."""

    def __init__(self) -> None:
        self._scans: list[TableScan] = []

    def resolve(self, tree: exp.Expr) -> list[TableScan]:
        self._visit(tree, frozenset())
        return self._scans

    def _visit(self, node: exp.Expr, named: frozenset[str]) -> None:
        """Visit a node where ``named`` are the common table expressions it can see."""
        with_ = node.args.get("with_")
        if with_ is not None:
            for cte in with_.expressions:
                self._visit(cte.this, named)
                named |= {cte.alias.lower()}
        if isinstance(node, exp.Table):
            self._scan(node, named)
        for key, value in node.args.items():
            if key != "with_":
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, exp.Expr):
                        self._visit(child, named)

    def _scan(self, node: exp.Table, named: frozenset[str]) -> None:
        alias = node.args.get("alias")
        if node.args.get("db") is None and node.name.lower() in named:
            return
        bare = exp.Table(**{part: node.args.get(part) for part in ("this", "db", "catalog")})
        table = read_table_name(bare.copy())
        scan = f"scan_{len(self._scans)}"
        self._scans.append(TableScan(scan, table, conditions_on(node, alias.name if alias else table.name)))
        if alias is None:
            alias = exp.TableAlias(this=exp.to_identifier(table.name, quoted=True))
        node.args.clear()
        node.set("this", exp.to_identifier(scan))
        node.set("db", exp.to_identifier(SCANS))
        node.set("alias", alias)


def written_type(node: exp.DataType) -> OdpsType:
    """Return the type a CAST names."""
    if node.this is exp.DType.DATETIME:  # Hive has no such type
        return Simple(Kind.DATETIME)
    text = str(node.args.get("kind")) if node.this is exp.DType.USERDEFINED else node.sql(dialect="hive")
    with placed(node):
        return parse_type(text)


def _translated(tree: exp.Expr) -> exp.Expr:
    """Replace what DuckDB writes otherwise, from the leaves up."""
    for node in reversed(list(tree.walk())):
        translate = _TRANSLATIONS.get(type(node))
        if translate is None:
            continue
        found = translate(node)
        if found is not node:
            if node is tree:
                tree = found
            else:
                node.replace(found)
    return tree


def _call(node: exp.Anonymous) -> exp.Expr:
    if isinstance(node.parent, exp.Lateral) or node.find_ancestor(exp.Hint):
        return node  # a generator of rows, and what is no call at all
    name = str(node.this).lower()
    function = functions.FUNCTIONS.get(name)
    if function is None:
        refuse(node, f"Function {name[:64]} is not supported")
    arguments = cast("list[exp.Expr]", node.expressions)
    distinct = arguments[0] if arguments and isinstance(arguments[0], exp.Distinct) else None
    if distinct is not None:
        if not function.aggregates:
            refuse(node, f"DISTINCT is not supported in {name}")
        arguments = cast("list[exp.Expr]", distinct.expressions)
    if not function.fewest <= len(arguments) <= function.most:
        refuse(node, f"{name} takes {_counted(function)}, not {len(arguments)}")
    if distinct is not None and len(arguments) > 1 and name == "count":
        return functions.call("count", exp.Distinct(expressions=[_all_or_null(arguments)]))
    made = function.build(arguments)
    if distinct is not None:
        plain = made.this if isinstance(made, exp.Filter) else made
        first, *others = plain.expressions
        plain.set("expressions", [exp.Distinct(expressions=[first]), *others])
    return made


def _counted(function: functions.Function) -> str:
    if function.fewest == function.most:
        return f"{function.most} arguments"
    return f"{function.fewest} to {function.most} arguments"


def _all_or_null(arguments: Sequence[exp.Expr]) -> exp.Expr:
    """Return the tuple of the arguments, NULL if one of them is: such rows are not counted."""
    missing = exp.or_(*(exp.Is(this=a.copy(), expression=exp.Null()) for a in arguments))
    whole = exp.Tuple(expressions=[a.copy() for a in arguments])
    return exp.Case(ifs=[exp.If(this=missing, true=exp.Null())], default=whole)


def _cast(node: exp.Expr) -> exp.Expr:
    target = written_type(node.args["to"])
    value = node.this
    whole = isinstance(value, exp.Literal) and not value.is_string and value.name.isdigit()
    if not whole and isinstance(target, Simple) and target.kind in _WHOLE:
        value = functions.call("odps_whole", value)
    kind = exp.DataType(this=exp.DType.USERDEFINED, kind=duckdb_type(target))
    return exp.TryCast(this=value, to=kind)


def _divide(node: exp.Div) -> exp.Expr:
    """Dividing by zero gives NULL."""
    divisor = functions.call("nullif", node.expression, exp.Literal.number(0))
    return exp.Div(this=node.this, expression=divisor, typed=False, safe=False)


def _subscript(node: exp.Bracket) -> exp.Expr:
    """A whole number written out is a place in a list, counted from 0; all else is the key of a map."""
    (place,) = node.expressions
    if isinstance(place, exp.Literal) and not place.is_string:
        return functions.call("odps_item", node.this, place)
    return functions.call("map_extract_value", node.this, place)


def _like(node: exp.Expr) -> exp.Expr:
    """A backslash takes the meaning from what follows."""
    pattern = node.expression
    if isinstance(pattern, exp.Literal) and "\\" not in pattern.name:
        return node
    return exp.Escape(this=node.copy(), expression=exp.Literal.string("\\"))


def _select(node: exp.Select) -> exp.Expr:
    """Name what has no name, and turn Hive's clauses into standard ones."""
    if not node.expressions:
        refuse(node, "Expecting what to SELECT")
    for position, item in enumerate(node.expressions):
        if not isinstance(item, (exp.Alias, exp.Column, exp.Star)):
            node.expressions[position] = exp.alias_(item.copy(), f"_c{position}", quoted=True)
    node.set("expressions", list(node.expressions))
    for lateral in node.args.get("laterals") or []:
        node.append("joins", _exploded(lateral))
    node.set("laterals", None)
    for clause in ("hint", "cluster", "distribute"):
        node.set(clause, None)
    sort = node.args.get("sort")
    if sort is not None:
        if node.args.get("order") is None:
            node.set("order", exp.Order(expressions=sort.expressions))
        node.set("sort", None)
    return node


def _exploded(lateral: exp.Lateral) -> exp.Join:
    """Return LATERAL VIEW as a join with the rows a list or map has."""
    source = lateral.this
    name = str(source.this).lower() if isinstance(source, exp.Anonymous) else ""
    alias = lateral.args.get("alias")
    columns = [read_name(column, "column") for column in (alias.args.get("columns") or [])] if alias else []
    made = _GENERATORS.get((name, len(columns)))
    if made is None:
        refuse(lateral, "LATERAL VIEW takes explode or posexplode, and a name for each of its columns")
    (value,) = source.expressions or [None]
    if value is None:
        refuse(lateral, f"{name} takes 1 argument")
    items = [exp.alias_(item, column, quoted=True) for item, column in zip(made(value), columns, strict=True)]
    rows = exp.Subquery(
        this=exp.Select(expressions=items), alias=exp.TableAlias(this=alias.this if alias else None)
    )
    if lateral.args.get("outer"):
        return exp.Join(this=exp.Lateral(this=rows), side="LEFT", on=exp.true())
    return exp.Join(this=exp.Lateral(this=rows), kind="CROSS")


def _unnest(value: exp.Expr) -> exp.Expr:
    return functions.call("unnest", value)


def _places(value: exp.Expr) -> exp.Expr:
    place = functions.call("generate_subscripts", value.copy(), exp.Literal.number(1))
    return exp.Sub(this=place, expression=exp.Literal.number(1))


_GENERATORS: dict[tuple[str, int], Callable[[exp.Expr], list[exp.Expr]]] = {
    ("explode", 1): lambda value: [_unnest(value)],
    ("explode", 2): lambda value: [
        _unnest(functions.call("map_keys", value.copy())),
        _unnest(functions.call("map_values", value.copy())),
    ],
    ("posexplode", 2): lambda value: [_places(value), _unnest(value.copy())],
}


def _join(node: exp.Join) -> exp.Expr:
    if node.kind in ("SEMI", "ANTI"):
        node.set("side", None)
    return node


def _group(node: exp.Group) -> exp.Expr:
    """``GROUP BY a, b WITH ROLLUP`` is ``GROUP BY ROLLUP (a, b)``."""
    for clause in ("rollup", "cube"):
        for each in node.args.get(clause) or []:
            if not each.expressions:
                each.set("expressions", node.expressions)
                node.set("expressions", [])
    return node


def _order(node: exp.Ordered) -> exp.Expr:
    """NULL is the smallest value, also where DuckDB's generator takes it for the default."""
    if node.args.get("nulls_first") is None:
        node.set("nulls_first", not node.args.get("desc"))
    return node


def _trim(node: exp.Trim) -> exp.Expr:
    position = str(node.args.get("position") or "BOTH").upper()
    name = {"BOTH": "odps_trim", "LEADING": "odps_ltrim", "TRAILING": "odps_rtrim"}[position]
    characters = node.args.get("expression")
    return functions.call(name, node.this, *([characters] if characters else []))


def _extract(node: exp.Extract) -> exp.Expr:
    unit = exp.Literal.string(str(node.this.name).lower())
    return functions.call("odps_datepart", unit, node.expression)


_TRANSLATIONS: dict[type, Callable[[Any], exp.Expr]] = {
    exp.Anonymous: _call,
    exp.Cast: _cast,
    exp.TryCast: _cast,
    exp.Div: _divide,
    exp.Bracket: _subscript,
    exp.Like: _like,
    exp.Select: _select,
    exp.Join: _join,
    exp.Group: _group,
    exp.Ordered: _order,
    exp.Trim: _trim,
    exp.Extract: _extract,
}
