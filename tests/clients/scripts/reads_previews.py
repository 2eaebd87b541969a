"""Previews: a few rows without a session."""

import pyarrow as pa
from behaviours import behaviour, failed, same
from tables import batch, listed


@behaviour()
def limits_of_previews(context):
    table = context.made()
    table.write(batch(0, 6000), partition="pt=a")
    table.write(batch(6000, 5000), partition="pt=b")
    known = {(number, f"n{number}", "ab"[number >= 6000]) for number in range(11_000)}
    for limit, count in ((None, 1000), (1, 1), (999, 999), (6500, 6500), (10_000, 10_000), (20_000, 10_000)):
        rows = listed(table.preview(limit))
        same((len(rows), len(set(rows)), set(rows) <= known), (count, count, True))
    same(listed(table.preview(50)), listed(table.preview(50)))
    failed(lambda: table.preview(-1), "InvalidArgument", "-1")
    same(sorted(listed(table.preview(20_000, "pt=b"))), [each for each in sorted(known) if each[2] == "b"])


@behaviour()
def partitions_of_previews(context):
    table = context.made(partitions="p string, q string")
    for p, q, start in (("1", "x", 0), ("1", "y", 10), ("2", "x", 20)):
        table.write(batch(start, 3), partition=f"p={p},q={q}")

    def found(partition):
        return sorted(listed(table.preview(100, partition), "id", "p", "q"))

    same(found("p=1,q=y"), [(10 + row, "1", "y") for row in range(3)])
    same(found("p='2'/q='x'"), [(20 + row, "2", "x") for row in range(3)])
    same(found("p=1"), [(row, "1", "x") for row in range(3)] + [(10 + row, "1", "y") for row in range(3)])
    same(found("p=1,q=none"), [])
    failed(lambda: table.preview(partition="nokey=1"), "InvalidArgument", "nokey")


@behaviour()
def columns_of_previews(context):
    table = context.made("a bigint, b string, c double")
    rows = {"a": pa.array([1], pa.int64()), "b": ["x"], "c": [0.5]}
    table.write(pa.RecordBatch.from_pydict(rows), partition="pt=d")
    whole = {"a": [1], "b": ["x"], "c": [0.5], "pt": ["d"]}
    for names in (["pt", "c", "a"], ["b"], ["pt"], ["c", "b", "a", "pt"]):
        got = table.preview(columns=names)
        same((got.schema.names, got.to_pydict()), (names, {name: whole[name] for name in names}))
    got = table.preview()
    same((got.schema.names, got.to_pydict()), (list(whole), whole))
    failed(lambda: table.preview(columns=["a", "nobody"]), "InvalidArgument", "nobody")


@behaviour()
def previews_of_nothing(context):
    table = context.made()
    for options in ({}, {"limit": 5}, {"partition": "pt=a"}):
        got = table.preview(**options)
        same((got.num_rows, got.schema.names), (0, ["id", "name", "pt"]))
    same(table.preview(columns=["pt"]).schema.names, ["pt"])
