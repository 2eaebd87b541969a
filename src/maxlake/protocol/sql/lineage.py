"""Which declared types the columns of a query have, where they are columns of tables as they are.

DuckDB has one type for json, char(n) and string, one for timestamp and timestamp_ntz: what a column was
declared as is followed through subqueries, common table expressions and set operations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlglot import exp

from maxlake.protocol.sql.model import Query
from maxlake.protocol.sql.names import SCANS
from maxlake.protocol.types.model import OdpsType

#: Name (in lower case) and type of a column, None for one that is computed.
_Column = tuple[str, OdpsType | None]
_Columns = Sequence[_Column]
_Named = Mapping[str, _Columns]


def declared_types(
    query: Query, scans: Mapping[str, Sequence[tuple[str, OdpsType]]]
) -> list[OdpsType | None]:
    """Return the declared type of each column of a query, None for computed ones.

    ``scans`` has name and type of the columns of every scan. A list of another length than the query's
    columns means that they could not be followed.
    """
    known = {f"{SCANS}.{scan}": [(name.lower(), t) for name, t in columns] for scan, columns in scans.items()}
    return [t for _, t in _of_query(query.tree, known)]


def _of_query(node: exp.Expr, named: _Named) -> _Columns:
    with_ = node.args.get("with_")
    if with_ is not None:
        named = dict(named)
        for cte in with_.expressions:
            named[cte.alias.lower()] = _renamed(_of_query(cte.this, named), cte.args.get("alias"))
    match node:
        case exp.Select():
            return _of_select(node, named)
        case exp.SetOperation():
            left, right = _of_query(node.this, named), _of_query(node.expression, named)
            pairs = zip(left, right, strict=False)
            return [(name, t if t == other else None) for (name, t), (_, other) in pairs]
        case exp.Subquery():
            return _of_query(node.this, named)
        case exp.Values():
            rows = node.expressions
            return [("", None)] * (len(rows[0].expressions) if rows and isinstance(rows[0], exp.Tuple) else 1)
        case _:
            return []


def _renamed(columns: _Columns, alias: object) -> _Columns:
    names = alias.args.get("columns") or [] if isinstance(alias, exp.TableAlias) else []
    renamed = [(name.name.lower(), t) for name, (_, t) in zip(names, columns, strict=False)]
    return [*renamed, *columns[len(renamed) :]]


def _of_select(node: exp.Select, named: _Named) -> _Columns:
    sources: dict[str, _Columns] = {}
    from_ = node.args.get("from_")
    joins: list[exp.Join] = node.args.get("joins") or []
    hidden = [join for join in joins if join.kind in ("SEMI", "ANTI")]
    for source in [from_, *(join for join in joins if join not in hidden)]:
        if source is not None:
            name, columns = _of_source(source.this, named)
            sources[name or f"?{len(sources)}"] = columns
    using = any(join.args.get("using") for join in joins)
    found: list[_Column] = []
    for item in node.expressions:
        value = item.this if isinstance(item, exp.Alias) else item
        star = value.this if isinstance(value, exp.Column) else value
        if isinstance(star, exp.Star):
            if using:
                return []
            table = value.table.lower() if isinstance(value, exp.Column) else ""
            left_out = {each.name.lower() for each in star.args.get("except_") or []}
            chosen = [sources.get(table, ())] if table else list(sources.values())
            found += [column for columns in chosen for column in columns if column[0] not in left_out]
        else:
            found.append((item.alias_or_name.lower(), _of_value(value, sources)))
    return found


def _of_source(node: exp.Expr, named: _Named) -> tuple[str, _Columns]:
    if isinstance(node, exp.Lateral):
        node = node.this
    alias = node.args.get("alias")
    if isinstance(node, exp.Table):
        name = f"{SCANS}.{node.name}" if node.args.get("db") else node.name.lower()
        return (alias.name if alias else node.name).lower(), _renamed(named.get(name, ()), alias)
    return (alias.name.lower() if alias else ""), _renamed(_of_query(node, named), alias)


def _of_value(node: exp.Expr, sources: Mapping[str, _Columns]) -> OdpsType | None:
    while isinstance(node, exp.Paren):
        node = node.this
    if not isinstance(node, exp.Column) or node.args.get("db"):
        return None
    name, table = node.name.lower(), node.table.lower()
    chosen = [sources.get(table, ())] if table else sources.values()
    found = [t for columns in chosen for column, t in columns if column == name]
    return found[0] if len(found) == 1 else None
