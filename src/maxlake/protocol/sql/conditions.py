"""What a query says of the rows of one table it reads: predicates for pruning files.

Only what no row that matters can fail: conditions of WHERE on tables no outer join fills with NULLs, and
those of ON about the joined table alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp
from sqlglot.dialects.hive import Hive

#: What may stand in a condition beside columns of the table.
_REFUSED = (exp.Query, exp.Window, exp.Anonymous, exp.Lambda, exp.Interval)


def conditions_on(table: exp.Table, name: str) -> tuple[str, ...]:
    """Return conditions that rows of ``table`` fulfil, ``name`` being what its columns are qualified by."""
    parent = table.parent
    if not isinstance(parent, (exp.From, exp.Join)):
        return ()
    select = parent.parent
    if not isinstance(select, exp.Select):
        return ()
    joins: list[exp.Join] = select.args.get("joins") or []
    if any(join.side in ("RIGHT", "FULL") for join in joins):
        return ()
    found: list[exp.Expr] = []
    if isinstance(parent, exp.Join):
        found += _conjuncts(parent.args.get("on"))
    if isinstance(parent, exp.From) or (parent.side != "LEFT" and parent.kind not in ("SEMI", "ANTI")):
        where = select.args.get("where")
        found += _conjuncts(where.this if where else None)
    alone = not joins and not select.args.get("laterals")
    texts = (_condition(node, name, alone=alone) for node in found)
    return tuple(text for text in texts if text is not None)


def _conjuncts(node: exp.Expr | None) -> Iterator[exp.Expr]:
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.And):
        yield from _conjuncts(node.this)
        yield from _conjuncts(node.expression)
    elif node is not None:
        yield node


def _condition(node: exp.Expr, name: str, *, alone: bool) -> str | None:
    """Return a condition with bare names, None if it is about more than this table.

    Where the table is not ``alone``, a column without a qualifier may be another's.
    """
    if node.find(*_REFUSED) is not None:
        return None
    node = node.copy()
    for column in list(node.find_all(exp.Column)):
        qualifier = column.table.lower()
        if column.args.get("db") or (qualifier != name.lower() if qualifier else not alone):
            return None
        column.set("table", None)
    return node.sql(dialect=Hive, comments=False)
