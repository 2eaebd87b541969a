"""Values of every type, as read in every unit that ArrowOptions know."""

import every_type
import pyarrow as pa
from behaviours import behaviour, failed, same
from every_type import LAST_NANO, NS, UNITS, TypedColumn, check_equal, in_units
from tables import Split, ids

#: 2024-02-29T12:30:15.123456789.
MOMENT = 1_709_209_815 * NS + 123_456_789
#: In milliseconds: 1883-11-18T12:03:57.999 and 2262-04-11T23:47:16.854, the last that nanoseconds reach.
OLD, LAST_MILLI = -2_717_668_562_001, LAST_NANO // 10**6

DATETIME, TIMESTAMP = pa.timestamp("ms"), pa.timestamp("ns")
INNER = pa.struct([("x", DATETIME), ("y", pa.list_(TIMESTAMP))])

TIMES = (
    TypedColumn("a", "datetime", DATETIME, (OLD, LAST_MILLI, -1)),
    TypedColumn("b", "timestamp", TIMESTAMP, (-LAST_NANO, MOMENT, LAST_NANO)),
    TypedColumn("c", "timestamp_ntz", TIMESTAMP, (-MOMENT, -1, 1)),
    TypedColumn("d", "array<datetime>", pa.list_(DATETIME), ([], [-1, None, 1], [MOMENT // 10**6])),
    TypedColumn("e", "array<timestamp_ntz>", pa.list_(TIMESTAMP), ([MOMENT], [None, -999], [-LAST_NANO])),
    TypedColumn(
        "f", "map<timestamp,datetime>", pa.map_(TIMESTAMP, DATETIME),
        ([], [(MOMENT, -1), (0, None)], [(-MOMENT, 1)]),
    ),
    TypedColumn(
        "g", "struct<x:datetime,y:array<timestamp>>", INNER,
        ({"x": None, "y": None}, {"x": -1, "y": [MOMENT, None]}, {"x": OLD, "y": []}),
    ),
)  # fmt: skip


@behaviour()
def times_in_every_unit(context):
    table = context.made(every_type.declaration(TIMES))
    table.write(every_type.rows(TIMES), partition="pt=a")
    for timestamp in UNITS:
        for datetime in UNITS:
            want = [in_units(column, timestamp, datetime) for column in TIMES]
            got = table.read(timestamp_unit=timestamp, datetime_unit=datetime)
            check_equal(got, pa.Table.from_batches([every_type.rows(want, pt="a")]))
    check_equal(table.read(), pa.Table.from_batches([every_type.rows(TIMES, pt="a")]))


@behaviour()
def datetimes_beyond_nanoseconds(context):
    """An error, not a wrap (types.md §2); the rows that fit are read."""
    table = context.made("id bigint, at datetime, more array<datetime>")
    beyond = {"year 2500": 16_725_225_600_000, "next": LAST_MILLI + 1, "year 1": -62_135_596_800_000}
    columns = {"near": (0, [LAST_MILLI]), **{name: (at, []) for name, at in beyond.items()}}
    columns["nested"] = (0, [0, beyond["next"]])
    for number, (name, (at, more)) in enumerate(columns.items()):
        rows = {
            "id": pa.array([number], pa.int64()),
            "at": pa.array([at], DATETIME),
            "more": pa.array([more], pa.list_(DATETIME)),
        }
        table.write(pa.RecordBatch.from_pydict(rows), partition=f"pt={name}")
    near = table.read(datetime_unit="nano", partitions=("pt=near",))
    same(near.schema.field("at").type, pa.timestamp("ns"))
    same(near.column("more").combine_chunks().values.cast(pa.int64()).to_pylist(), [LAST_MILLI * 10**6])
    for name in [*beyond, "nested"]:
        for wanted in ({"partitions": (f"pt={name}",)}, {"split": Split("RowOffset")}):
            session = table.session(datetime_unit="nano", **wanted)
            failed(session.read, "DATA_ERROR", "does not fit")
    for unit in ("second", "milli", "micro"):
        scale = UNITS[unit][1]
        got = table.read(datetime_unit=unit, columns=("id", "at")).sort_by("id")
        want = [at * scale // 1000 for at, _ in columns.values()]
        same(got.column("at").cast(pa.int64()).to_pylist(), want)


@behaviour()
def nulls_of_every_type(context):
    columns = every_type.SCALARS + every_type.LISTS + every_type.STRUCTS
    table = context.made(every_type.declaration(columns))
    table.write(every_type.rows(columns), partition="pt=a")
    whole = pa.Table.from_batches([every_type.rows(columns, pt="a")])
    nowhere = " and ".join(f"{column.name} is null" for column in columns)
    same(ids(table.read(where=nowhere)), [3])
    for column in columns:
        got = table.read(where=f"{column.name} is not null", columns=("id", column.name))
        check_equal(got, whole.select(["id", column.name, "pt"]).slice(0, 3))
