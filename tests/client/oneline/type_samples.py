"""A column of every type, with what is hard to keep: NULL, NaN, the ends of ranges."""

from datetime import date, datetime
from decimal import Decimal
from math import inf, nan

import pyarrow as pa

from from_code.types import all_types
from maxlake.protocol.types.arrow import arrow_type

_FIRST, _LAST = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999000)
_NANOS = [-(2**63) + 2, -1, 0, 999_999_999, 2**63 - 2]

_VALUES: dict[str, list[object]] = {
    "tinyint": [-128, 0, 127],
    "smallint": [-(2**15), 0, 2**15 - 1],
    "int": [-(2**31), 0, 2**31 - 1],
    "bigint": [-(2**63), 2**53 + 1, 2**63 - 1],
    "float": [nan, inf, -0.0, 1.5, 3.4e38],
    "double": [nan, -inf, 0.1, 1.7e308, 5e-324],
    "boolean": [True, False],
    "string": ["", "NaN", "日本", "a\x00b", "'\"\\"],
    "binary": [b"", b"\x00\xff"],
    "date": [date(1, 1, 1), date(1969, 12, 31), date(9999, 12, 31)],
    "datetime": [_FIRST, datetime(2262, 4, 12), _LAST],
    "interval_day_time": [{"sec": -(2**62), "nano": -999_999_999}, {"sec": 0, "nano": 1}],
    "interval_year_month": [-(2**31), 13],
    "json": ['{"a": [1, null]}', "null"],
    "variant": ['{"a": 1}'],
    "decimal(10,2)": [Decimal("-99999999.99"), Decimal("0.01")],
    "decimal": [Decimal("9" * 20 + "." + "9" * 18), Decimal("-0.000000000000000001")],
    "char(10)": ["", "ten chars!"],
    "varchar(10)": ["x ", ""],
    "array<bigint>": [[], [1, None, 2**63 - 1]],
    "map<string,bigint>": [[], [("a", 1), ("b", None)]],
    "struct<x:bigint,y:string>": [{"x": 2**53 + 1, "y": None}, {"x": None, "y": ""}],
    "vector(float,3)": [[1.5, nan, -1.0]],
}


def sample() -> pa.Table:
    """A column of each type but `blob`, which only an upload makes, named for it; each begins with NULL."""
    columns: dict[str, pa.Array] = {}
    for t in all_types():
        dtype = arrow_type(t)
        if str(t) in ("timestamp", "timestamp_ntz"):
            columns[str(t)] = pa.array([None, *_NANOS], pa.int64()).view(dtype)
        elif str(t) != "blob":
            columns[str(t)] = pa.array([None, *_VALUES[str(t)]], dtype)
    rows = max(map(len, columns.values()))
    padded = {name: pa.concat_arrays([a, pa.nulls(rows - len(a), a.type)]) for name, a in columns.items()}
    return pa.table(padded)
