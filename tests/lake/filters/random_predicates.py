"""Random conditions, each as a text and as its meaning."""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from tests.lake.filters.oracle import COMPARATORS, among, between, eq, every, no, some, when
from tests.lake.filters.rows import VALUES
from tests.lake.filters.table import Meaning

COMPARED = ["t", "h", "i", "b", "d", "o", "m", "w", "s", "v", "da", "dm", "ts", "tn", "pt", "pn"]


def literal(value: Any, t: str) -> str:
    """The value as it stands in a predicate."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    if isinstance(value, date):
        return f"date '{value}'"
    if t.startswith(("datetime", "timestamp")):
        return f"{t} '{when(value).isoformat(' ')}.{value % 10**9:09d}'"
    return str(value)


def _meant(column: str, operator: str, value: Any) -> Meaning:
    return lambda row: COMPARATORS[operator](getattr(row, column), value)


@st.composite
def atoms(draw: st.DrawFn) -> tuple[str, Meaning]:
    column = draw(st.sampled_from(COMPARED))
    t, values = VALUES[column]
    usable = [v for v in values if v is not None and not (isinstance(v, float) and not math.isfinite(v))]
    one, other = draw(st.sampled_from(usable)), draw(st.sampled_from(usable))
    match draw(st.integers(0, 5)):
        case 0:
            return f"{column} is null", lambda row: getattr(row, column) is None
        case 1:
            return (
                f"{column} in ({literal(one, t)}, {literal(other, t)})",
                lambda row: among(getattr(row, column), one, other),
            )
        case 2:
            return (
                f"{column} between {literal(one, t)} and {literal(other, t)}",
                lambda row: between(getattr(row, column), one, other),
            )
        case 3:
            return f"{column} <=> {literal(one, t)}", lambda row: eq(getattr(row, column), one) is True
        case _:
            operator = draw(st.sampled_from(sorted(COMPARATORS)))
            return f"{column} {operator} {literal(one, t)}", _meant(column, operator, one)


def _combined(parts: list[tuple[str, Meaning]], word: str) -> tuple[str, Meaning]:
    combine = every if word == "and" else some
    texts, meanings = zip(*parts, strict=True)
    return f" {word} ".join(f"({text})" for text in texts), lambda row: combine(*(m(row) for m in meanings))


def _more(inner: st.SearchStrategy[tuple[str, Meaning]]) -> st.SearchStrategy[tuple[str, Meaning]]:
    lists = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(
        st.builds(_combined, lists, st.sampled_from(["and", "or"])),
        inner.map(lambda part: (f"not ({part[0]})", lambda row: no(part[1](row)))),
        inner.map(lambda part: (f"({part[0]}) is null", lambda row: part[1](row) is None)),
    )


def conditions() -> st.SearchStrategy[tuple[str, Meaning]]:
    return st.recursive(atoms(), _more, max_leaves=6)
