"""Pruning: what is skipped holds no row that is wanted, and what can be skipped is."""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxlake.lake.filters import Bounds, Filter, row_group_bounds, text_bounds
from maxlake.lake.statistics import bounded_leaves, file_statistics
from maxlake.protocol.predicates.parse import parse_predicate
from maxlake.protocol.predicates.tree import Expression
from maxlake.protocol.types.model import OdpsType
from maxlake.protocol.types.text import parse_type
from tests.lake.filters.oracle import Row, at
from tests.lake.filters.random_predicates import conditions
from tests.lake.filters.rows import COLUMNS, PARTITION_COLUMNS, ROWS, VALUES, batch
from tests.lake.filters.table import TABLE, Meaning

TYPES = {name: parse_type(t) for name, (t, _) in VALUES.items()}
GROUP_ROWS = 5


def parsed(text: str) -> Expression:
    found = parse_predicate(text, COLUMNS, PARTITION_COLUMNS)
    assert found is not None
    return found


class File:
    """Rows as a Parquet file's footer and as the catalog's statistics tell of them."""

    def __init__(self, rows: list[Row], *, decimals_as_integers: bool) -> None:
        self.rows = rows
        table = pa.Table.from_batches([batch(rows)])
        fields = [f.with_metadata({b"PARQUET:field_id": b"%d" % k}) for k, f in enumerate(table.schema, 1)]
        self.schema = pa.schema(fields)
        sink = pa.BufferOutputStream()
        with pq.ParquetWriter(
            sink,
            self.schema,
            write_statistics=bounded_leaves(self.schema),
            store_decimal_as_integer=decimals_as_integers,
        ) as writer:
            writer.write_table(table, row_group_size=GROUP_ROWS)
        self.footer = pq.read_metadata(pa.BufferReader(sink.getvalue()))

    @cached_property
    def groups(self) -> list[tuple[dict[str, Bounds], list[Row]]]:
        found = row_group_bounds(self.footer, range(self.footer.num_row_groups), TYPES)
        return [(b, self.rows[k * GROUP_ROWS : (k + 1) * GROUP_ROWS]) for k, b in enumerate(found)]

    @cached_property
    def catalog(self) -> dict[str, Bounds]:
        names = list(VALUES)
        return {
            names[s.column_id - 1]: text_bounds(
                TYPES[names[s.column_id - 1]],
                s.minimum,
                s.maximum,
                null_count=s.null_count,
                value_count=s.value_count,
            )
            for s in file_statistics(self.footer, self.schema)
        }


def files(count: int, size: int) -> list[File]:
    random = Random(7)
    rows = [ROWS[random.randrange(len(ROWS))] for _ in range(count * size)]
    # Rows close to one another are alike, as in real files.
    rows.sort(key=lambda row: (row.b is None, row.b, row.i is None, row.i))
    return [File(rows[k * size : (k + 1) * size], decimals_as_integers=bool(k % 2)) for k in range(count)]


FILES = files(12, 10)


def check(text: str, meaning: Meaning) -> int:
    """Count what is skipped; nothing that is may hold a wanted row."""
    condition, skipped = Filter(parsed(text)), 0
    for file in FILES:
        pieces = [*file.groups, (file.catalog, file.rows)]
        for bounds, rows in pieces:
            if not condition.may_match(bounds):
                skipped += 1
                assert not any(meaning(row) is True for row in rows), text
    return skipped


def test_no_predicate_of_the_table_skips_a_row_it_wants() -> None:
    assert sum(check(text, meaning) for text, meaning in TABLE) > 1000


@settings(max_examples=60)
@given(conditions())
def test_no_random_condition_skips_a_row_it_wants(condition: tuple[str, Meaning]) -> None:
    check(*condition)


