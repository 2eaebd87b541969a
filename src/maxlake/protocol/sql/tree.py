"""Reading sqlglot trees without overlooking anything: what is not understood is a parse error."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import NoReturn, TypeVar

from sqlglot import exp

from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.names import check_name
from maxlake.protocol.sql.places import place_of

Node = TypeVar("Node", bound=exp.Expr)
_MAX_DIGITS = 9


def parse_error(message: str, line: int = 1, column: int = 1) -> BadRequestError:
    """Return the error whose text PyODPS takes its ParseError from (wire.md §3.3)."""
    return BadRequestError(
        ErrorCode.PARSE_ERROR, f"{ErrorCode.PARSE_ERROR}:[{line},{column}] Parse exception - {message}"
    )


def refuse(node: object, message: str) -> NoReturn:
    """Raise the parse error at the first name or call inside ``node``."""
    if isinstance(node, exp.Expr):
        for inside in node.walk(bfs=False):
            place = place_of(inside)
            if place is not None:
                raise parse_error(message, *place)
    raise parse_error(message)


@contextmanager
def placed(node: exp.Expr) -> Generator[None]:
    """Turn the InvalidArgument of a name, type or value into a parse error at ``node``."""
    try:
        yield
    except BadRequestError as error:
        if error.code is ErrorCode.PARSE_ERROR:
            raise
        refuse(node, str(error))


def read(node: object, kind: type[Node], *understood: str) -> Node:
    """Return ``node`` if it is a ``kind`` and has nothing in it but the arguments the caller reads."""
    if type(node) is not kind or not isinstance(node, kind):
        refuse(node, f"{type(node).__name__} is not supported here")
    for name, value in node.args.items():
        if name not in understood and not _is_empty(value):
            refuse(node, f"{name.upper()} is not supported in {type(node).__name__}")
    return node


def _is_empty(value: object) -> bool:
    if isinstance(value, exp.IndexParameters):  # sqlglot adds an empty one to every key
        return all(_is_empty(inner) for inner in value.args.values())
    return value is None or value is False or value in ([], "")


def children(node: exp.Expr, name: str = "expressions") -> list[object]:
    """Return the list argument ``name``."""
    found: list[object] = node.args.get(name) or []
    return found


def read_name(node: object, what: str) -> str:
    """Return the text of an identifier, bare or as a column without qualifiers."""
    if type(node) is exp.Column:
        node = read(node, exp.Column, "this").this
    identifier = read(node, exp.Identifier, "this", "quoted")
    with placed(identifier):
        return check_name(identifier.name, what)


def read_text(node: object) -> str:
    """Return the value of a string literal."""
    literal = read(node, exp.Literal, "this", "is_string")
    if not literal.is_string:
        refuse(literal, f"Expecting a string, not {literal.name!r}")
    if "\0" in literal.name:
        refuse(literal, "A string holds the character NUL")
    return literal.name


def read_positive(node: object, what: str) -> int:
    """Return the value of a literal whole number above 0."""
    literal = read(node, exp.Literal, "this", "is_string")
    digits = literal.name
    if literal.is_string or not (digits.isascii() and digits.isdigit()) or len(digits) > _MAX_DIGITS:
        refuse(literal, f"{what} must be a whole number, not {digits[:40]!r}")
    if int(digits) == 0:
        refuse(literal, f"{what} must be above 0")
    return int(digits)


def read_constant(node: object) -> str | None:
    """Return the text of a literal: a string's value, a number, true or false; None for NULL."""
    if type(node) is exp.Null:
        return None
    if type(node) is exp.Boolean:
        return "true" if read(node, exp.Boolean, "this").this else "false"
    if type(node) is exp.Neg:
        number = read(read(node, exp.Neg, "this").this, exp.Literal, "this", "is_string")
        if not number.is_string:
            return f"-{number.name}"
        refuse(number, "Expecting a number after '-'")
    literal = read(node, exp.Literal, "this", "is_string")
    return read_text(literal) if literal.is_string else literal.name
