"""Random conditions, written out in random style, read back as they were."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as Number

from hypothesis import given, settings
from hypothesis import strategies as st

from maxlake.protocol.predicates.tree import (
    And,
    Call,
    Case,
    ColumnValue,
    Comparator,
    Comparison,
    Expression,
    In,
    IsNull,
    Like,
    Literal,
    Not,
    Or,
    RegexpLike,
)
from maxlake.protocol.types.model import Kind, Simple
from tests.protocol.predicates.shown import COLUMNS, parse

TYPES = {column.name: column.type for column in COLUMNS}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def column(name: str) -> ColumnValue:
    return ColumnValue(name, TYPES[name])


def literals(name: str) -> st.SearchStrategy[Literal]:
    values: dict[str, st.SearchStrategy] = {
        "t": st.integers(-128, 127),
        "b": st.integers(-(2**63), 2**63 - 1),
        "d": st.floats(allow_nan=False, allow_infinity=False),
        "m": st.decimals(-99999999, 99999999, places=2),
        "s": st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=8),
        "o": st.booleans(),
        "da": st.dates(),
        "dt": st.integers(-62135596800000, 253402300799999),
        "ts": st.integers(-(2**63) + 2, 2**63 - 2),
    }
    return st.builds(Literal, values[name], st.just(TYPES[name]))


def typed(name: str) -> st.SearchStrategy[Expression]:
    """Comparisons and IN of one column."""
    compared = st.builds(Comparison, st.sampled_from(Comparator), st.just(column(name)), literals(name))
    options = st.lists(
        literals(name) | st.just(Literal(None, TYPES[name])), min_size=2, max_size=4, unique=True
    )
    return compared | st.builds(lambda found: In(column(name), ordered(found)), options)


def ordered(options: list[Literal]) -> tuple[Literal, ...]:
    """NULL comes last among the options of IN."""
    return tuple(sorted(options, key=lambda option: option.value is None))


TEXT = st.sampled_from(["", "a%", "_b", r"\%", "x\\\\y", "é"])
LEAVES = st.one_of(
    *(typed(name) for name in ("t", "b", "d", "m", "s", "o", "da", "dt", "ts")),
    st.builds(IsNull, st.sampled_from([column(c.name) for c in COLUMNS])),
    st.builds(Like, st.just(column("s")), TEXT, st.sampled_from(["\\", "!"])),
    st.builds(RegexpLike, st.just(column("s")), st.sampled_from(["^a+", "(b|c)$", r"\d", "[[:alpha:]]"])),
    st.just(column("o")),
)


def without(kind: type[Expression], found: list[Expression]) -> tuple[Expression, ...]:
    """AND within AND is one AND."""
    return tuple(part for e in found for part in (e.inputs() if isinstance(e, kind) else (e,)))


def larger(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    several = st.lists(inner, min_size=2, max_size=3)
    boolean = Simple(Kind.BOOLEAN)
    return st.one_of(
        several.map(lambda found: And(without(And, found))),
        several.map(lambda found: Or(without(Or, found))),
        inner.map(Not),
        st.builds(lambda test, a, b: Case(((test, a),), b, boolean), inner, inner, inner),
        st.builds(
            lambda text, operator: Comparison(
                operator, Call("concat", (column("s"), text), Simple(Kind.STRING)), column("s")
            ),
            literals("s"),
            st.sampled_from(Comparator),
        ),
    )


CONDITIONS = st.recursive(LEAVES, larger, max_leaves=8)


class Writer:
    """Writes conditions in SQL; ``style`` picks among spellings."""

    def __init__(self, style: Callable[[list[str]], str]) -> None:
        self.style = style

    def word(self, word: str) -> str:
        return self.style([word, word.upper(), word.capitalize()])

    def write(self, e: Expression) -> str:
        match e:
            case ColumnValue():
                return self.style([f"`{e.name}`", f"`{e.name.upper()}`"])
            case Literal():
                return self.literal(e)
            case Comparison():
                sign = {"=": ["=", "=="], "!=": ["!=", "<>"]}.get(e.operator, [str(e.operator)])
                space = self.style(["", " ", "\n"])
                return f"({self.write(e.left)}{space}{self.style(sign)}{space}{self.write(e.right)})"
            case And() | Or():
                between = f" {self.word(type(e).__name__.lower())} "
                return f"({between.join(map(self.write, e.operands))})"
            case Not():
                return f"({self.word('not')} {self.write(e.operand)})"
            case IsNull():
                return f"({self.write(e.operand)} {self.word('is')} {self.word('null')})"
            case In():
                return (
                    f"({self.write(e.operand)} {self.word('in')} ({', '.join(map(self.write, e.options))}))"
                )
            case Like():
                escape = "" if e.escape == "\\" else f" escape {self.text(e.escape)}"
                return f"({self.write(e.operand)} {self.word('like')} {self.text(e.pattern)}{escape})"
            case RegexpLike():
                return f"({self.write(e.operand)} {self.word('rlike')} {self.text(e.pattern)})"
            case Case():
                ((test, value),) = e.branches
                choice = f"{self.write(test)} then {self.write(value)} else {self.write(e.otherwise)}"
                return f"case when {choice} end"
            case Call():
                one, other = map(self.write, e.arguments)
                return self.style([f"{one} || {other}", f"concat({one}, {other})"])
            case _:
                raise AssertionError(e)

    def text(self, value: str) -> str:
        quote = self.style(["'", '"'])
        return quote + value.replace("\\", "\\\\").replace(quote, f"\\{quote}") + quote

    def literal(self, e: Literal) -> str:
        match e.value:
            case None:
                return self.word("null")
            case bool():
                return self.word("true" if e.value else "false")
            case str():
                return self.text(e.value)
            case date():
                return self.style([f"'{e.value}'", f"{self.word('date')} '{e.value}'"])
            case int() if e.type in (Simple(Kind.DATETIME), Simple(Kind.TIMESTAMP)):
                return self.instant(e)
            case Number():
                return self.style([f"{e.value:f}", f"{e.value:f}BD"])
            case _:
                return repr(e.value)

    def instant(self, e: Literal) -> str:
        assert isinstance(e.value, int)
        per_second, places = (1000, 3) if e.type == Simple(Kind.DATETIME) else (10**9, 9)
        seconds, rest = divmod(e.value, per_second)
        whole = (EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat(self.style([" ", "T"]))
        return f"{self.style(['', str(e.type)])} '{whole}.{rest:0{places}d}'"


@settings(max_examples=120, deadline=None)
@given(CONDITIONS, st.data())
def test_written_and_read(condition: Expression, data: st.DataObject):
    text = Writer(lambda choices: data.draw(st.sampled_from(choices))).write(condition)
    assert parse(text) == condition
