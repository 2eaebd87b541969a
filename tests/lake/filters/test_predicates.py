"""Every predicate of the table, evaluated by Arrow and DuckDB, against its meaning in plain Python."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings

from maxlake.lake.filters import Bounds, Filter, duckdb_engine, duckdb_functions, functions
from maxlake.protocol.errors import BadRequestError, BusyError, ErrorCode, InternalError
from maxlake.protocol.predicates import tree
from maxlake.protocol.predicates.parse import parse_predicate
from tests.lake.filters.random_predicates import conditions
from tests.lake.filters.rows import COLUMNS, PARTITION_COLUMNS, PARTITION_KEYS, ROWS, VALUES, batch
from tests.lake.filters.table import TABLE, Meaning

BATCH = batch(ROWS)
NOTHING = SimpleNamespace(**dict.fromkeys(VALUES))


def parsed(text: str) -> tree.Expression:
    found = parse_predicate(text, COLUMNS, PARTITION_COLUMNS)
    assert found is not None
    return found


def wanted(meaning: Meaning, rows: list[Any]) -> list[bool]:
    return [meaning(row) is True for row in rows]


@pytest.mark.parametrize(("text", "meaning"), TABLE, ids=[text for text, _ in TABLE])
def test_a_predicate_means_what_python_says(text: str, meaning: Meaning) -> None:
    condition, expected = Filter(parsed(text)), wanted(meaning, ROWS)
    mask = condition.mask(BATCH)
    assert mask.type == pa.bool_()
    assert mask.to_pylist() == expected
    assert condition.mask(BATCH.slice(37, 60)).to_pylist() == expected[37:97]
    assert condition.mask(BATCH.slice(0, 0)).to_pylist() == []
    nothing = batch([NOTHING] * 3)
    assert condition.mask(nothing).to_pylist() == wanted(meaning, [NOTHING] * 3)


def test_the_table_covers_what_there_is() -> None:
    assert len(TABLE) == len({text for text, _ in TABLE}) >= 150
    nodes = [node for text, _ in TABLE for node in tree.walk(parsed(text))]
    kinds = {
        kind for kind in vars(tree).values() if isinstance(kind, type) and issubclass(kind, tree.Expression)
    }
    assert {type(node) for node in nodes} == kinds - {tree.Expression}
    assert {node.operator for node in nodes if isinstance(node, tree.Comparison)} == set(tree.Comparator)
    assert {node.function for node in nodes if isinstance(node, tree.Call)} == set(functions.KERNELS)
    assert {node.name for node in nodes if isinstance(node, tree.ColumnValue)} == set(VALUES)
    constant = [text for text, meaning in TABLE if len(set(wanted(meaning, ROWS))) == 1]
    assert len(constant) < len(TABLE) / 10, constant


def test_dictionaries_and_large_texts_will_do() -> None:
    names = ["s", "n", "pt", "v"]
    encoded = BATCH
    for name in names:
        place = encoded.schema.get_field_index(name)
        values = encoded.column(name)
        values = values.cast(pa.large_utf8()) if name == "n" else values.dictionary_encode()
        encoded = encoded.set_column(place, name, values)
    for text, meaning in TABLE:
        condition = Filter(parsed(text))
        if {*names} & {*condition.columns}:
            assert condition.mask(encoded).to_pylist() == wanted(meaning, ROWS), text


@settings(max_examples=150)
@given(conditions())
def test_random_conditions_mean_what_python_says(condition: tuple[str, Meaning]) -> None:
    text, meaning = condition
    assert Filter(parsed(text)).mask(BATCH).to_pylist() == wanted(meaning, ROWS)


def test_nan_as_a_constant_is_found_with_any_of_its_bits() -> None:
    """No text says NaN, but a folded constant may be it; Arrow's own IN tells NaN from NaN by their bits."""
    double = next(c.type for c in COLUMNS if c.name == "d")
    bits = pa.array([0x7FF8000000000001, 0xFFF8000000000000, 0x3FF0000000000000, None], pa.uint64())
    rows = pa.record_batch({"d": bits.view(pa.float64())})
    column, nan = tree.ColumnValue("d", double), tree.Literal(float("nan"), double)
    for node, expected in [
        (tree.In(column, (nan, tree.Literal(7.0, double))), [True, True, False, False]),
        (tree.Comparison(tree.Comparator.EQUAL, column, nan), [True, True, False, False]),
        (tree.Comparison(tree.Comparator.LESS, column, nan), [False, False, True, False]),
        (tree.Not(tree.In(column, (nan,))), [False, False, True, False]),
    ]:
        condition = Filter(node)
        assert condition.mask(rows).to_pylist() == expected
        assert condition.may_match({"d": Bounds(null_count=1, value_count=3)})


