"""Which rows a read addresses, in what order, in which columns and batches."""

import pyarrow as pa
from behaviours import behaviour, failed, same
from tables import Split, batch, ids, listed

UNLIMITED = 2**32 - 1


def filled(context):
    table = context.made()
    table.write(batch(0, 300), batch(300, 300), partition="pt=a")
    table.write(batch(600, 400), partition="pt=b")
    return table


@behaviour()
def ranges_of_rows(context):
    table = filled(context)
    for mode in ("RowOffset", "Size"):  # without Index, offsets are those of the whole session
        session = table.session(split=Split(mode))
        whole = listed(session.rows((0, UNLIMITED)))
        same(sorted(whole), [(number, f"n{number}", "ab"[number >= 600]) for number in range(1000)])

        def got(offset, count, **how):
            return listed(session.rows((offset, count), **how))  # noqa: B023

        same(got(0, 10), whole[:10])
        same(got(595, 10), whole[595:605])
        same(got(990, 100), whole[990:])
        same(got(999, 1), whole[999:])
        same((got(1000, 1), got(10**12, 5), got(2**63, 5)), ([], [], []))
        same(got(100, 10, skip=4), whole[104:110])
        same(got(100, 10, skip=10), [])
        same(got(100, UNLIMITED, skip=800), whole[900:])
        same(got(0, UNLIMITED, skip=2000), [])
    rows = session.rows((5000, 1))
    same((rows.num_rows, rows.schema.names), (0, ["id", "name", "pt"]))


@behaviour()
def splits_by_index(context):
    table = filled(context)
    session = table.session(split=Split(crossing=False))
    same(session.splits, 2)
    same([ids(part) for part in session.parts()], [list(range(600)), list(range(600, 1000))])
    second = listed(session.rows(1))
    same(listed(session.rows(1, skip=7)), second[7:])
    same(listed(session.rows(1, skip=400)), [])
    for beyond in (2, 10**6):
        failed(lambda: session.rows(beyond), "InvalidArgument", f"{beyond} is out of range")  # noqa: B023
    rows = table.session(split=Split("RowOffset"))
    failed(lambda: rows.rows(0), "InvalidArgument", "0 is out of range")


@behaviour()
def one_order_for_every_read(context):
    table = filled(context)
    session = table.session()
    order = listed(session.rows(0))
    for how in ({}, {"batch_rows": 7}, {"batch_size": 1000}, {"columns": ("id", "name", "pt")}):
        same(listed(session.rows(0, **how)), order)
    table.write(batch(5000, 10), partition="pt=a")
    table.write(batch(6000, 10), partition="pt=b", overwrite=True)
    same(listed(session.rows(0)), order)
    same(listed(session.again().rows(0)), order)
    pieces = [session.rows((start, 99)) for start in range(0, 1000, 99)]
    same(listed(pa.concat_tables(pieces)), order)


@behaviour()
def sizes_of_batches(context):
    table = filled(context)
    session = table.session()

    def sizes(**limits):
        _, batches = session.batches(0, **limits)
        return [each.num_rows for each in batches]

    for most in (1, 300, 4096, 20_000):
        got = sizes(batch_rows=most)
        same(sum(got), 1000)
        assert 1 <= min(got) <= max(got) <= most, (most, got)
    got = sizes(batch_rows=10**6)
    same(sum(got), 1000)
    _, batches = session.batches(0, batch_size=600)
    same(sum(each.num_rows for each in batches), 1000)
    assert max(each.nbytes for each in batches) <= 1000, [each.nbytes for each in batches]
    assert len(batches) > 25, len(batches)
    same(set(sizes(batch_size=1)), {1})  # at least one row
    for bad in (0, -1):
        failed(lambda: sizes(batch_rows=bad), "InvalidArgument", "MaxBatchRows")  # noqa: B023


@behaviour()
def columns_of_sessions_and_reads(context):
    table = context.made("a bigint, B string, c double, id bigint", "p string, q bigint")
    rows = {"a": pa.array([1], pa.int64()), "B": ["x"], "c": [0.5], "id": pa.array([7], pa.int64())}
    table.write(pa.RecordBatch.from_pydict(rows), partition="p=1,q=2")
    whole = {"a": [1], "B": ["x"], "c": [0.5], "id": [7], "p": ["1"], "q": [2]}

    def got(**wanted):
        session = table.session(**wanted)
        read = session.read()
        same([name for name, _ in session.columns], read.schema.names)
        return read.to_pydict()

    def ordered(names):
        return {name: whole[name] for name in names}

    def check(got, names):
        same((got, list(got)), (ordered(names), names))

    check(got(), list(whole))
    check(got(columns=("id", "b")), ["B", "id", "p", "q"])  # any case, table order
    check(got(keys=("q",)), ["a", "B", "c", "id", "q"])
    check(got(columns=("c",), keys=("q", "p")), ["c", "p", "q"])
    session = table.session(columns=("a", "id"), keys=("q",))
    same(session.columns, [("a", "bigint"), ("id", "bigint"), ("q", "bigint")])
    for names in (["q", "id", "a"], ["id"], ["q"]):
        check(session.rows(0, columns=names).to_pydict(), names)
    failed(lambda: session.rows(0, columns=["c"]), "InvalidArgument", "'c'")
    failed(lambda: session.rows(0, columns=["p"]), "InvalidArgument", "'p'")
    failed(lambda: table.session(columns=("nobody",)), "InvalidArgument", "nobody")
    failed(lambda: table.session(keys=("nobody",)), "InvalidArgument", "nobody")
    failed(lambda: table.session(keys=("a",)), "InvalidArgument", "a")


@behaviour()
def partitions_of_a_session(context):
    table = context.made(partitions="p string, q string")
    for number, (p, q) in enumerate([("1", "x"), ("1", "y"), ("2", "x"), ("3", "z")]):
        table.write(batch(10 * number, 1), partition=f"p={p},q={q}")

    def found(*specs):
        session = table.session(partitions=specs)
        read = session.read()
        same(session.record_count, read.num_rows)
        return ids(read)

    same(found("p=1"), [0, 10])
    same(found("q=x"), [0, 20])
    same(found("p=1", "p=3"), [0, 10, 30])
    same(found("p=1", "q=y"), [10])  # different keys: both must hold (drift.md B.1)
    same(found("p=1,q=y", "p='2'/q=x"), [10, 20])
    same(found("p=1,q=y", "p=3"), [10, 30])
    same((found("p=9"), found("p=1,q=z")), ([], []))
    failed(lambda: found("nokey=1"), "InvalidArgument", "nokey")