@given(st.lists(st.integers(0, len(ROWS) - 1), min_size=1, max_size=6), st.sampled_from(TABLE))
@settings(max_examples=60)
def test_no_random_file_is_skipped_that_has_a_wanted_row(
    chosen: list[int], entry: tuple[str, Meaning]
) -> None:
    text, meaning = entry
    file = File([ROWS[k] for k in chosen], decimals_as_integers=False)
    wanted = any(meaning(row) is True for row in file.rows)
    condition = Filter(parsed(text))
    assert condition.may_match(file.catalog) or not wanted
    assert any(condition.may_match(bounds) for bounds, _ in file.groups) or not wanted


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("i > 10", {"i": Bounds(1, 10)}),
        ("i >= 11 and s = 'x'", {"i": Bounds(1, 10)}),
        ("not (i <= 10)", {"i": Bounds(1, 10)}),
        ("i < 1 or i > 10", {"i": Bounds(1, 10)}),
        ("i = 0.5", {"i": Bounds(0, 10)}),
        ("i in (0, 11, 12)", {"i": Bounds(1, 10)}),
        ("i not in (5)", {"i": Bounds(5, 5)}),
        ("i != 5", {"i": Bounds(5, 5)}),
        ("i between 11 and 20", {"i": Bounds(1, 10)}),
        ("i > b", {"i": Bounds(1, 10), "b": Bounds(10, 20)}),
        ("i is null", {"i": Bounds(null_count=0)}),
        ("i is not null", {"i": Bounds(null_count=3, value_count=0)}),
        ("i = 1", {"i": Bounds(null_count=3, value_count=0)}),
        ("i <=> 1", {"i": Bounds(2, 3)}),
        ("i <=> null", {"i": Bounds(null_count=0)}),
        ("s like 'b%'", {"s": Bounds("c", "d")}),
        ("s like 'b%'", {"s": Bounds("a", "azzz")}),
        ("s like 'abc'", {"s": Bounds("abd", "abe")}),
        ("s in ('a', 'b')", {"s": Bounds("c", "d")}),
        ("m > 1.49", {"m": Bounds(Decimal("1.00"), Decimal("1.49"))}),
        ("i < m", {"i": Bounds(2, 3), "m": Bounds(Decimal("1.00"), Decimal("2.00"))}),
        ("cast(i as double) > 4.5", {"i": Bounds(1, 4)}),
        ("d > i", {"d": Bounds(null_count=4, value_count=0)}),
        ("da > '2024-01-31'", {"da": Bounds(date(2023, 1, 1), date(2024, 1, 31))}),
        ("ts > '2024-01-31 23:59:59.123456789'", {"ts": Bounds(0, at("2024-01-31 23:59:59.123456789"))}),
        ("ts > '2024-01-31 23:59:59.123456788'", {"ts": Bounds(0, at("2024-01-31 23:59:59.123456788"))}),
        ("o", {"o": Bounds(False, False)}),
        ("not o", {"o": Bounds(True, True)}),
        ("o is true", {"o": Bounds(False, False)}),
        ("(i > 5) is null", {"i": Bounds(null_count=0)}),
        ("not (i in (1, null))", {"i": Bounds(1, 10)}),
        ("false", {}),
        ("i = null", {}),
    ],
)  # fmt: skip
def test_what_cannot_match_is_skipped(text: str, known: dict[str, Bounds]) -> None:
    assert not Filter(parsed(text)).may_match(known)


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("i > 9", {"i": Bounds(1, 10)}),
        ("i != 5", {"i": Bounds(5, 6)}),
        ("i is null", {}),
        ("i > 10", {"i": Bounds(1, None)}),
        ("i <=> null", {"i": Bounds(1, 2)}),
        ("(i in (5, null)) is null", {"i": Bounds(1, 2, null_count=0)}),
        ("(i = null) is null", {"i": Bounds(1, 2, null_count=0)}),
        ("s like '%b'", {"s": Bounds("c", "d")}),
        ("s like 'c%'", {"s": Bounds("ca", "d")}),
        ("upper(s) = 'A'", {"s": Bounds("x", "y")}),
        ("da < ts", {"da": Bounds(date(2023, 1, 1), date(2024, 1, 31))}),
        ("cast(n as int) = 10", {"n": Bounds("2", "9")}),
        ("cast(i as tinyint) = 1", {"i": Bounds(0, 1000)}),
        ("not o or o is null", {"o": Bounds(True, True)}),
    ],
)
def test_what_may_match_is_kept(text: str, known: dict[str, Bounds]) -> None:
    assert Filter(parsed(text)).may_match(known)


# -- bounds --------------------------------------------------------------------------------------------

NS, MS = "timestamp", "datetime"


