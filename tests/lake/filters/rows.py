"""The table predicates are tried on: every scalar type, NULL everywhere, the ends of every range."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pyarrow as pa

from maxlake.protocol.columns import Column
from maxlake.protocol.types.storage import storage_type
from maxlake.protocol.types.text import parse_type
from tests.lake.filters.oracle import Row, at, single

NAN, INF = float("nan"), float("inf")
D = Decimal

#: Values of each column; lists of different length make many combinations.
VALUES: dict[str, tuple[str, list[Any]]] = {
    "t": ("tinyint", [None, 0, 1, -1, 127, -128, 5]),
    "h": ("smallint", [7, None, -32768, 32767, 0, 3]),
    "i": ("int", [1, 2, None, 0, -5, 2**31 - 1, -(2**31), 10, 3, 100, 42]),
    "b": ("bigint", [None, 2**63 - 1, -(2**63), 2**53 + 1, 2**53, 0, 5, -7, 10, 1, 3, 1_700_000_000, 2]),
    "f": ("float", [single(0.1), None, NAN, -0.0, 0.0, INF, -INF, 1.5, single(16_777_216.0)]),
    "d": (
        "double",
        [0.1, NAN, None, 0.0, -0.0, INF, -INF, 2.5, -2.5, 1e300, 5e-324, 2.675, 9.3e18, 4.0, -9.0],
    ),
    "o": ("boolean", [True, False, None, True]),
    "m": (
        "decimal(10,2)",
        [D("1.50"), None, D("-99999999.99"), D("99999999.99"), D("0.00"), D("2.50"), D("-2.51"), D("0.10")],
    ),
    "w": (
        "decimal(38,18)",
        [
            D("0.1"),
            D("99999999999999999999.999999999999999999"),
            None,
            D("1E-18"),
            D("-1E-18"),
            D("0"),
            D("2.5"),
        ],
    ),
    "s": (
        "string",
        [
            "",
            "abc",
            None,
            "ABC",
            "a%c",
            "a_c",
            "a\nb",
            "é😀x",
            "\uffff",
            "\U00010000",
            " pad ",
            "a\\b",
            "aaa",
            "(x)",
            "2024-02-29",
            "e\u0301",
            "abcdef",
            "a,b,c",
            "x1y22z",
        ],
    ),
    "n": (
        "string",
        [
            "12",
            None,
            "-7",
            "1.9",
            "1e3",
            " 5",
            "abc",
            "",
            "9223372036854775808",
            "1e400",
            "+3",
            ".5",
            "5.",
            "1_0",
            "0x1F",
            "nan",
            "Infinity",
            "9007199254740993",
            "-1.005",
            "000000000000000000000000000000000000000012",
            "1e-9999",
            "99999999.995",
            "-0",
            "12345678.125e-3",
            "\uff11\uff12",
        ],
    ),
    "x": (
        "string",
        [
            "2024-02-29",
            "2023-02-29",
            None,
            "2024-01-31 23:59:59",
            "2024-01-31T23:59:59.123456789",
            "2024-1-1",
            "",
            "1677-09-21 00:12:43.145224193",
            "2262-04-11 23:47:16.854775806",
            "9999-12-31 23:59:59.999999999",
            "0001-01-01",
            "0000-01-01",
            "2024-01-01 24:00:00",
            "1969-12-31 23:59:59.9999",
            "2024-01-01 00:00:00.",
            "2262-04-11 23:47:16.854775807",
            "1677-09-21 00:12:43.145224194",
            "infinity",
            "2024-01-01 00:00:60",
        ],
    ),
    "v": ("varchar(10)", ["abc", None, "abcdefghij", "Z", "éé"]),
    "c": ("char(5)", [None, "abc", "x", "abcde"]),
    "y": ("binary", [b"", None, b"\xff"]),
    "da": (
        "date",
        [
            date(2024, 2, 29),
            None,
            date(1, 1, 1),
            date(9999, 12, 31),
            date(1970, 1, 1),
            date(1969, 12, 31),
            date(2024, 1, 31),
            date(2023, 1, 1),
        ],
    ),
    "dm": (
        "datetime",
        [
            at("2024-02-29 12:34:56.789"),
            at("1970-01-01"),
            None,
            at("0001-01-01"),
            at("9999-12-31 23:59:59.999"),
            at("1969-12-31 23:59:59.999"),
            at("2024-01-31"),
            at("2262-04-11 23:47:16.855"),
            at("1600-02-29 01:00:00"),
        ],
    ),
    "ts": (
        "timestamp",
        [
            at("2024-01-31 23:59:59.123456789"),
            at("2024-01-31 23:59:59.123456788"),
            None,
            -(2**63) + 2,
            2**63 - 2,
            0,
            -1,
            at("2024-01-31 23:59:59.123456790"),
            at("2023-12-31 23:59:59"),
            at("2024-02-29"),
        ],
    ),
    "tn": (
        "timestamp_ntz",
        [at("2024-01-31 23:59:59.123456789"), None, 1, at("2024-02-29 00:00:00.000000001")],
    ),
    "ar": ("array<int>", [[1], None, []]),
    "st": ("struct<a:int>", [None, {"a": 1}, {"a": None}]),
    "pt": ("string", ["2024-01-31", "2024-02-01", "b", "é'x"]),
    "pn": ("bigint", [7, -1, 2**63 - 1]),
}
PARTITION_KEYS = ("pt", "pn")
COUNT = 210

COLUMNS = [Column(name, parse_type(t)) for name, (t, _) in VALUES.items() if name not in PARTITION_KEYS]
PARTITION_COLUMNS = [Column(name, parse_type(VALUES[name][0])) for name in PARTITION_KEYS]
_PER_TICK = {"ms": 10**6, "ns": 1}


def row(number: int) -> Row:
    return SimpleNamespace(**{name: values[number % len(values)] for name, (_, values) in VALUES.items()})


ROWS = [row(number) for number in range(COUNT)]


def column(name: str, rows: list[Row]) -> pa.Array:
    """The values of a column in its storage type."""
    kind = storage_type(parse_type(VALUES[name][0]))
    values = [getattr(r, name) for r in rows]
    if pa.types.is_timestamp(kind):
        values = [v if v is None else v // _PER_TICK[kind.unit] for v in values]
    return pa.array(values, kind)


def batch(rows: list[Row]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([column(name, rows) for name in VALUES], names=list(VALUES))
