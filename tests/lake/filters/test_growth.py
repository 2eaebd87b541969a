"""Functions that make text longer stay within bounds, and compute everything within them."""

from __future__ import annotations

import pyarrow as pa
import pytest

from maxlake.lake.filters import Filter, growth
from maxlake.protocol.columns import Column
from maxlake.protocol.predicates.parse import parse_predicate
from maxlake.protocol.types.text import parse_type

COLUMNS = [Column("s", parse_type("string")), Column("u", parse_type("string"))]
ROWS = pa.record_batch({"s": ["aa", "b", None, "abc"] * 500, "u": ["x", "yy", "z", None] * 500})


def mask(text: str, rows: pa.RecordBatch = ROWS) -> list[bool]:
    tree = parse_predicate(text, COLUMNS, [])
    assert tree is not None
    return Filter(tree).mask(rows).to_pylist()


CALLS = [
    ("concat(s, u) = 'aax'", [True, False, False, False]),
    ("lpad(s, 4, '-') = '---b'", [False, True, False, False]),
    ("replace(s, 'a', 'xy') = 'xyxy'", [True, False, False, False]),
    ("replace(s, u, '') = s", [True, True, False, False]),
    (r"regexp_replace(s, '(a)', '<\\1>') = '<a>bc'", [False, False, False, True]),
]


@pytest.mark.parametrize(("text", "expected"), CALLS)
@pytest.mark.parametrize("limit", [1 << 26, 4000, 100])
def test_rows_are_computed_in_pieces_with_the_same_result(
    text: str, expected: list[bool], limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "MAX_FILTER_TEXT", limit)
    assert mask(text) == expected * 500


def test_a_text_beyond_all_bounds_is_null_before_it_is_made() -> None:
    doubled = "s"
    for _ in range(45):
        doubled = f"replace({doubled}, 'a', 'aa')"
    rows = pa.record_batch({"s": ["a", "b"], "u": ["", ""]})
    before = pa.total_allocated_bytes()
    assert mask(f"{doubled} is null", rows) == [True, False]
    assert pa.total_allocated_bytes() - before < 1 << 26


def test_constants_grow_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "MAX_FILTER_TEXT", 100)
    assert (
        mask("concat(lpad('a', 20, 'b'), s) = s or lpad('a', 30, 'b') is null", ROWS.slice(0, 3))
        == [True] * 3
    )
