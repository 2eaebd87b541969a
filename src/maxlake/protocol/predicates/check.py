"""A sqlglot tree to a typed tree, by an allow-list: a node or argument that is not read here is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from sqlglot import exp

from maxlake.protocol.errors import BadRequestError
from maxlake.protocol.limits import MAX_PREDICATE_OPTIONS
from maxlake.protocol.predicates import arithmetic, functions
from maxlake.protocol.predicates.comparisons import among, between, compare, is_truth
from maxlake.protocol.predicates.conversions import (
    BOOLEAN,
    STRING,
    check_cast,
    convert,
    settle,
)
from maxlake.protocol.predicates.errors import Mistake, refusal
from maxlake.protocol.predicates.grammar import SuffixedNumber, TextCast, TypedLiteral
from maxlake.protocol.predicates.literals import PlainNull, exact_type, plain_number
from maxlake.protocol.predicates.patterns import check_like, check_pattern
from maxlake.protocol.predicates.tree import (
    And,
    ColumnValue,
    Comparator,
    Expression,
    IsNull,
    Like,
    Literal,
    Not,
    Or,
    RegexpLike,
)
from maxlake.protocol.types.model import Kind, OdpsType, Simple
from maxlake.protocol.types.text import parse_type

_COMPARATORS: dict[type[exp.Expr], Comparator] = {
    exp.EQ: Comparator.EQUAL,
    exp.NEQ: Comparator.NOT_EQUAL,
    exp.LT: Comparator.LESS,
    exp.LTE: Comparator.LESS_EQUAL,
    exp.GT: Comparator.GREATER,
    exp.GTE: Comparator.GREATER_EQUAL,
    exp.NullSafeEQ: Comparator.NULL_SAFE_EQUAL,
}
_SUFFIXES = {"L": Kind.BIGINT, "S": Kind.SMALLINT, "Y": Kind.TINYINT}
_NAMES_SHOWN = 20

Arithmetic = Callable[[Expression, Expression], Expression]
_ARITHMETIC: dict[type[exp.Expr], Arithmetic] = {
    exp.Add: lambda left, right: arithmetic.add("add", left, right),
    exp.Sub: lambda left, right: arithmetic.add("subtract", left, right),
    exp.Mul: arithmetic.multiply,
    exp.Div: arithmetic.divide,
    exp.IntDiv: arithmetic.div,
    exp.Mod: arithmetic.mod,
    exp.DPipe: lambda left, right: arithmetic.concatenate([left, right]),
}


class Checker:
    """Types one predicate. ``columns`` are by their names in lower case."""

    def __init__(self, text: str, columns: Mapping[str, ColumnValue]) -> None:
        self._text = text
        self._columns = columns

    def condition(self, node: object) -> Expression:
        """Return the typed condition at ``node``. Raises InvalidArgument, with the place in the text."""
        return self._at(node, lambda: functions.condition(self.expression(node)))

    def expression(self, node: object) -> Expression:
        """Return the typed expression at ``node``. Raises InvalidArgument, with the place in the text."""
        return self._at(node, lambda: self._read(node))

    def _at(self, node: object, build: Callable[[], Expression]) -> Expression:
        try:
            return build()
        except Mistake as mistake:
            raise refusal(self._text, _start(node), str(mistake)) from mistake

    def _read(self, node: object) -> Expression:
        kind: Any = type(node)
        if kind in _COMPARATORS:
            left, right = self._both(node)
            return compare(_COMPARATORS[kind], left, right)
        if kind in _ARITHMETIC:
            left, right = self._both(node)
            return _ARITHMETIC[kind](left, right)
        reader = self._READERS.get(kind)
        if reader is None:
            raise Mistake(f"{kind.__name__} is not supported in a predicate")
        return reader(self, node)

    def _both(self, node: Any) -> tuple[Expression, Expression]:
        # What sqlglot says of '/' and '||' between dialects is about dialects, not about this text.
        marks = {exp.Div: ("typed", "safe"), exp.DPipe: ("safe",)}
        args = understood(node, "this", "expression", *marks.get(type(node), ()))
        return self.expression(args["this"]), self.expression(args["expression"])

    def _paren(self, node: exp.Expr) -> Expression:
        return self.expression(understood(node, "this")["this"])

    def _connected(self, node: exp.Expr) -> Expression:
        kind = type(node)
        operands: list[Expression] = []
        pending: list[object] = [node]
        while pending:
            part = pending.pop()
            inner = part
            while type(inner) is exp.Paren:
                inner = understood(inner, "this")["this"]
            if type(inner) is kind:
                args = understood(inner, "this", "expression")
                pending += (args["expression"], args["this"])
                continue
            operands.append(self.condition(part))
            if len(operands) > MAX_PREDICATE_OPTIONS:
                raise Mistake(f"More than {MAX_PREDICATE_OPTIONS} conditions side by side")
        return And(tuple(operands)) if kind is exp.And else Or(tuple(operands))

    def _not(self, node: exp.Expr) -> Expression:
        return Not(self.condition(understood(node, "this")["this"]))

    def _is(self, node: exp.Expr) -> Expression:
        args = understood(node, "this", "expression")
        operand, right = self.expression(args["this"]), args["expression"]
        if type(right) is exp.Null:
            return IsNull(settle(operand))
        return is_truth(operand, bool(understood(right, "this", kind=exp.Boolean)["this"]))

    def _in(self, node: exp.Expr) -> Expression:
        args = understood(node, "this", "expressions")
        if len(args["expressions"]) > MAX_PREDICATE_OPTIONS:
            raise Mistake(f"IN has more than {MAX_PREDICATE_OPTIONS} values")
        operand = self.expression(args["this"])
        return among(operand, [self.expression(option) for option in args["expressions"]])

    def _between(self, node: exp.Expr) -> Expression:
        args = understood(node, "this", "low", "high")
        return And(between(*(self.expression(args[name]) for name in ("this", "low", "high"))))

    def _like(self, node: exp.Expr, escape: str = "\\") -> Expression:
        args = understood(node, "this", "expression")
        pattern = functions.constant_text(self.expression(args["expression"]), "The pattern of LIKE")
        return Like(
            arithmetic.text(self.expression(args["this"]), "LIKE"), check_like(pattern, escape), escape
        )

    def _escaped(self, node: exp.Expr) -> Expression:
        args = understood(node, "this", "expression")
        escape = functions.constant_text(self.expression(args["expression"]), "ESCAPE")
        return self._like(args["this"], escape)

    def _rlike(self, node: exp.Expr) -> Expression:
        args = understood(node, "this", "expression")
        pattern, _ = check_pattern(
            functions.constant_text(self.expression(args["expression"]), "The regular expression")
        )
        return RegexpLike(arithmetic.text(self.expression(args["this"]), "RLIKE"), pattern)

    def _case(self, node: exp.Expr) -> Expression:
        args = understood(node, "this", "ifs", "default")
        branches: list[tuple[Expression, Expression]] = []
        subject = self.expression(args["this"]) if args.get("this") else None
        for branch in args["ifs"]:
            parts = understood(branch, "this", "true", kind=exp.If)
            if subject is None:
                test = self.condition(parts["this"])
            else:
                test = compare(Comparator.EQUAL, subject, self.expression(parts["this"]))
            branches.append((test, self.expression(parts["true"])))
        default = args.get("default")
        return functions.case(branches, PlainNull() if default is None else self.expression(default))

    def _cast(self, node: exp.Expr) -> Expression:
        args = understood(node, "this", "kind")
        operand = self.expression(args["this"])
        target = _type(str(args["kind"]))
        if not isinstance(operand, PlainNull):
            check_cast(operand.type, target)
        return convert(operand, target)

    def _typed_literal(self, node: exp.Expr) -> Expression:
        args = understood(node, "this", "kind")
        text = understood(args["this"], "this", "is_string", kind=exp.Literal)["this"]
        t = Simple(Kind(str(args["kind"]).lower()))
        found = convert(Literal(text, STRING), t)
        if isinstance(found, Literal) and found.value is not None:
            return found
        raise Mistake(f"{text[:40]!r} is no {t}: write 'yyyy-mm-dd' or 'yyyy-mm-dd hh:mi:ss[.fffffffff]'")

    def _suffixed(self, node: exp.Expr) -> Expression:
        args = understood(node, "this", "kind")
        number = plain_number(understood(args["this"], "this", "is_string", kind=exp.Literal)["this"])
        suffix = str(args["kind"])
        t = exact_type(number.value) if suffix == "BD" else Simple(_SUFFIXES[suffix])
        found = None if t is None else convert(number, t)
        whole = number.value == number.value.to_integral_value()
        if isinstance(found, Literal) and found.value is not None and (suffix == "BD" or whole):
            return found
        raise Mistake(f"{number.value}{suffix} is out of range")

    def _literal(self, node: exp.Expr) -> Expression:
        args = understood(node, "this", "is_string")
        return Literal(args["this"], STRING) if args["is_string"] else plain_number(args["this"])

    def _boolean(self, node: exp.Expr) -> Expression:
        return Literal(bool(understood(node, "this").get("this")), BOOLEAN)

    def _null(self, node: exp.Expr) -> Expression:
        understood(node)
        return PlainNull()

    def _negated(self, node: exp.Expr) -> Expression:
        return arithmetic.negate(self.expression(understood(node, "this")["this"]))

    def _column(self, node: exp.Expr) -> Expression:
        identifier = understood(node, "this")["this"]
        name = str(understood(identifier, "this", "quoted", kind=exp.Identifier)["this"])
        found = self._columns.get(name.lower())
        if found is None:
            names = [column.name for column in self._columns.values()]
            more = ", …" if len(names) > _NAMES_SHOWN else ""
            raise Mistake(f"No column {name[:128]!r}; there are {', '.join(names[:_NAMES_SHOWN])}{more}")
        return found

    def _call(self, node: exp.Expr) -> Expression:
        args = understood(node, "this", "expressions")
        name = str(args["this"])
        functions.find(name)
        return functions.call(name, [self.expression(argument) for argument in args["expressions"]])

    _READERS: ClassVar[dict[type[exp.Expr], Callable[[Checker, Any], Expression]]] = {
        exp.Paren: _paren,
        exp.And: _connected,
        exp.Or: _connected,
        exp.Not: _not,
        exp.Is: _is,
        exp.In: _in,
        exp.Between: _between,
        exp.Like: _like,
        exp.Escape: _escaped,
        exp.RegexpLike: _rlike,
        exp.Case: _case,
        TextCast: _cast,
        TypedLiteral: _typed_literal,
        SuffixedNumber: _suffixed,
        exp.Literal: _literal,
        exp.Boolean: _boolean,
        exp.Null: _null,
        exp.Neg: _negated,
        exp.Column: _column,
        exp.Anonymous: _call,
    }


def understood(node: Any, *names: str, kind: type[exp.Expr] | None = None) -> dict[str, Any]:
    """Return a node's arguments if it has no others than these. Raises :class:`Mistake`."""
    if kind is not None and type(node) is not kind:
        raise Mistake(f"{type(node).__name__} is not supported here")
    args: dict[str, Any] = node.args
    for name, value in args.items():
        if name not in names and value not in (None, False, [], ""):
            raise Mistake(f"{name.upper()} is not supported in {type(node).__name__}")
    return args


def _type(text: str) -> OdpsType:
    try:
        return parse_type(text)
    except BadRequestError as error:
        raise Mistake(str(error)) from error


def _start(node: object) -> int:
    if isinstance(node, exp.Expr):
        for part in node.find_all(exp.Expr, bfs=False):
            if "start" in part.meta:
                return int(part.meta["start"])
    return 0
