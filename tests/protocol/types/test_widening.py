"""A column widens only into types that hold every value it may have."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxlake.protocol.types.storage import storage_type
from maxlake.protocol.types.text import parse_type
from maxlake.protocol.types.widening import widens

WIDER = [
    ("tinyint", "smallint"),
    ("tinyint", "bigint"),
    ("int", "bigint"),
    ("tinyint", "decimal(3,0)"),
    ("bigint", "decimal(38,18)"),
    ("float", "double"),
    ("decimal(10,2)", "decimal(11,3)"),
    ("decimal(38,18)", "decimal"),
    ("char(3)", "char(4)"),
    ("char(3)", "varchar(3)"),
    ("varchar(3)", "string"),
    ("map<string,int>", "MAP<string,int>"),
]

OTHER = [
    ("bigint", "int"),
    ("int", "double"),
    ("int", "float"),
    ("int", "string"),
    ("double", "float"),
    ("bigint", "decimal(18,0)"),
    ("int", "decimal(11,2)"),
    ("decimal(10,2)", "decimal(10,1)"),
    ("decimal(10,2)", "decimal(10,3)"),
    ("decimal(10,2)", "bigint"),
    ("char(4)", "varchar(3)"),
    ("varchar(3)", "varchar(2)"),
    ("varchar(3)", "char(3)"),
    ("string", "varchar(9)"),
    ("string", "binary"),
    ("date", "datetime"),
    ("datetime", "timestamp"),
    ("timestamp", "timestamp_ntz"),
    ("array<int>", "array<bigint>"),
    ("struct<a:int>", "struct<a:int,b:int>"),
]


@pytest.mark.parametrize(("old", "new"), WIDER)
def test_wider(old: str, new: str) -> None:
    assert widens(parse_type(old), parse_type(new))


@pytest.mark.parametrize(("old", "new"), OTHER)
def test_not_wider(old: str, new: str) -> None:
    assert not widens(parse_type(old), parse_type(new))


DECIMALS = st.integers(1, 38).flatmap(
    lambda precision: st.builds(lambda scale: (precision, scale), st.integers(0, precision))
)
#: DuckDB and PyArrow cast integers to decimals by the digits of their type.
DIGITS = {"tinyint": 3, "smallint": 5, "int": 10, "bigint": 19}


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(DIGITS)) | DECIMALS, DECIMALS)
def test_the_extremes_survive_exactly_in_wider_decimals_alone(
    old: str | tuple[int, int], new: tuple[int, int]
) -> None:
    t = parse_type(old if isinstance(old, str) else f"decimal({old[0]},{old[1]})")
    wider = parse_type(f"decimal({new[0]},{new[1]})")
    if isinstance(old, str):
        extremes = [Decimal(f"-{'9' * DIGITS[old]}"), Decimal(1)]
    else:
        extremes = [Decimal(f"-{'9' * old[0]}E-{old[1]}"), Decimal(f"1E-{old[1]}")]
    try:
        found = pa.array(extremes, pa.decimal256(76, 38)).cast(storage_type(wider)).to_pylist()
    except pa.ArrowInvalid:
        found = None
    assert widens(t, wider) is (found == extremes)
