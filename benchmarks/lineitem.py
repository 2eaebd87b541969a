"""The data set: rows like TPC-H's ``lineitem``. The same seed gives the same rows.

Imported by ``peer.py`` in environments that hold nothing of maxlake: pyarrow and numpy only.
"""

import numpy as np
import pyarrow as pa

#: Columns as `create_table` of PyODPS takes them; their Arrow types are those a read session sends.
COLUMNS = (
    "l_orderkey bigint, l_partkey int, l_suppkey int, l_linenumber tinyint, "
    "l_quantity decimal(15,2), l_extendedprice decimal(15,2), l_discount double, l_tax double, "
    "l_returnflag string, l_linestatus string, l_shipdate date, l_commitdate date, l_receiptdate date, "
    "l_shipinstruct string, l_shipmode string, l_comment string"
)
_WORDS = [
    "furiously",
    "quickly",
    "final",
    "ironic",
    "pending",
    "requests",
    "deposits",
    "packages",
    "accounts",
]
_WORDS += ["theodolites", "pinto", "beans", "sleep", "haggle", "wake", "integrate", "along", "the", "above"]
_COMMENTS = 65_536
_FIRST_DAY, _LAST_DAY = 8035, 10_561  # 1992-01-01 and 1998-12-01, in days since 1970


def lineitem(rows: int, seed: int) -> pa.Table:
    """About 143 bytes a row; the comments are null in one row of twenty, nothing else is."""
    random = np.random.default_rng(seed)
    order = np.cumsum(random.random(rows) < 0.25) + 1
    quantity = random.integers(1, 51, rows)
    shipped = random.integers(_FIRST_DAY, _LAST_DAY, rows, dtype=np.int32)
    return pa.table(
        {
            "l_orderkey": pa.array(order, pa.int64()),
            "l_partkey": pa.array(random.integers(1, 200_001, rows, dtype=np.int32)),
            "l_suppkey": pa.array(random.integers(1, 10_001, rows, dtype=np.int32)),
            "l_linenumber": pa.array(random.integers(1, 8, rows, dtype=np.int8)),
            "l_quantity": _cents(quantity * 100),
            "l_extendedprice": _cents(quantity * random.integers(90_000, 10_000_000, rows) // 100),
            "l_discount": pa.array(random.integers(0, 11, rows) / 100),
            "l_tax": pa.array(random.integers(0, 9, rows) / 100),
            "l_returnflag": _one_of(["R", "A", "N"], rows, random),
            "l_linestatus": _one_of(["O", "F"], rows, random),
            "l_shipdate": _days(shipped),
            "l_commitdate": _days(shipped + random.integers(-60, 61, rows, dtype=np.int32)),
            "l_receiptdate": _days(shipped + random.integers(1, 31, rows, dtype=np.int32)),
            "l_shipinstruct": _one_of(
                ["DELIVER IN PERSON", "COLLECT COD", "NONE", "TAKE BACK RETURN"], rows, random
            ),
            "l_shipmode": _one_of(["REG AIR", "AIR", "RAIL", "SHIP", "TRUCK", "MAIL", "FOB"], rows, random),
            "l_comment": _comments(rows, random),
        }
    )


def _cents(values: np.ndarray) -> pa.Array:
    # A decimal(15,2) is laid out as 128-bit little-endian integers of its hundredths.
    words = np.stack([values, np.zeros_like(values)], axis=1).astype(np.int64)
    return pa.Array.from_buffers(pa.decimal128(15, 2), len(values), [None, pa.py_buffer(words)])


def _days(values: np.ndarray) -> pa.Array:
    return pa.array(values, pa.int32()).view(pa.date32())


def _one_of(words: list[str], rows: int, random: np.random.Generator) -> pa.Array:
    return pa.array(words).take(pa.array(random.integers(0, len(words), rows)))


def _comments(rows: int, random: np.random.Generator) -> pa.Array:
    lengths = random.integers(2, 7, _COMMENTS)
    texts = [" ".join(random.choice(_WORDS, length)) for length in lengths]
    chosen = random.integers(0, len(texts), rows)
    return pa.array(texts).take(pa.array(chosen, mask=random.random(rows) < 0.05))
