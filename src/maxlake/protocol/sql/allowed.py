"""What a query may be made of: every kind of node, with the arguments of it that are understood."""

from __future__ import annotations

from sqlglot import exp

from maxlake.protocol.limits import MAX_SQL_NESTING
from maxlake.protocol.sql.tree import parse_error, read, refuse

_QUERY = ("with_", "order", "limit", "offset")
_BINARY = ("this", "expression")
_BINARY_OPERATORS: tuple[type[exp.Expr], ...] = (
    *(exp.And, exp.Or, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.Is),
    *(exp.Add, exp.Sub, exp.Mul, exp.IntDiv, exp.Mod, exp.RegexpLike),
    *(exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseXor, exp.BitwiseLeftShift, exp.BitwiseRightShift),
)

_ALLOWED: dict[type[exp.Expr], tuple[str, ...]] = {
    # -- queries
    exp.Select: (
        *_QUERY,
        *("expressions", "from_", "joins", "laterals", "where", "group", "having", "qualify", "distinct"),
        *("windows", "hint", "sort", "cluster", "distribute"),
    ),
    exp.Union: (*_QUERY, "this", "expression", "distinct"),
    exp.Intersect: (*_QUERY, "this", "expression", "distinct"),
    exp.Except: (*_QUERY, "this", "expression", "distinct"),
    exp.Subquery: (*_QUERY, "this", "alias"),
    exp.Values: ("expressions", "alias", "order", "limit"),
    exp.With: ("expressions",),
    exp.CTE: ("this", "alias"),
    exp.From: ("this",),
    exp.Join: ("this", "on", "side", "kind", "using"),
    exp.Lateral: ("this", "view", "outer", "alias"),
    exp.Table: ("this", "db", "catalog", "alias"),
    exp.TableAlias: ("this", "columns"),
    exp.Where: ("this",),
    exp.Group: ("expressions", "grouping_sets", "rollup", "cube"),
    exp.GroupingSets: ("expressions",),
    exp.Rollup: ("expressions",),
    exp.Cube: ("expressions",),
    exp.Having: ("this",),
    exp.Qualify: ("this",),
    exp.Distinct: ("expressions",),
    exp.Order: ("expressions",),
    exp.Ordered: ("this", "desc", "nulls_first"),
    exp.Sort: ("expressions",),
    exp.Cluster: ("expressions",),
    exp.Distribute: ("expressions",),
    exp.Limit: ("expression",),
    exp.Offset: ("expression",),
    exp.Hint: ("expressions",),
    # -- names and values
    exp.Identifier: ("this", "quoted"),
    exp.Column: ("this", "table", "db", "catalog"),
    exp.Dot: _BINARY,
    exp.Star: ("except_",),
    exp.Alias: ("this", "alias"),
    exp.Literal: ("this", "is_string"),
    exp.Boolean: ("this",),
    exp.Null: (),
    exp.Tuple: ("expressions",),
    exp.Paren: ("this",),
    exp.Interval: ("this", "unit"),
    exp.Var: ("this",),
    exp.Concat: ("expressions",),
    # -- expressions
    **dict.fromkeys(_BINARY_OPERATORS, _BINARY),
    exp.Div: (*_BINARY, "typed", "safe"),
    exp.DPipe: (*_BINARY, "safe"),
    exp.Like: (*_BINARY, "negate"),
    exp.Escape: _BINARY,
    exp.Not: ("this",),
    exp.Neg: ("this",),
    exp.BitwiseNot: ("this",),
    exp.Between: ("this", "low", "high"),
    exp.In: ("this", "expressions", "query"),
    exp.Exists: ("this",),
    exp.All: ("this",),
    exp.Any: ("this",),
    exp.Case: ("this", "ifs", "default"),
    exp.If: ("this", "true", "false"),
    exp.Cast: ("this", "to"),
    exp.TryCast: ("this", "to"),
    exp.DataType: ("this", "kind", "nested", "expressions"),
    exp.DataTypeParam: ("this",),
    exp.Bracket: ("this", "expressions"),
    exp.Lambda: ("this", "expressions"),
    # -- calls
    exp.Anonymous: ("this", "expressions"),
    exp.Extract: ("this", "expression"),
    exp.Trim: ("this", "expression", "position"),
    exp.Window: ("this", "partition_by", "order", "spec", "over", "alias"),
    exp.WindowSpec: ("kind", "start", "start_side", "end", "end_side"),
    exp.IgnoreNulls: ("this",),
    exp.RespectNulls: ("this",),
    exp.Filter: ("this", "expression"),
    exp.WithinGroup: ("this", "expression"),
}


def check(tree: exp.Expr) -> None:
    """Raise the parse error at the first node, or argument of one, that is not known.

    So for queries nested deeper than ``MAX_SQL_NESTING``.
    """
    waiting = [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        if depth > MAX_SQL_NESTING:
            raise parse_error(f"The statement is nested deeper than {MAX_SQL_NESTING} levels")
        understood = _ALLOWED.get(type(node))
        if understood is None:
            refuse(node, f"{type(node).__name__} is not supported in a query")
        read(node, type(node), *understood)
        waiting.extend((child, depth + 1) for child in node.iter_expressions())