@pytest.mark.parametrize(
    ("t", "minimum", "maximum", "low", "high"),
    [
        ("bigint", "-5", "7", -5, 7),
        ("bigint", "1.5", "x", None, None),
        ("tinyint", None, None, None, None),
        ("decimal(10,2)", "-1.50", "2", Decimal("-1.5"), Decimal(2)),
        ("decimal(10,2)", "1e5", "NaN", None, None),
        ("boolean", "0", "1", False, True),
        ("boolean", "false", "maybe", False, None),
        ("double", "0.5", "1.5", None, None),
        ("float", "0.5", "1.5", None, None),
        ("string", "a", "b" * 251, "a", "b" * 251),
        ("string", "a" * 256, "b" * 256, "a" * 256, None),
        ("string", "a", "é" * 128, "a", None),
        ("char(3)", "a", "b", "a", "b"),
        ("binary", "AA", "BB", None, None),
        ("date", "0001-01-01", "9999-12-31", date(1, 1, 1), date(9999, 12, 31)),
        ("date", "0044-01-01 (BC)", "infinity", None, None),
        ("date", "12024-01-01", "2024-02-30", None, None),
        (NS, "2024-01-01 00:00:00.123456789", "2024-01-01 00:00:00.123456789",
         at("2024-01-01 00:00:00.123456789"), at("2024-01-01 00:00:00.123456789")),
        (NS, "2024-01-01 00:00:00.5", "2024-01-01 00:00:00.123456",
         at("2024-01-01 00:00:00.5"), at("2024-01-01 00:00:00.123456999")),
        (NS, "1969-12-31 23:59:59", "2024-01-01 00:00:00", -(10**9), at("2024-01-01 00:00:00.999999999")),
        (NS, "2024-01-01", "2024-01-01 25:00:00", at("2024-01-01"), None),
        (NS, "-infinity", "2024-01-01 00:00:00+00", None, None),
        (MS, "2024-01-01 00:00:00.123", "2024-01-01 00:00:00.123",
         at("2024-01-01 00:00:00.123") // 10**6, at("2024-01-01 00:00:00.123") // 10**6),
        (MS, "2024-01-01 00:00:00", "2024-01-01 00:00:00",
         at("2024-01-01") // 10**6, at("2024-01-01 00:00:00.999") // 10**6),
        ("array<int>", "1", "2", None, None),
    ],
)  # fmt: skip
def test_texts_of_the_catalog(t: str, minimum: str | None, maximum: str | None, low: Any, high: Any) -> None:
    found = text_bounds(parse_type(t), minimum, maximum, null_count=3, value_count=None)
    assert found == Bounds(low, high, 3, None)


def test_narrower_types_of_older_files() -> None:
    """An int column widened to bigint or decimal, a datetime to timestamp: their texts and footers count."""
    table = pa.table(
        {
            "i": pa.array([1, 9], pa.int8()),
            "m": pa.array([Decimal("1.5"), Decimal("2.5")], pa.decimal128(5, 1)),
            "ts": pa.array([1, 1000], pa.timestamp("ms")),
            "dm": pa.array([-1_500_000, 1_500_001], pa.timestamp("ns")),
            "x": pa.array([1, 20], pa.int32()),
            "f": pa.array([0.5, 1.5], pa.float32()),
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    types: dict[str, OdpsType] = {
        name: parse_type(t)
        for name, t in [
            ("i", "decimal(20,2)"),
            ("m", "decimal(38,18)"),
            ("ts", "timestamp"),
            ("dm", "datetime"),
        ]
    }
    types |= {"x": parse_type("string"), "f": parse_type("double"), "missing": parse_type("int")}
    (found,) = row_group_bounds(pq.read_metadata(pa.BufferReader(sink.getvalue())), [0], types)
    assert found == {
        "i": Bounds(1, 9, 0, 2),
        "m": Bounds(Decimal("1.5"), Decimal("2.5"), 0, 2),
        "ts": Bounds(10**6, 10**9, 0, 2),
        "dm": Bounds(-2, 2, 0, 2),
        "x": Bounds(None, None, 0, 2),  # as text, 3 is not between 1 and 20
        "f": Bounds(None, None, 0, 2),
    }
    assert text_bounds(parse_type("decimal(20,2)"), "1", "9", null_count=0, value_count=2).maximum == 9
    assert text_bounds(
        parse_type("timestamp"), "2024-01-01", "2024-01-02", null_count=0, value_count=2
    ) == Bounds(at("2024-01-01"), at("2024-01-02 00:00:00.999999999"), 0, 2)


def test_files_of_duckdb(tmp_path: Path) -> None:
    """What DuckDB's Parquet writer says of its columns bounds them, cut texts and NaN included."""
    path = tmp_path / "x.parquet"
    duckdb.sql(
        "SELECT i::INTEGER AS i, 'é' || repeat('y', 300 + i::INTEGER) AS s, (i - 5.25)::DECIMAL(10,2) AS m,"
        " DATE '2024-01-01' + i::INTEGER AS da, TIMESTAMP_NS '2024-01-01 00:00:00.123456789' AS ts,"
        " TIMESTAMP_MS '2024-01-01 00:00:00.123' AS dm, CASE WHEN i = 3 THEN 'nan'::DOUBLE ELSE i END AS d,"
        " CASE WHEN i > 3 THEN i END AS b, i % 2 = 0 AS o FROM range(10) r(i)"
    ).write_parquet(str(path))
    footer = pq.read_metadata(path)
    (found,) = row_group_bounds(footer, [0], TYPES)
    table = pq.read_table(path)
    for name, bounds in found.items():
        values = table.column(name)
        if pa.types.is_timestamp(values.type):
            values = values.cast(pa.int64())
        known = [value for value in values.to_pylist() if value is not None]
        assert bounds.null_count in (None, values.null_count)
        if name == "d":
            assert bounds.minimum is bounds.maximum is None
            assert any(math.isnan(value) for value in known)
        else:
            assert bounds.minimum is None or bounds.minimum <= min(known), name
            assert bounds.maximum is None or bounds.maximum >= max(known), name
    assert found["i"].maximum == 9 and found["m"].minimum == Decimal("-5.25")
