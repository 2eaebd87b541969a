"""Reading type text (grammar: types.md §1). Printing is ``str`` of the type."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NoReturn, TypeVar

from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.limits import MAX_NESTING, MAX_TYPE_NODES
from maxlake.protocol.types.model import (
    Array,
    Char,
    Decimal,
    Kind,
    Map,
    OdpsType,
    Simple,
    Struct,
    StructField,
    Varchar,
    Vector,
)

# Words may start with a digit: the grammar lets member names do so.
_TOKEN = re.compile(r"\s*(?:(?P<word>\w+)|`(?P<quoted>[^`]*)`|(?P<mark>[<>(),:])|(?P<end>\Z))")
_SIMPLE = {kind.value: Simple(kind) for kind in Kind}

T = TypeVar("T")
U = TypeVar("U")


#: Types are read again for every file and batch; these are the most, and the longest texts, remembered.
_REMEMBERED = 4096
_REMEMBERED_LENGTH = 256


class _Parser:
    """Recursive descent over the tokens of one type text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.nodes = 0
        self.next = 0
        self.advance()

    def advance(self) -> None:
        match = _TOKEN.match(self.text, self.next)
        if match is None:
            self.start = self.next
            self.fail("unexpected character")
        kind = match.lastgroup
        assert kind is not None
        self.kind: str = kind
        self.value: str = match.group(kind)
        self.start: int = match.start(kind)
        self.next: int = match.end()

    def fail(self, problem: str) -> NoReturn:
        shown = self.text if len(self.text) <= 200 else self.text[:200] + "…"
        raise invalid_argument(f"type {shown!r}, position {self.start}: {problem}")

    def mark(self, mark: str) -> None:
        if not self.at(mark):
            self.fail(f"expected {mark!r}")
        self.advance()

    def at(self, mark: str) -> bool:
        return self.kind == "mark" and self.value == mark

    def number(self) -> int:
        # Six digits are beyond every limit, and keep int() away from endless digit strings.
        if self.kind != "word" or not re.fullmatch(r"[0-9]{1,6}", self.value):
            self.fail("expected a number")
        value = int(self.value)
        self.advance()
        return value

    def type(self, depth: int) -> OdpsType:
        self.nodes += 1
        if self.nodes > MAX_TYPE_NODES:
            self.fail(f"more than {MAX_TYPE_NODES} types in one")
        if depth > MAX_NESTING:
            self.fail(f"nested deeper than {MAX_NESTING} levels")
        if self.kind != "word":
            self.fail("expected a type")
        start, word = self.start, self.value.lower()
        self.advance()
        return _SIMPLE.get(word) or self.parametric(word, start, depth)

    def parametric(self, word: str, start: int, depth: int) -> OdpsType:  # noqa: PLR0911 - one per word
        inner = depth + 1
        match word:
            case "decimal":
                return self.decimal()
            case "char":
                return Char(self.within("()", self.number))
            case "varchar":
                return Varchar(self.within("()", self.number))
            case "vector":
                return Vector(*self.within("()", lambda: self.pair(lambda: self.type(inner), self.number)))
            case "array":
                return Array(self.within("<>", lambda: self.type(inner)))
            case "map":
                return Map(
                    *self.within("<>", lambda: self.pair(lambda: self.type(inner), lambda: self.type(inner)))
                )
            case "struct":
                return Struct(self.within("<>", lambda: self.fields(inner)))
            case _:
                self.start = start
                return self.fail(f"unknown type {word[:64]!r}")

    def within(self, brackets: str, content: Callable[[], T]) -> T:
        self.mark(brackets[0])
        found = content()
        self.mark(brackets[1])
        return found

    def pair(self, first: Callable[[], T], second: Callable[[], U]) -> tuple[T, U]:
        one = first()
        self.mark(",")
        return one, second()

    def decimal(self) -> Decimal:
        return Decimal(*self.within("()", self.digits)) if self.at("(") else Decimal()

    def digits(self) -> tuple[int, int]:
        precision = self.number()
        if not self.at(","):
            return precision, 0
        self.advance()
        return precision, self.number()

    def fields(self, depth: int) -> tuple[StructField, ...]:
        fields = [self.field(depth)]
        while self.at(","):
            self.advance()
            fields.append(self.field(depth))
        return tuple(fields)

    def field(self, depth: int) -> StructField:
        if self.kind not in ("word", "quoted"):
            self.fail("expected a member name")
        name = self.value
        self.advance()
        self.mark(":")
        return StructField(name, self.type(depth))


def parse_type(text: str) -> OdpsType:
    """Read a type text, in any case and with blanks around punctuation.

    Raises BadRequestError InvalidArgument naming the position; nesting is limited by
    ``limits.MAX_NESTING``.
    """
    return _remembered(text) if len(text) <= _REMEMBERED_LENGTH else _parse(text)


@lru_cache(_REMEMBERED)
def _remembered(text: str) -> OdpsType:
    return _parse(text)


def _parse(text: str) -> OdpsType:
    parser = _Parser(text)
    parsed = parser.type(0)
    if parser.kind != "end":
        parser.fail("unexpected text after the type")
    return parsed
