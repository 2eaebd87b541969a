"""UPDATE, DELETE and MERGE: the query whose rows replace, delete and add those of a table with a primary key.

Its columns are the table's, and last what is to become of each row (``__operation``, wire.md §10).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from sqlglot import exp

from maxlake.protocol.columns import OPERATION_COLUMN
from maxlake.protocol.enums import Operation
from maxlake.protocol.sql.model import Change, Query
from maxlake.protocol.sql.names import AMBIGUOUS_OPERATION
from maxlake.protocol.sql.parts import read_table_name, refuse_repeated
from maxlake.protocol.sql.query import read_query
from maxlake.protocol.sql.tree import children, read, read_name, refuse

#: What says of a row of MERGE that the table has it; no column is called so.
_MATCHED = "__matched"
_MERGED = "merged"
_Values = dict[str, exp.Expr]
#: When a branch of MERGE applies, what becomes of the row, and the values it has then.
_Branch = tuple[exp.Expr, Operation, Callable[[Sequence[str]], _Values]]


def read_change(tree: exp.Update | exp.Delete | exp.Merge) -> Change:
    """Return the statement an UPDATE, DELETE or MERGE is."""
    understood = {
        exp.Update: ("this", "expressions", "where"),
        exp.Delete: ("this", "where"),
        exp.Merge: ("this", "using", "on", "whens"),
    }[type(tree)]
    read(tree, type(tree), *understood)
    target = read(tree.this, exp.Table, "this", "db", "catalog", "alias")
    if isinstance(tree, exp.Update):
        _assigned(tree)
    bare = exp.Table(**{part: target.args.get(part) for part in ("this", "db", "catalog")})
    return Change(read_table_name(bare.copy()), tree)


def changed_columns(change: Change) -> set[str]:
    """Return the columns, in lower case, that UPDATE or MERGE gives new values to in rows that exist."""
    updates = [change.tree, *(each for each in change.tree.find_all(exp.Update))]
    return {name for each in updates if isinstance(each, exp.Update) for name in _assigned(each)}


def rows_of(change: Change, columns: Sequence[str], keys: Sequence[str]) -> Query:
    """Return the query of a change of a table with these columns, of which ``keys`` tell rows apart.

    Rows that MERGE would change more than once have ``AMBIGUOUS_OPERATION``. Raises the parse errors of
    queries.
    """
    tree = change.tree
    table = tree.this.copy()
    if table.args.get("alias") is None:
        table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name, quoted=True)))
    if isinstance(tree, exp.Merge):
        return read_query(_unambiguous(_merged(tree, table, columns), columns, keys))
    values = _kept(table.alias, columns)
    operation = Operation.DELETE
    if isinstance(tree, exp.Update):
        operation = Operation.UPSERT
        values |= _known(tree, _assigned(tree), columns)
    select = exp.select(*_items(values, exp.Literal.number(operation.value))).from_(table)
    where = tree.args.get("where")
    return read_query(select.where(where.this.copy()) if where else select)


def _unambiguous(merged: exp.Select, columns: Sequence[str], keys: Sequence[str]) -> exp.Select:
    """Return what becomes of the rows of MERGE, those that nothing becomes of left out."""
    rows = exp.Subquery(this=merged, alias=exp.TableAlias(this=exp.to_identifier(_MERGED)))
    values = _kept(_MERGED, columns)
    matched, operation = (exp.column(name, _MERGED, quoted=True) for name in (_MATCHED, OPERATION_COLUMN))
    sources = exp.Window(
        this=exp.Anonymous(this="count", expressions=[exp.Star()]),
        partition_by=[matched.copy(), *(values[key.lower()].copy() for key in keys)],
    )
    several = exp.And(this=matched, expression=exp.GT(this=sources, expression=exp.Literal.number(1)))
    refused = exp.Neg(this=exp.Literal.number(-AMBIGUOUS_OPERATION))
    told = exp.Case(ifs=[exp.If(this=several, true=refused)], default=operation.copy())
    chosen = exp.Not(this=exp.Is(this=operation, expression=exp.Null()))
    return exp.select(*_items(values, told)).from_(rows).where(chosen)


def _items(values: _Values, operation: exp.Expr) -> list[exp.Expr]:
    named = [*values.items(), (OPERATION_COLUMN, operation)]
    return [exp.alias_(value, name, quoted=True) for name, value in named]


def _kept(alias: str, columns: Sequence[str]) -> _Values:
    return {name.lower(): exp.column(name, alias, quoted=True) for name in columns}


def _assigned(update: exp.Update) -> _Values:
    """Return the new values of SET, by column in lower case."""
    pairs: list[tuple[str, exp.Expr]] = []
    for item in children(update):
        equation = read(item, exp.EQ, "this", "expression")
        column = equation.this
        name = column.this if isinstance(column, exp.Column) else column
        pairs.append((read_name(name, "column").lower(), equation.expression))
    refuse_repeated(update, [name for name, _ in pairs])
    return {name: value.copy() for name, value in pairs}


def _known(node: exp.Expr, values: _Values, columns: Sequence[str]) -> _Values:
    unknown = set(values) - {name.lower() for name in columns}
    if unknown:
        refuse(node, f"The table has no column {sorted(unknown)[0]}")
    return values


def _merged(tree: exp.Merge, table: exp.Table, columns: Sequence[str]) -> exp.Select:
    """Return what becomes of each row of the source, NULL if nothing does, and whether it is matched."""
    branches = list(_branches(tree, table.alias))
    alias = table.args["alias"]
    marked = exp.select(exp.Star(), exp.alias_(exp.true(), _MATCHED)).from_(_bare(table))
    target = exp.Subquery(this=marked, alias=alias)
    values: dict[str, list[exp.If]] = {name.lower(): [] for name in columns}
    operations: list[exp.If] = []
    for condition, operation, given in branches:
        operations.append(exp.If(this=condition, true=exp.Literal.number(operation.value)))
        row = _known(tree, given(columns), columns)
        for name, cases in values.items():
            cases.append(exp.If(this=condition.copy(), true=row.get(name) or exp.Null()))
    found: _Values = {name: exp.Case(ifs=cases) for name, cases in values.items()}
    items = [*_items(found, exp.Case(ifs=operations)), exp.column(_MATCHED, table.alias)]
    select = exp.select(*items).from_(tree.args["using"].copy())
    return select.join(target, on=tree.args["on"].copy(), join_type="left")


def _bare(table: exp.Table) -> exp.Table:
    return exp.Table(**{part: table.args.get(part) for part in ("this", "db", "catalog")})


def _branches(tree: exp.Merge, alias: str) -> Iterator[_Branch]:
    matched = exp.column(_MATCHED, alias)
    for item in children(read(tree.args.get("whens"), exp.Whens, "expressions")):
        when = read(item, exp.When, "matched", "condition", "then")
        is_matched = bool(when.args.get("matched"))
        known = exp.Is(this=matched.copy(), expression=exp.Null())
        condition: exp.Expr = exp.Not(this=known) if is_matched else known
        extra = when.args.get("condition")
        if extra is not None:
            condition = exp.And(this=condition, expression=exp.Paren(this=extra.copy()))
        then = when.args.get("then")
        if isinstance(then, exp.Update) and is_matched:
            values = _assigned(read(then, exp.Update, "expressions"))
            yield condition, Operation.UPSERT, lambda columns, new=values: _kept(alias, columns) | new
        elif isinstance(then, exp.Var) and then.name.upper() == "DELETE" and is_matched:
            yield condition, Operation.DELETE, lambda columns: _kept(alias, columns)
        elif isinstance(then, exp.Insert) and not is_matched:
            yield condition, Operation.UPSERT, _inserted(read(then, exp.Insert, "this", "expression"))
        else:
            refuse(tree, "MERGE takes UPDATE or DELETE of what is matched, INSERT of what is not")


def _inserted(insert: exp.Insert) -> Callable[[Sequence[str]], _Values]:
    values = children(read(insert.expression, exp.Tuple, "expressions"))
    names = [read_name(item, "column").lower() for item in children(insert.this)] if insert.this else None

    def row(columns: Sequence[str]) -> _Values:
        given = names or [name.lower() for name in columns]
        if len(given) != len(values):
            refuse(insert, f"{len(values)} values are given for {len(given)} columns")
        return {
            name: value.copy()
            for name, value in zip(given, values, strict=True)
            if isinstance(value, exp.Expr)
        }

    return row
