"""DuckDB and polars scan a table: the right rows, and no more columns and rows sent than needed."""

from collections.abc import Callable, Iterator
from datetime import date, datetime
from random import Random
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import maxlake
from maxlake.integrations import arrow_conditions, conditions
from maxlake.integrations import duckdb as duckdb_scans
from maxlake.integrations import polars as polars_scans
from maxlake.testing import LocalServer, local_server

ROWS = pa.table(
    {
        "id": pa.array([*range(300), None], pa.int64()),
        "small": pa.array([each % 7 for each in range(301)], pa.int8()),
        "name": [None if each % 5 == 0 else f"it's \\{each % 9}\"%" for each in range(301)],
        "day": [date(2024, 1, 1 + each % 28) for each in range(301)],
        "stamp": pa.array([each * 1000 for each in range(301)], pa.timestamp("ms")),
        "x": pa.array([float("nan") if each % 11 == 0 else each / 3 for each in range(301)]),
        "yes": [each % 2 == 0 for each in range(301)],
        "pt": ["a" if each < 100 else "b" for each in range(301)],
    }
)
SIGNS = [("=", "__eq__"), ("<>", "__ne__"), ("<", "__lt__")]
SIGNS += [("<=", "__le__"), (">", "__gt__"), (">=", "__ge__")]
COLUMNS = "id bigint, small tinyint, name string, day date, stamp datetime, x double, yes boolean"


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with local_server() as running:
        odps = running.odps()
        maxlake.write(odps.create_table("scanned", (COLUMNS, "pt string")), ROWS, odps=odps)
        yield running


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], str | None]]:
    """The columns and conditions with which the table is read."""
    seen: list[tuple[list[str], str | None]] = []

    def read(table: Any, columns: list[str], where: str | None, **options: Any) -> Any:
        seen.append((columns, where))
        return maxlake.read(table, columns, where, **options)

    for module in (duckdb_scans, polars_scans):
        monkeypatch.setattr(module, "read", read)
    return seen


def test_duckdb_gets_what_it_needs(server: LocalServer, asked: list[tuple[list[str], str | None]]) -> None:
    scanned = duckdb_scans.scan("scanned", odps=server.odps())
    with duckdb.connect() as connection:
        connection.register("scanned", scanned)
        query = "select sum(id) from scanned where pt = 'a' and small > 2 and x > 5"
        found = connection.sql(query).fetchone()
        connection.register("rows", ROWS)
        assert found == connection.sql(query.replace("scanned", "rows")).fetchone()
        assert connection.sql("select count(*) from scanned").fetchone() == (301,)
    columns, where = asked[0]
    assert set(columns) == {"id", "pt", "small", "x"}
    assert where is not None
    assert "`pt` = 'a'" in where
    assert "`small` > 2" in where
    assert "`x`" not in where


def test_polars_gets_what_it_needs(server: LocalServer, asked: list[tuple[list[str], str | None]]) -> None:
    scanned = polars_scans.scan("scanned", odps=server.odps())
    assert scanned.collect_schema() == pl.DataFrame(ROWS).schema
    chosen = (pl.col("pt") == "a") & (pl.col("small") > 2) & (pl.col("x") > 5)
    found = scanned.filter(chosen).select("id").collect()
    assert found.sort("id").equals(pl.DataFrame(ROWS).filter(chosen).select("id").sort("id"))
    columns, where = asked[0]
    assert set(columns) == {"id", "pt", "small", "x"}
    assert where is not None
    assert "`pt` = 'a'" in where
    assert "`x`" not in where
    assert scanned.head(7).collect().height == 7
    assert scanned.select(pl.len()).collect().item() == 301
    assert set(scanned.select("name").collect()["name"]) == set(ROWS["name"].to_pylist())


