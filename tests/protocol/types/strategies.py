"""Random ODPS types, and random values of them as Python and as Arrow arrays in upload form."""

from __future__ import annotations

from decimal import Context
from decimal import Decimal as PyDecimal
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from maxlake.protocol.blob_references import DECODED_PREFIX
from maxlake.protocol.types.arrow import arrow_type
from maxlake.protocol.types.model import (
    Array,
    Char,
    Decimal,
    Kind,
    Map,
    OdpsType,
    Simple,
    Struct,
    StructField,
    Varchar,
    Vector,
)

MEMBER_NAMES = st.one_of(
    st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True),
    st.text("aBé 0-:,<>", min_size=1, max_size=6).filter(lambda s: s.strip() != ""),
)
DECIMALS = st.one_of(
    st.just(Decimal()),
    st.integers(1, 38).flatmap(lambda p: st.builds(Decimal, st.just(p), st.integers(0, p))),
)
SCALARS: st.SearchStrategy[OdpsType] = st.one_of(
    st.sampled_from([Simple(kind) for kind in Kind]),
    DECIMALS,
    st.builds(Char, st.integers(1, 255)),
    st.builds(Varchar, st.integers(1, 65_535)),
    st.builds(Vector, st.sampled_from([Simple(Kind.FLOAT), Simple(Kind.INT)]), st.integers(1, 4)),
)
KEYS: st.SearchStrategy[OdpsType] = st.sampled_from(
    [Simple(k) for k in (Kind.STRING, Kind.BIGINT, Kind.DATE, Kind.TINYINT)] + [Decimal(10, 2)]
)


def structs(inner: st.SearchStrategy[OdpsType]) -> st.SearchStrategy[OdpsType]:
    fields = st.lists(
        st.tuples(MEMBER_NAMES, inner), min_size=1, max_size=3, unique_by=lambda f: f[0].lower()
    )
    return fields.map(lambda fs: Struct(tuple(StructField(n, t) for n, t in fs)))


TYPES: st.SearchStrategy[OdpsType] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.builds(Array, inner), st.builds(Map, KEYS, inner), structs(inner)),
    max_leaves=5,
)

_NANO = 10**9
_CONTEXT = Context(prec=80)
_SIMPLE_VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.TINYINT: st.integers(-(2**7), 2**7 - 1),
    Kind.SMALLINT: st.integers(-(2**15), 2**15 - 1),
    Kind.INT: st.integers(-(2**31), 2**31 - 1),
    Kind.BIGINT: st.integers(-(2**63), 2**63 - 1),
    Kind.FLOAT: st.floats(width=32, allow_nan=False),
    Kind.DOUBLE: st.floats(allow_nan=False),
    Kind.BOOLEAN: st.booleans(),
    Kind.DATE: st.dates(),
    # Instants as integers in the unit at rest: Python has no nanoseconds.
    Kind.DATETIME: st.integers(-62_135_596_800_000, 253_402_300_799_999),
    Kind.TIMESTAMP: st.integers(-(2**63) + 2, 2**63 - 2),
    Kind.TIMESTAMP_NTZ: st.integers(-(2**63) + 2, 2**63 - 2),
    Kind.INTERVAL_DAY_TIME: st.fixed_dictionaries(
        {"sec": st.integers(-(2**40), 2**40), "nano": st.integers(1 - _NANO, _NANO - 1)}
    ),
    Kind.INTERVAL_YEAR_MONTH: st.integers(-(2**31), 2**31 - 1),
    Kind.BINARY: st.binary(max_size=8),
    Kind.BLOB: st.binary(max_size=8).map(lambda data: DECODED_PREFIX + data.hex().encode()),
}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def values(t: OdpsType) -> st.SearchStrategy[Any]:
    """Values of ``t``, now and then None."""
    return st.one_of(st.none(), present(t))


def present(t: OdpsType) -> st.SearchStrategy[Any]:
    match t:
        case Simple():
            return _SIMPLE_VALUES.get(t.kind, TEXT)
        case Decimal():
            precision, scale = t.digits
            most = 10**precision - 1
            return st.integers(-most, most).map(lambda i: PyDecimal(i).scaleb(-scale, context=_CONTEXT))
        case Vector():
            return st.lists(present(t.element), min_size=t.length, max_size=t.length)
        case Array():
            return st.lists(values(t.item), max_size=3)
        case Map():
            entries = st.tuples(present(t.key), values(t.value))
            return st.lists(entries, max_size=3, unique_by=lambda e: e[0])
        case Struct():
            return st.fixed_dictionaries({f.name: values(f.type) for f in t.fields})
        case _:
            assert isinstance(t, Char | Varchar)
            return TEXT.map(lambda s: s[: t.length])


def arrays(t: OdpsType) -> st.SearchStrategy[pa.Array]:
    """Arrow arrays in the form Python clients upload."""
    return st.lists(values(t), max_size=6).map(lambda rows: pa.array(rows, arrow_type(t)))
