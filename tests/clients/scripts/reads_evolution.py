"""Tables that change while they are read: a session keeps its columns, a new one has the new."""

from decimal import Decimal

import pyarrow as pa
from behaviours import behaviour, failed, same
from tables import Changes, Split, batch, ids, listed


def rows(**columns):
    return pa.RecordBatch.from_pydict(columns)


@behaviour()
def added_columns(context):
    table = context.made()
    table.write(batch(0, 2), partition="pt=a")
    old = table.session()
    table.sql("ALTER TABLE {} ADD COLUMNS (score bigint DEFAULT 5, price decimal(10,2), note string)")
    added = rows(
        id=pa.array([2, 3], pa.int64()), name=["n2", None], score=pa.array([7, None], pa.int64()),
        price=pa.array([Decimal("1.25"), None], pa.decimal128(10, 2)), note=["new", ""],
    )  # fmt: skip
    table.write(added, partition="pt=b")
    same((old.columns, listed(old.read())), (
        [("id", "bigint"), ("name", "string"), ("pt", "string")], [(0, "n0", "a"), (1, "n1", "a")],
    ))  # fmt: skip
    same(old.again().columns, old.columns)
    want = [
        (0, "n0", 5, None, None, "a"), (1, "n1", 5, None, None, "a"),
        (2, "n2", 7, Decimal("1.25"), "new", "b"), (3, None, None, None, "", "b"),
    ]  # fmt: skip
    new = table.session()
    same([name for name, _ in new.columns], ["id", "name", "score", "price", "note", "pt"])
    same(sorted(listed(new.read())), want)
    same(sorted(listed(table.read(columns=("score", "id"), keys=("pt",)), "score", "id"), key=repr),
         sorted([(5, 0), (5, 1), (7, 2), (None, 3)], key=repr))  # fmt: skip
    same(sorted(listed(table.preview())), want)
    same(sorted(listed(table.read(where="score = 5"), "id")), [(0,), (1,)])
    failed(lambda: old.rows(0, columns=["score"]), "InvalidArgument", "score")


@behaviour()
def renamed_columns(context):
    table = context.made()
    table.write(batch(0, 2), partition="pt=a")
    old = table.session()
    counted = table.session(split=Split("RowOffset"), where="name = 'n1'")
    table.sql("ALTER TABLE {} CHANGE COLUMN name RENAME TO title")
    title = rows(id=pa.array([2], pa.int64()), title=["n2"])
    table.write(title, partition="pt=a")
    same(old.read().to_pydict(), {"id": [0, 1], "name": ["n0", "n1"], "pt": ["a"] * 2})
    same(counted.read().to_pydict(), {"id": [1], "name": ["n1"], "pt": ["a"]})
    got = table.read()
    same(got.schema.names, ["id", "title", "pt"])
    same(sorted(listed(got)), [(number, f"n{number}", "a") for number in range(3)])
    same(listed(table.read(where="title = 'n1'")), [(1, "n1", "a")])
    failed(lambda: table.session(columns=("name",)), "InvalidArgument", "name")
    # The old name is free for a column that has nothing to do with it.
    table.sql("ALTER TABLE {} ADD COLUMNS (name string)")
    same(sorted(listed(table.read(), "id", "title", "name")), [(n, f"n{n}", None) for n in range(3)])
    same(listed(old.read(), "name"), [("n0",), ("n1",)])


@behaviour()
def widened_columns(context):
    table = context.made("id bigint, a tinyint, b int, c float, d decimal(5,2), e varchar(3)")
    first = rows(
        id=pa.array([0], pa.int64()), a=pa.array([-128], pa.int8()), b=pa.array([2**31 - 1], pa.int32()),
        c=pa.array([0.5], pa.float32()), d=pa.array([Decimal("-999.99")], pa.decimal128(5, 2)), e=["abc"],
    )  # fmt: skip
    table.write(first, partition="pt=a")
    old = table.session()
    for change in ("a a int", "b b bigint", "c c double", "d d decimal(20,2)", "e e string"):
        table.sql("ALTER TABLE {} CHANGE COLUMN " + change)
    second = rows(
        id=pa.array([1], pa.int64()), a=pa.array([70_000], pa.int32()), b=pa.array([2**62], pa.int64()),
        c=pa.array([1e300], pa.float64()), d=pa.array([Decimal(10) ** 15], pa.decimal128(20, 2)),
        e=["abcdef"],
    )  # fmt: skip
    table.write(second, partition="pt=a")
    was = (0, -128, 2**31 - 1, 0.5, Decimal("-999.99"), "abc", "a")
    got = old.read()
    same(listed(got), [was])
    same([got.schema.field(name).type for name in "abcd"],
         [pa.int8(), pa.int32(), pa.float32(), pa.decimal128(5, 2)])  # fmt: skip
    new = table.session()
    types = dict(new.columns)
    same([types[name] for name in "abcde"], ["int", "bigint", "double", "decimal(20,2)", "string"])
    got = new.read()
    same(sorted(listed(got)), [was, (1, 70_000, 2**62, 1e300, Decimal(10) ** 15, "abcdef", "a")])
    same([got.schema.field(name).type for name in "abcd"],
         [pa.int32(), pa.int64(), pa.float64(), pa.decimal128(20, 2)])  # fmt: skip
    same(listed(table.read(where="a > 1000"), "id"), [(1,)])