def comparisons(rng: Random) -> tuple[str, pl.Expr, pc.Expression]:
    """A condition on one column, for SQL, polars and pyarrow."""
    name = rng.choice(["id", "small", "name", "day", "x", "yes", "stamp"])
    if rng.random() < 0.2:
        return f"{name} is null", pl.col(name).is_null(), pc.field(name).is_null()
    value: Any = rng.choice(ROWS[name].drop_null().to_pylist())
    sql = f"{name} {{}} {_sql(value)}"
    sign, how = rng.choice(
        [
            ("=", "__eq__"),
            ("<>", "__ne__"),
            ("<", "__lt__"),
            ("<=", "__le__"),
            (">", "__gt__"),
            (">=", "__ge__"),
        ]
    )
    typed = pa.scalar(value, ROWS.schema.field(name).type)
    return (
        sql.format(sign),
        getattr(pl.col(name), how)(pl.lit(value)),
        getattr(pc.field(name), how)(pc.scalar(typed)),
    )


def _sql(value: Any) -> str:
    match value:
        case bool() | int():
            return str(value)
        case float():
            return f"'{value!r}'::double"
        case datetime():
            return f"timestamp '{value}'"
        case date():
            return f"date '{value}'"
        case _:
            return "'" + value.replace("'", "''") + "'"


def combined(rng: Random, depth: int) -> tuple[str, pl.Expr, pc.Expression]:
    if depth == 0 or rng.random() < 0.3:
        return comparisons(rng)
    one, other = combined(rng, depth - 1), combined(rng, depth - 1)
    if rng.random() < 0.5:
        return f"({one[0]} and {other[0]})", one[1] & other[1], one[2] & other[2]
    return f"({one[0]} or {other[0]})", one[1] | other[1], one[2] | other[2]


def test_any_condition_gives_the_right_rows(server: LocalServer, rng: Random) -> None:
    odps = server.odps()
    frame = pl.DataFrame(ROWS)
    lazy = polars_scans.scan("scanned", odps=odps)
    pushed = 0
    with duckdb.connect() as connection:
        connection.register("scanned", duckdb_scans.scan("scanned", odps=odps))
        connection.register("rows", ROWS)
        for _ in range(12):
            sql, expr, arrow = combined(rng, 2)
            scanned = connection.sql(f"select id from scanned where {sql} order by id").fetchall()
            assert scanned == connection.sql(f"select id from rows where {sql} order by id").fetchall(), sql
            assert lazy.filter(expr).collect().sort("stamp").equals(frame.filter(expr).sort("stamp")), sql
            for condition in (
                arrow_conditions.condition_of(arrow, ROWS.schema),
                polars_scans.condition_of(expr, ROWS.schema),
            ):
                where = conditions.to_sql(condition)
                pushed += where is not None
                sent = maxlake.read("scanned", where=where, odps=odps).to_arrow()
                wanted = frame.filter(expr)["stamp"].to_list()
                assert set(wanted) <= set(sent["stamp"].to_pylist()), (sql, where)
    assert pushed


@pytest.mark.parametrize(
    ("expression", "sql"),
    [
        (pc.field("id") == 5, "`id` = 5"),
        (pc.field("name") == "a'b\\c\"", "`name` = 'a\\'b\\\\c\"'"),
        (pc.field("name") == "line\nbreak", None),
        (pc.field("x") > 1.5, None),
        (pc.field("x").is_null(), None),
        (pc.field("id").is_valid(), "`id` is not null"),
        (pc.field("name").is_null(), "`name` is null"),
        (
            (pc.field("name").is_null() | (pc.field("id") == 3)) & (pc.field("id") == 5),
            "((`name` is null or `id` = 3) and `id` = 5)",
        ),
        (pc.field("day") < date(2024, 2, 29), "`day` < date '2024-02-29'"),
        (pc.field("yes") != True, "`yes` <> true"),  # noqa: E712 - an expression
        ((pc.field("id") > 1) & (pc.field("x") > 1.5), "(`id` > 1)"),
        ((pc.field("id") > 1) | (pc.field("x") > 1.5), None),
        (~(pc.field("id") > 1), None),
        (pc.field("id").isin([1, 2]), None),
        (
            (pc.field("id") > 1) & ((pc.field("pt") == "a") | (pc.field("pt") == "b")),
            "(`id` > 1 and (`pt` = 'a' or `pt` = 'b'))",
        ),
    ],
)
def test_what_is_pushed_down(expression: pc.Expression, sql: str | None) -> None:
    condition: Callable[..., Any] = arrow_conditions.condition_of
    assert conditions.to_sql(condition(expression, ROWS.schema)) == sql
