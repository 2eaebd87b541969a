"""Filter predicates, each beside what it means in Python."""

import datetime
import math
from decimal import Decimal

import pyarrow as pa
from behaviours import behaviour, failed, same
from tables import Split, ids

NS = 1_000_000_000
DAY = 86_400
#: 2024-02-28T12:00:00Z.
NOON = 1_709_121_600

COLUMNS = (
    "id bigint, small tinyint, real double, price decimal(10,2), name string, flag boolean, day date, "
    "at datetime, exact timestamp, wall timestamp_ntz"
)
TYPES = {
    "id": pa.int64(), "small": pa.int8(), "real": pa.float64(), "price": pa.decimal128(10, 2),
    "name": pa.string(), "flag": pa.bool_(), "day": pa.date32(), "at": pa.timestamp("ms"),
    "exact": pa.timestamp("ns"), "wall": pa.timestamp("ns"),
}  # fmt: skip


def row(number):
    """Row `number`, every seventh with nothing but its id. Times are ticks since 1970."""
    if number % 7 == 3:
        return {"id": number}
    return {
        "id": number,
        "small": number % 11 - 5,
        "real": math.nan if number % 5 == 0 else (number - 30) / 4,
        "price": Decimal(number * 3 - 50) / 100,
        "name": ["apple", "Äpfel", "100%", "a_b", ""][number % 5] + str(number % 3),
        "flag": number % 2 == 0,
        "day": datetime.date(2024, 2, 27) + datetime.timedelta(number % 4),
        "at": (NOON + number * 3600) * 1000 + number,
        "exact": (NOON + number) * NS + number,
        "wall": -number * NS - 1,
    }


ROWS = [{**dict.fromkeys(TYPES), **row(number), "pt": f"2024022{number % 3}"} for number in range(60)]


def filled(context):
    table = context.made(COLUMNS)
    for partition in ("20240220", "20240221", "20240222"):
        rows = [each for each in ROWS if each["pt"] == partition]
        columns = {name: pa.array([each[name] for each in rows], kind) for name, kind in TYPES.items()}
        table.write(pa.RecordBatch.from_pydict(columns), partition=f"pt={partition}")
    return table


def known(*names):
    """For a predicate that a NULL in any of the columns makes NULL."""
    return lambda meant: lambda each: all(each[name] is not None for name in names) and meant(each)


