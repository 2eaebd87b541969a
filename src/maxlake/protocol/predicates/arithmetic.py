"""Arithmetic: what each operator computes with. What has no result (overflow, division by 0) is NULL."""

from __future__ import annotations

from decimal import Decimal as Number

from maxlake.protocol.predicates.conversions import (
    BIGINT,
    DOUBLE,
    STRING,
    Family,
    common_number,
    common_type,
    convert,
    digits,
    family,
    is_exact,
    is_integer,
    settle,
)
from maxlake.protocol.predicates.errors import Mistake
from maxlake.protocol.predicates.literals import (
    PlainNull,
    PlainNumber,
    exact_type,
    number_in_text,
    plain_number,
)
from maxlake.protocol.predicates.tree import Call, Expression, Literal
from maxlake.protocol.types.model import Decimal, OdpsType

_MAX_DIGITS = 38


def number(expression: Expression, what: str) -> Expression:
    """Return an operand that is a number; text is read as a double. Raises :class:`Mistake` for others."""
    if isinstance(expression, PlainNull):
        return Literal(None, BIGINT)
    if family(expression.type) is Family.NUMBER:
        return expression
    if family(expression.type) is Family.TEXT:
        if isinstance(expression, Literal) and isinstance(expression.value, str):
            return number_in_text(expression.value)
        return convert(expression, DOUBLE)
    raise Mistake(f"{what} needs a number, not {expression.type}")


def _operands(left: Expression, right: Expression, what: str) -> tuple[Expression, Expression, OdpsType]:
    """Return two numbers with the type that holds both: bigint for integers, so that little overflows."""
    left, right = number(left, what), number(right, what)
    t = common_type(left, right)
    return left, right, BIGINT if is_integer(t) else t


def add(function: str, left: Expression, right: Expression) -> Expression:
    """Return ``add`` or ``subtract``: bigint, decimal with room for the carry, or double."""
    left, right, t = _operands(left, right, "'+'" if function == "add" else "'-'")
    if isinstance(t, Decimal):
        whole, scale = digits(t)
        t = Decimal(min(_MAX_DIGITS, whole + scale + 1), scale)
    return Call(function, (convert(left, t), convert(right, t)), t)


def multiply(left: Expression, right: Expression) -> Expression:
    """Return ``multiply``: bigint, the decimal of all digits (double if over 38), or double."""
    left, right, t = _operands(left, right, "'*'")
    if not isinstance(t, Decimal):
        return Call("multiply", (convert(left, t), convert(right, t)), t)
    left, right = _as_decimal(left), _as_decimal(right)
    precision, scale = (sum(pair) for pair in zip(_digits(left), _digits(right), strict=True))
    if precision > _MAX_DIGITS:
        return Call("multiply", (convert(left, DOUBLE), convert(right, DOUBLE)), DOUBLE)
    return Call("multiply", (left, right), Decimal(precision, scale))


def _as_decimal(operand: Expression) -> Expression:
    if isinstance(operand, PlainNumber):
        t = exact_type(operand.value)
        assert t is not None  # else the operands were doubles
        return convert(operand, t)
    return operand if isinstance(operand.type, Decimal) else convert(operand, Decimal(*_whole(operand.type)))


def _whole(t: OdpsType) -> tuple[int, int]:
    whole, scale = digits(t)
    return whole + scale, scale


def _digits(operand: Expression) -> tuple[int, int]:
    assert isinstance(operand.type, Decimal)
    return operand.type.digits


def divide(left: Expression, right: Expression) -> Expression:
    """Return ``divide``: always in double, and double."""
    left, right, _ = _operands(left, right, "'/'")
    return Call("divide", (convert(left, DOUBLE), convert(right, DOUBLE)), DOUBLE)


def div(left: Expression, right: Expression) -> Expression:
    """Return ``div``: of integers, cut towards 0, bigint."""
    left, right, t = _operands(left, right, "DIV")
    if t != BIGINT:
        raise Mistake(f"DIV needs integers, not {left.type} and {right.type}")
    return Call("div", (convert(left, t), convert(right, t)), t)


def mod(left: Expression, right: Expression) -> Expression:
    """Return ``mod``: the rest with the sign of the dividend, of the operands' common type."""
    left, right, t = _operands(left, right, "'%'")
    return Call("mod", (convert(left, t), convert(right, t)), t)


def negate(operand: Expression) -> Expression:
    """Return ``negate``: bigint, the same decimal, or double; of a literal, the literal."""
    if isinstance(operand, PlainNumber):
        return plain_number(_negated(operand.value, operand.type))
    operand = number(operand, "'-'")
    if isinstance(operand, Literal) and isinstance(operand.value, int | Number) and is_exact(operand.type):
        return convert(PlainNumber(-Number(operand.value), operand.type), operand.type)
    t = BIGINT if is_integer(operand.type) else common_number(operand.type, operand.type)
    return Call("negate", (convert(settle(operand), t),), t)


def _negated(value: Number, t: OdpsType) -> str:
    # As text: whether it is whole decides its natural type.
    text = str(-value) if value else str(value)
    return f"{text}e0" if t == DOUBLE and text.lstrip("-").isdigit() else text


def concatenate(arguments: list[Expression]) -> Expression:
    """Return ``concat`` of two or more texts or integers: NULL where one is."""
    return Call("concat", tuple(text(argument, "concat") for argument in arguments), STRING)


def text(expression: Expression, what: str) -> Expression:
    """Return an operand that is text; integers are written in digits. Raises :class:`Mistake` for others."""
    kind = family(expression.type)
    if isinstance(expression, PlainNull) or kind is Family.TEXT or is_integer(expression.type):
        return convert(settle(expression) if not isinstance(expression, PlainNull) else expression, STRING)
    raise Mistake(f"{what} needs a string, not {expression.type}; write a CAST")