# -- which engine ------------------------------------------------------------------------------------


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of rows of every column DuckDB is given, call by call."""
    calls: list[int] = []
    original = duckdb_engine.compute

    def compute(build: Any, inputs: Any) -> Any:
        calls.append(max((len(value) for value in inputs if isinstance(value, pa.Array)), default=0))
        return original(build, inputs)

    monkeypatch.setattr(duckdb_functions, "compute", compute)
    return calls


def test_each_engine_does_its_part_and_no_other(computed: list[int]) -> None:
    used = Counter[bool]()
    for text, _ in TABLE:
        condition = Filter(parsed(text))
        computed.clear()
        found = condition.mask(BATCH).true_count
        through_duckdb = any(program.duckdb for program in condition._programs)
        assert through_duckdb or not computed, text
        assert computed or not (through_duckdb and found), text
        used[bool(computed)] += 1
    assert min(used.values()) > 80


def test_every_function_of_duckdb_is_computed_there(monkeypatch: pytest.MonkeyPatch) -> None:
    called: set[str] = set()
    original = duckdb_functions.call
    monkeypatch.setattr(duckdb_functions, "call", lambda name, *i: (called.add(name), original(name, *i))[1])
    for text, _ in TABLE:
        Filter(parsed(text)).mask(BATCH)
    assert called == set(duckdb_functions.FUNCTIONS)


def test_duckdb_sees_only_rows_that_are_still_wanted(computed: list[int]) -> None:
    condition = Filter(parsed("upper(s) = 'ABC' and i = 1"))
    expected = sum(row.i == 1 for row in ROWS)
    assert condition.mask(BATCH).true_count == sum(
        row.i == 1 and (row.s or "").upper() == "ABC" for row in ROWS
    )
    assert computed == [expected]
    computed.clear()
    assert Filter(parsed("upper(s) = 'ABC' and i = 12345")).mask(BATCH).true_count == 0
    assert computed == []


def test_duckdb_is_imported_when_it_is_needed_and_not_before() -> None:
    code = (
        "import sys, pyarrow as pa\n"
        "from maxlake.lake.filters import Filter\n"
        "from maxlake.protocol.columns import Column\n"
        "from maxlake.protocol.predicates.parse import parse_predicate\n"
        "from maxlake.protocol.types.text import parse_type\n"
        "rows = pa.record_batch({'s': ['a', 'b']})\n"
        "for text in ('s > \\'a\\' and s like \\'b%\\'', 'upper(s) = \\'B\\''):\n"
        "    tree = parse_predicate(text, [Column('s', parse_type('string'))], [])\n"
        "    print(Filter(tree).mask(rows).to_pylist(), 'duckdb' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[False, True] False", "[False, True] True"]


def test_threads_share_a_filter() -> None:
    texts = ["upper(s) = 'ABC' or b + 1 is null", "cast(n as decimal(10,2)) is null", "d > 0.1"]
    meanings = dict(TABLE)
    filters = [(Filter(parsed(text)), text) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        masks = list(pool.map(lambda k: filters[k % 3][0].mask(BATCH).to_pylist(), range(96)))
    assert masks == [masks[k % 3] for k in range(96)]
    assert masks[1] == wanted(meanings[texts[1]], ROWS)


# -- safety --------------------------------------------------------------------------------------------


def test_statements_hold_no_text_of_a_predicate(monkeypatch: pytest.MonkeyPatch) -> None:
    written: set[str] = set()
    original = duckdb_functions.SQLExpression
    monkeypatch.setattr(
        duckdb_functions, "SQLExpression", lambda text: (written.add(text), original(text))[1]
    )
    evil = "x'); COPY t TO '/'; --"
    quoted = evil.replace("'", "\\'")
    texts = [f"{call} = '{quoted}'" for call in (f"concat(s, '{quoted}')", f"replace(s, '{quoted}', 'a')")]
    texts += [f"cast('{quoted}' as int) = i", f"lpad(s, 3, '{quoted}') = s or cast(n as int) = 1"]
    for text in [*texts, *(text for text, _ in TABLE)]:
        Filter(parsed(text)).mask(BATCH)
    kinds = r"(TINYINT|SMALLINT|INTEGER|BIGINT|DOUBLE|FLOAT|DECIMAL\(\d+,\d+\))"
    column = pa.array(sorted(written))
    known = (
        rf"^(TRY_CAST\(c0 AS {kinds}\)|TRY_CAST\(CAST\(c0 AS VARCHAR\) AS {kinds}\)"
        rf"|CASE WHEN regexp_full_match\(c0, '\[\+-\]\?\[0-9\]\+'\) THEN TRY_CAST\(c0 AS {kinds}\) "
        rf"ELSE TRY_CAST\(trunc\(TRY_CAST\(c0 AS DOUBLE\)\) AS {kinds}\) END"
        r"|epoch_us\(TRY_CAST\(substring\(c0, 1, 19\) AS TIMESTAMP\)\) // 1000000)$"
    )
    assert len(written) >= 5
    assert pa.compute.all(pa.compute.match_substring_regex(column, known)).as_py(), written


@pytest.mark.parametrize(
    "statement",
    [
        "SET threads = 4",
        "SELECT * FROM read_text('/etc/hostname')",
        "ATTACH 'x.db'",
        "INSTALL httpfs",
        "COPY (SELECT 1) TO 'x.csv'",
        "SET enable_external_access = true",
        "SELECT * FROM rows",
    ],
)
def test_the_database_is_locked(statement: str) -> None:
    rows = pa.table({"a": [1]})  # not to be found by its name
    assert rows.num_rows
    with pytest.raises(duckdb.Error):
        duckdb_engine._engine.connection.execute(statement).fetchall()


@pytest.mark.parametrize(
    "text", ["s rlike '('", "s rlike '[a'", "regexp_extract(s, '(a', 0) = ''", "s rlike 'a{1001}'"]
)
def test_a_bad_regular_expression_is_refused_before_any_row_is_read(text: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        Filter(parsed(text))
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


def test_what_no_kernel_knows_is_refused() -> None:
    column = tree.ColumnValue("s", COLUMNS[0].type)
    for node in (
        tree.Call("current_user", (), column.type),
        tree.Cast(column, next(c.type for c in COLUMNS if c.name == "ar")),
    ):
        with pytest.raises(BadRequestError):
            Filter(tree.IsNull(node))


@pytest.mark.parametrize(
    ("raised", "error"),
    [(duckdb.OutOfMemoryException("x"), BusyError), (duckdb.InvalidInputException("x"), InternalError)],
)
def test_failures_of_duckdb_are_typed(
    raised: Exception, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> Any:
        raise raised

    monkeypatch.setitem(duckdb_functions.FUNCTIONS, "upper", failing)
    with pytest.raises(error):
        Filter(parsed("upper(s) = 'A'")).mask(BATCH)


# -- partitions ----------------------------------------------------------------------------------------


def test_partitions_are_judged_by_their_values() -> None:
    keys = [{"pt": pt, "pn": str(pn)} for pt in VALUES["pt"][1] for pn in VALUES["pn"][1]]
    skipped = 0
    for text, meaning in TABLE:
        condition = Filter(parsed(text))
        for key, taken in zip(keys, condition.matching_partitions(keys), strict=True):
            rows = [
                SimpleNamespace(**{**vars(row), "pt": key["pt"], "pn": int(key["pn"])}) for row in ROWS[:40]
            ]
            assert taken or not any(wanted(meaning, rows)), (text, key)
            skipped += not taken
        assert condition.matching_partitions([]) == []
    assert skipped > 100


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("pt = 'b'", [False, True, False]),
        ("substr(pt, 1, 4) = '2024' and i > 1", [True, False, False]),
        ("(pt = 'b' and i > 1) or (pt = 'c' and i < 0)", [False, True, True]),
        ("pt in ('b', 'x') or pn > 5", [True, True, False]),
        ("pt is null", [False, False, False]),
        ("not pt like '2024%'", [False, True, True]),
        ("to_date(pt, 'yyyymmdd') > '2024-01-01'", [True, False, False]),
        ("i > 1", [True, True, True]),
        ("1 = 2", [False, False, False]),
    ],
)
def test_partitions_are_skipped(text: str, taken: list[bool]) -> None:
    keys = [{"pt": "20240131", "pn": "7"}, {"pt": "b", "pn": "-1"}, {"pt": "c", "pn": "5"}]
    assert Filter(parsed(text)).matching_partitions(keys) == taken
    assert set(PARTITION_KEYS) == set(keys[0])
