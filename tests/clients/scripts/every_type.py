"""One row set that holds every ODPS type at its extremes, as clients write it and as they must read it.

Arrow types are those a server sends (types.md §2); the units are the defaults: datetime in milliseconds,
timestamps in nanoseconds.
"""

import datetime
import decimal
import math
from dataclasses import dataclass

import pyarrow as pa

Decimal = decimal.Decimal
NS = 1_000_000_000
#: The largest instant in nanoseconds; one more is DuckDB's infinity.
LAST_NANO = 2**63 - 2


@dataclass(frozen=True)
class TypedColumn:
    """A column: its ODPS type, the Arrow type on the wire and four values, the last of them null."""

    name: str
    odps: str
    arrow: pa.DataType
    values: tuple

    @property
    def array(self):
        return pa.array([*self.values, None], self.arrow)


def _ms(*moment):
    return int(datetime.datetime(*moment, tzinfo=datetime.UTC).timestamp() * 1000)


INTERVAL = pa.struct([("sec", pa.int64()), ("nano", pa.int32())])
INNER = pa.struct([("f", pa.decimal128(5, 1)), ("g", pa.list_(pa.string()))])

SCALARS = (
    TypedColumn("c_tinyint", "tinyint", pa.int8(), (-128, 0, 127)),
    TypedColumn("c_smallint", "smallint", pa.int16(), (-(2**15), 0, 2**15 - 1)),
    TypedColumn("c_int", "int", pa.int32(), (-(2**31), 0, 2**31 - 1)),
    TypedColumn("c_bigint", "bigint", pa.int64(), (-(2**63), 0, 2**63 - 1)),
    TypedColumn("c_float", "float", pa.float32(), (-math.inf, math.nan, 2.0**-149)),
    TypedColumn("c_double", "double", pa.float64(), (-0.0, 1.7976931348623157e308, 5e-324)),
    TypedColumn("c_boolean", "boolean", pa.bool_(), (True, False, True)),
    TypedColumn("c_string", "string", pa.string(), ("", "Zürich 東京 \U0001f642\x00\n'\"`", "x" * 70_000)),
    TypedColumn("c_binary", "binary", pa.binary(), (b"", b"\x00\xff\xfe", bytes(range(256)) * 300)),
    TypedColumn("c_char", "char(3)", pa.string(), ("", "a", "äöü")),
    TypedColumn("c_varchar", "varchar(5)", pa.string(), ("", " b ", "12345")),
    TypedColumn(
        "c_date",
        "date",
        pa.date32(),
        (datetime.date(1, 1, 1), datetime.date(1969, 12, 31), datetime.date(9999, 12, 31)),
    ),
    TypedColumn(
        "c_datetime",
        "datetime",
        pa.timestamp("ms"),
        (_ms(1, 1, 1), -1, _ms(9999, 12, 31, 23, 59, 59, 999000)),
    ),
    TypedColumn("c_timestamp", "timestamp", pa.timestamp("ns"), (-LAST_NANO, -1, LAST_NANO)),
    TypedColumn("c_timestamp_ntz", "timestamp_ntz", pa.timestamp("ns"), (-LAST_NANO, -1, LAST_NANO)),
    TypedColumn(
        "c_decimal_10_2",
        "decimal(10,2)",
        pa.decimal128(10, 2),
        (Decimal("-99999999.99"), Decimal("0.00"), Decimal("99999999.99")),
    ),
    TypedColumn(
        "c_decimal_38_18",
        "decimal(38,18)",
        pa.decimal128(38, 18),
        (Decimal(-(10**38) + 1).scaleb(-18, decimal.Context(38)), Decimal(0), Decimal("1E-18")),
    ),
    TypedColumn(
        "c_decimal",
        "decimal",
        pa.decimal128(38, 18),
        (Decimal("-12345678901234567890.5"), Decimal(0), Decimal("0.000000000000000001")),
    ),
    TypedColumn("c_json", "json", pa.string(), ('{"a":[1,null,"é"]}', "[]", "null")),
    TypedColumn("c_months", "interval_year_month", pa.int32(), (-(2**31), 0, 14)),
)
INTERVALS = (
    TypedColumn(
        "c_interval",
        "interval_day_time",
        INTERVAL,
        ({"sec": -1, "nano": 999_999_999}, {"sec": 0, "nano": 0}, {"sec": 9 * 10**9, "nano": 5}),
    ),
)
LISTS = (
    TypedColumn("c_array", "array<bigint>", pa.list_(pa.int64()), ([], [1, None, 3], [None])),
    TypedColumn(
        "c_array_of_array",
        "array<array<string>>",
        pa.list_(pa.list_(pa.string())),
        ([], [None, [], ["a", None]], [["b"]]),
    ),
    TypedColumn(
        "c_map",
        "map<string,bigint>",
        pa.map_(pa.string(), pa.int64()),
        ([], [("a", 1), ("", None)], [("z", -1), ("y", 0)]),
    ),
    TypedColumn(
        "c_map_of_array",
        "map<bigint,array<date>>",
        pa.map_(pa.int64(), pa.list_(pa.date32())),
        ([], [(1, None), (2, [])], [(3, [datetime.date(2024, 2, 29), None])]),
    ),
    TypedColumn(
        "c_array_of_time",
        "array<timestamp>",
        pa.list_(pa.timestamp("ns")),
        ([], [0, None], [1_700_000_000 * NS + 1]),
    ),
    TypedColumn(
        "c_vector",
        "vector(float,32)",
        pa.list_(pa.float32()),
        ([0.5] * 32, [-0.0, *[math.inf] * 31], [float(number) for number in range(32)]),
    ),
)
STRUCTS = (
    TypedColumn(
        "c_struct",
        "struct<a:int,b:struct<f:decimal(5,1),g:array<string>>>",
        pa.struct([("a", pa.int32()), ("b", INNER)]),
        (
            {"a": None, "b": None},
            {"a": 1, "b": {"f": Decimal("-9999.9"), "g": ["", None]}},
            {"a": 2, "b": {"f": None, "g": []}},
        ),
    ),
    TypedColumn(
        "c_array_of_struct",
        "array<struct<x:datetime,y:map<string,binary>>>",
        pa.list_(pa.struct([("x", pa.timestamp("ms")), ("y", pa.map_(pa.string(), pa.binary()))])),
        ([], [None, {"x": None, "y": None}], [{"x": 1, "y": [("k", b"\x00")]}]),
    ),
)
VARIANTS = (TypedColumn("c_variant", "variant", pa.string(), ('{"a":1}', "[1,2]", '"text"')),)