@behaviour()
def dropped_columns(context):
    table = context.made("id bigint, name string, extra double")
    three = rows(id=pa.array([0], pa.int64()), name=["n0"], extra=[0.5])
    table.write(three, partition="pt=a")
    old = table.session()
    filtered = table.session(where="extra = 0.5")
    table.sql("ALTER TABLE {} DROP COLUMNS (extra)")
    table.write(batch(1, 1), partition="pt=a")
    same(listed(old.read()), [(0, "n0", 0.5, "a")])
    same(listed(filtered.read()), [(0, "n0", 0.5, "a")])
    got = table.read()
    same((got.schema.names, sorted(listed(got))), (["id", "name", "pt"], [(0, "n0", "a"), (1, "n1", "a")]))
    failed(lambda: table.session(where="extra = 0.5"), "InvalidArgument", "extra")
    failed(lambda: table.preview(columns=["extra"]), "InvalidArgument", "extra")
    # The name back, the values not.
    table.sql("ALTER TABLE {} ADD COLUMNS (extra double)")
    same(sorted(listed(table.read(), "id", "extra")), [(0, None), (1, None)])
    same(listed(old.read()), [(0, "n0", 0.5, "a")])


@behaviour()
def changes_across_other_columns(context):
    """An incremental read shows older rows in the columns of today."""
    table = context.made("id bigint, name string, gone double")
    start = table.version()
    first = rows(id=pa.array([0, 1], pa.int64()), name=["n0", "n1"], gone=[0.5, None])
    table.write(first, partition="pt=a")
    middle = table.version()
    table.sql("ALTER TABLE {} DROP COLUMNS (gone)")
    table.sql("ALTER TABLE {} CHANGE COLUMN name title string")
    table.sql("ALTER TABLE {} ADD COLUMNS (score int DEFAULT -3)")
    second = rows(id=pa.array([2], pa.int64()), title=["n2"], score=pa.array([8], pa.int32()))
    table.write(second, partition="pt=a", overwrite=True)
    old, new = [(0, "n0", -3, "a"), (1, "n1", -3, "a")], [(2, "n2", 8, "a")]
    got = table.read(changes=Changes("append", start))
    same((got.schema.names, sorted(listed(got))), (["id", "title", "score", "pt"], old + new))
    same(listed(table.read(changes=Changes("append", middle))), new)
    got = table.read(changes=Changes("cdc", middle))
    same(sorted(listed(got, "__meta_op_type", "id", "title", "score")),
         [(0, 0, "n0", -3), (0, 1, "n1", -3), (1, 2, "n2", 8)])  # fmt: skip
    same(sorted(listed(table.read(changes=Changes(None, None, middle)))), old)


@behaviour()
def widened_bucket_columns(context):
    table = context.made("id int, name string", clause="CLUSTERED BY (id) INTO 3 BUCKETS")
    table.write(rows(id=pa.array(range(60), pa.int32()), name=["old"] * 60), partition="pt=a")
    table.sql("ALTER TABLE {} CHANGE COLUMN id id bigint")
    table.write(rows(id=pa.array(range(30, 90), pa.int64()), name=["new"] * 60), partition="pt=a")
    buckets = [table.read(buckets=(number,)) for number in range(3)]
    want = [
        *((number, "old", "a") for number in range(60)),
        *((number, "new", "a") for number in range(30, 90)),
    ]
    same(sorted(row for bucket in buckets for row in listed(bucket)), sorted(want))
    same(sum(len(set(bucket.column("id").to_pylist())) for bucket in buckets), 90)


@behaviour()
def renamed_tables(context):
    table = context.made()
    table.write(batch(0, 3), partition="pt=a")
    session = table.session()
    table.sql(f"ALTER TABLE {{}} RENAME TO {context.table}_new")
    same(ids(session.read()), [0, 1, 2])
    failed(table.session, "NoSuchTable", context.table, status=404)
    moved = type(table)(table.odps, f"{context.table}_new", context)
    moved.write(batch(3, 2), partition="pt=b")
    same(ids(moved.read()), list(range(5)))
    again = context.made("other string", partitions="")  # takes the old name
    same(again.read().schema.names, ["other"])
    same((ids(session.read()), session.again().record_count), ([0, 1, 2], 3))