PREDICATES = [
    ("id = 7", lambda each: each["id"] == 7),
    ("ID >= 10 AND id < 20", lambda each: 10 <= each["id"] < 20),
    ("(small > 3) or (not (id <= 55))", lambda each: (each["small"] or 0) > 3 or each["id"] > 55),
    ("small <> -2", known("small")(lambda each: each["small"] != -2)),
    ("not (small = 1)", known("small")(lambda each: each["small"] != 1)),
    ("`name` is null", lambda each: each["name"] is None),
    ("flag and name is not null", lambda each: bool(each["flag"])),
    ("id in (1, 2, 3, 99)", lambda each: each["id"] in (1, 2, 3)),
    ("name not in ('apple0', '100%2')", known("name")(lambda each: each["name"] not in ("apple0", "100%2"))),
    ("id not in (1, null)", lambda each: False),
    ("price between -0.05 and 0.31",
     known("price")(lambda each: Decimal("-0.05") <= each["price"] <= Decimal("0.31"))),
    ("price = 0.04", known("price")(lambda each: each["price"] == Decimal("0.04"))),
    # NaN equals itself and is above every number (drift.md B.6).
    ("real > 2.5", known("real")(lambda each: math.isnan(each["real"]) or each["real"] > 2.5)),
    ("name like 'a%'", known("name")(lambda each: each["name"].startswith("a"))),
    ("name like '_pfel_'", known("name")(lambda each: each["name"][1:5] == "pfel")),
    ("name rlike '^[0-9]*%?[12]$'",
     known("name")(lambda each: each["name"] in ("1", "2", "100%1", "100%2"))),
    ("day = date '2024-02-29'", known("day")(lambda each: each["day"] == datetime.date(2024, 2, 29))),
    ("at >= datetime '2024-02-29 00:00:00'",
     known("at")(lambda each: each["at"] >= (NOON + DAY // 2) * 1000)),
    ("exact > timestamp '2024-02-28 12:00:40.000000040'",
     known("exact")(lambda each: each["exact"] > (NOON + 40) * NS + 40)),
    ("wall = timestamp_ntz '1969-12-31 23:59:29.999999999'",
     known("wall")(lambda each: each["wall"] == -30 * NS - 1)),
    ("pt = '20240221'", lambda each: each["pt"] == "20240221"),
    ("pt > '20240220' and id < 6", lambda each: each["pt"] > "20240220" and each["id"] < 6),
    ("pt in ('20240220', 'none') or id = 4", lambda each: each["pt"] == "20240220" or each["id"] == 4),
    ("case when flag then id else 0 end > 50", lambda each: bool(each["flag"]) and each["id"] > 50),
    ("cast(id as string) = '12'", lambda each: each["id"] == 12),
    ("upper(concat(name, pt)) = 'APPLE120240221'",
     known("name")(lambda each: (each["name"], each["pt"]) == ("apple1", "20240221"))),
    ("coalesce(small, 100) = 100", lambda each: each["small"] is None),
    ("year(day) = 2024 and length(name) = 1", known("name")(lambda each: len(each["name"]) == 1)),
]  # fmt: skip

REFUSED = [
    ("nobody = 1", "nobody"),
    ("id = ", "the end"),
    ("id = 1; drop table t", ";"),
    ("id in (select 1)", "column 15"),
    ("name > 5 date", "date"),
    ("flag = 3.5", "boolean"),
    ("sleep(10) = 1", "sleep"),
    ("id", "id"),
]


def wanted(meant):
    return [each["id"] for each in ROWS if meant(each)]


@behaviour()
def predicates(context):
    table = filled(context)
    assert len({tuple(wanted(meant)) for _, meant in PREDICATES}) > len(PREDICATES) - 3  # they differ
    for text, meant in PREDICATES:
        for fallback in (False, True):
            session = table.session(where=text, fallback=fallback)
            same((text, ids(session.read())), (text, wanted(meant)))
            # Not counted yet, unless there is nothing to count.
            same(session.record_count, -1 if session.splits else 0)


@behaviour()
def counted_predicates(context):
    table = filled(context)
    for text, meant in PREDICATES:
        session = table.session(where=text, split=Split("RowOffset", 5))
        rows = session.read()
        same((text, session.record_count, ids(rows)), (text, len(wanted(meant)), wanted(meant)))
        middle = rows.num_rows // 2
        same(session.rows((middle, 3), columns=("id",)).to_pydict(),
             rows.select(["id"]).slice(middle, 3).to_pydict())  # fmt: skip


@behaviour()
def rows_of_a_filtered_session(context):
    """Offset, Count and SkipRowNum count the rows the predicate leaves, of columns it does not read."""
    table = filled(context)
    columns = ("id", "price")
    session = table.session(where="small > 0", columns=columns, keys=("pt",), split=Split(crossing=False))
    same(session.splits, 3)
    whole = session.read()
    want = sorted((each["id"], each["price"], each["pt"]) for each in ROWS if (each["small"] or 0) > 0)
    same(sorted(zip(*whole.to_pydict().values(), strict=True)), want)
    for offset, count in ((0, 5), (3, 9), (len(want) - 2, 10), (len(want), 5)):
        got = session.rows((offset, count))
        same((got.to_pydict(), got.schema.names), (whole.slice(offset, count).to_pydict(), [*columns, "pt"]))
    same(session.rows((4, 8), skip=5).to_pydict(), whole.slice(9, 3).to_pydict())
    parts = session.parts()
    same(session.rows(1, skip=2).to_pydict(), parts[1].slice(2).to_pydict())
    same(session.rows(2, columns=("price",)).to_pydict(), parts[2].select(["price"]).to_pydict())


@behaviour()
def predicates_that_are_none(context):
    table = filled(context)
    for text, mention in REFUSED:
        for fallback in (False, True):
            failed(lambda: table.session(where=text, fallback=fallback), "InvalidArgument", mention)  # noqa: B023
    same(table.session(where="  ").record_count, len(ROWS))
