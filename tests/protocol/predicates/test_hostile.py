"""Whatever the text, parsing ends with a condition or with InvalidArgument, and soon."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.limits import (
    MAX_PATTERN_LENGTH,
    MAX_PREDICATE_LENGTH,
    MAX_PREDICATE_NESTING,
    MAX_PREDICATE_OPTIONS,
    MAX_PREDICATE_TOKENS,
)
from maxlake.protocol.predicates.tree import In, Or, walk
from tests.protocol.predicates.shown import parse, show

NESTS = {
    "parentheses": ("(", "o", ")"),
    "not": ("not ", "o", ""),
    "not in parentheses": ("not (", "o", ")"),
    "minus": ("- ", "i", " = 1"),
    "calls": ("upper(", "s", ") = 'a'"),
    "casts": ("cast(", "i", " as int) = 1"),
    "case": ("case when o then ", "o", " end"),
    "case in case": ("case when ", "o", " then o end"),
    "if": ("if(o, ", "i", ", 1) = 1"),
    "brackets unclosed": ("(", "", ""),
    "comparisons with not": ("o = not ", "o", ""),
}


def nest(kind: str, depth: int) -> str:
    """Return a condition nested so deep; what comes after ``=`` closes it once."""
    before, inner, after = NESTS[kind]
    close, equals, end = after.partition(" = ")
    return before * depth + inner + close * depth + equals + end


@pytest.mark.parametrize("kind", [kind for kind in NESTS if kind != "brackets unclosed"])
def test_nesting_up_to_the_limit(kind: str):
    depth = MAX_PREDICATE_NESTING // (2 if "not in" in kind else 1)
    show(parse(nest(kind, depth)))


@pytest.mark.parametrize("kind", NESTS)
@pytest.mark.parametrize("depth", [MAX_PREDICATE_NESTING + 1, 5_000])
def test_nesting_beyond_the_limit(kind: str, depth: int):
    with pytest.raises(BadRequestError, match="in one another") as caught:
        parse(nest(kind, depth))
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


def test_a_full_stack_is_a_refusal():
    def deeper(frames: int) -> None:
        if frames:
            deeper(frames - 1)
        else:
            parse(nest("parentheses", MAX_PREDICATE_NESTING))

    with pytest.raises(BadRequestError, match="nested too deeply"):
        deeper(700)


def test_long_chains_of_arithmetic_are_refused():
    with pytest.raises(BadRequestError, match="in one another"):
        parse("i" + " + 1" * 1000 + " = 1")


def test_many_conditions_side_by_side():
    found = parse(" or ".join(f"(i > {n} and s = 'x')" for n in range(500)))
    assert isinstance(found, Or)
    assert len(found.operands) == 500
    with pytest.raises(BadRequestError, match="side by side"):
        parse(" or ".join(["o"] * (MAX_PREDICATE_OPTIONS + 1)))


def test_many_options():
    found = parse(f"i in ({','.join(map(str, range(MAX_PREDICATE_OPTIONS)))})")
    assert isinstance(found, In)
    assert len(found.options) == MAX_PREDICATE_OPTIONS
    with pytest.raises(BadRequestError, match=f"IN has more than {MAX_PREDICATE_OPTIONS} values"):
        parse(f"i in ({','.join(['1'] * (MAX_PREDICATE_OPTIONS + 1))})")


def test_long_texts():
    with pytest.raises(BadRequestError, match="longer than"):
        parse("o or " * MAX_PREDICATE_LENGTH)
    with pytest.raises(BadRequestError, match="words, values and signs"):
        parse("i=" * MAX_PREDICATE_TOKENS)
    with pytest.raises(BadRequestError, match="pattern is longer"):
        parse(f"s like '{'x' * MAX_PATTERN_LENGTH}%'")


WORDS = """
i s o m da dt pt `i` `` ` ' " 'a' "b" '\\ 1 2.5 .5 1e5 1L 2BD - + * / % div || ( ) , . ; : ? @ { } [ ]
= == != <> < > <= >= <=> and or not in between like rlike escape is null true false case when then else
end cast as int decimal( date '2020-01-01' if upper substr concat select from exists -- /* */ /*+ {% %}
{{ {# $ # \\ ! & | ^ ~ é 😀 over interval distinct begin
"""
PIECES = st.sampled_from([*WORDS.split(), "\0", "\u202e", "\n"])


@settings(max_examples=250, deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=14).map(" ".join) | st.text(min_size=1, max_size=40))
@example("\0")
@example("i = '\ud800'")
@example("i = \uff11")
@example("else")
@example("i = 1\u00a0and o")
@example("upper(s) = 'a' --\n or o")
def test_any_text(text: str):
    if not text.strip():
        return
    try:
        found = parse(text)
    except BadRequestError as error:
        assert (error.code, error.where[:22]) == (ErrorCode.INVALID_ARGUMENT, "filter_predicate, line")  # noqa: PT017
    else:
        assert show(found)
        assert all(node.type is not None for node in walk(found))