#: What ArrowOptions call units: their name in Arrow and how many make a second.
UNITS = {"second": ("s", 1), "milli": ("ms", 10**3), "micro": ("us", 10**6), "nano": ("ns", NS)}


def in_units(column, timestamp, datetime):
    """The column as it must be read in these units: what is finer is cut toward the past (types.md §2)."""
    units = {"ns": (NS, *UNITS[timestamp]), "ms": (1000, *UNITS[datetime])}
    arrow = _unit_type(column.arrow, units)
    return TypedColumn(
        column.name, column.odps, arrow, tuple(_unit_value(v, column.arrow, units) for v in column.values)
    )


def _unit_type(arrow, units):
    if pa.types.is_timestamp(arrow):
        return pa.timestamp(units[arrow.unit][1])
    if pa.types.is_list(arrow):
        return pa.list_(_unit_type(arrow.value_type, units))
    if pa.types.is_map(arrow):
        return pa.map_(_unit_type(arrow.key_type, units), _unit_type(arrow.item_type, units))
    if pa.types.is_struct(arrow):
        return pa.struct([(field.name, _unit_type(field.type, units)) for field in arrow])
    return arrow


def _unit_value(value, arrow, units):
    if value is None:
        return None
    if pa.types.is_timestamp(arrow):
        per_second, _, wanted = units[arrow.unit]
        return value * wanted // per_second
    if pa.types.is_list(arrow):
        return [_unit_value(each, arrow.value_type, units) for each in value]
    if pa.types.is_map(arrow):
        kinds = (arrow.key_type, arrow.item_type)
        return [tuple(map(_unit_value, pair, kinds, (units, units))) for pair in value]
    if pa.types.is_struct(arrow):
        return {field.name: _unit_value(value[field.name], field.type, units) for field in arrow}
    return value


def declaration(columns):
    """The columns as `create_table` takes them; `id` comes first."""
    return ", ".join(["id bigint", *(f"{column.name} {column.odps}" for column in columns)])


def rows(columns, first_id=0, **partition):
    """The four rows, with ids from `first_id` and constant partition columns."""
    table = {"id": pa.array(range(first_id, first_id + 4), pa.int64())}
    table |= {column.name: column.array for column in columns}
    table |= {name: pa.array([value] * 4) for name, value in partition.items()}
    return pa.RecordBatch.from_pydict(table)


def check_equal(got, want):
    """Assert that two tables hold the same rows, whatever their order, in the same Arrow types."""
    assert got.schema.names == want.schema.names, (got.schema.names, want.schema.names)
    for name in want.schema.names:
        assert got.schema.field(name).type == want.schema.field(name).type, (
            name,
            got.schema.field(name).type,
            want.schema.field(name).type,
        )
    assert got.num_rows == want.num_rows, (got.num_rows, want.num_rows)
    got, want = got.sort_by("id"), want.sort_by("id")
    for name in want.schema.names:
        left, right = _values(got.column(name)), _values(want.column(name))
        assert left == right, f"{name}:\n got: {left[:2000]}\nwant: {right[:2000]}"


def _values(column):
    """Values as text, so that NaN equals itself and -0.0 does not equal 0.0; nanoseconds are kept."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    return repr(column.to_pylist())
