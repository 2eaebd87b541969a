"""Incremental reads: what changed between versions, and between moments."""

import pyarrow as pa
from behaviours import behaviour, failed, same
from tables import Changes, Split, batch, ids, listed, now

DELETED, INSERTED = 0, 1
CHANGE_COLUMNS = ["__meta_timestamp", "__meta_op_type", "__meta_is_update"]


def history(context):
    """A table with ids 10 to 12 of version 1, 20 to 22 of version 2 and so on, and its versions."""
    table = context.made()
    versions = [table.version()]
    for number in range(1, 5):
        table.write(batch(10 * number, 3), partition=f"pt={number % 2}")
        versions.append(table.version())
    return table, versions


def written(*numbers):
    return [10 * number + row for number in numbers for row in range(3)]


@behaviour()
def rows_between_versions(context):
    table, versions = history(context)
    same(versions, sorted(set(versions)))

    def got(after, upto=None, mode="append", **wanted):
        session = table.session(changes=Changes(mode, after, upto), **wanted)
        rows = session.read()
        same((session.latest_version, session.record_count), (versions[4], rows.num_rows))
        same(rows.schema.names, ["id", "name", "pt"])
        return ids(rows)

    same(got(versions[0]), written(1, 2, 3, 4))
    same(got(versions[2]), written(3, 4))  # the start is not in it, the end is
    same(got(versions[1], versions[3]), written(2, 3))
    same(got(versions[3], versions[3]), [])
    same(got(versions[4]), [])
    same(got(versions[1], None, None), written(2, 3, 4))
    same(got(None, versions[2]), written(1, 2))  # without a start, the table as it was
    same(got(versions[1], partitions=("pt=1",)), written(3))
    same(got(versions[1], split=Split("RowOffset")), written(2, 3, 4))


@behaviour()
def rows_between_times(context):
    table = context.made()
    before = now()
    table.write(batch(0, 5), partition="pt=a")
    between = now()
    table.write(batch(10, 5), partition="pt=a")
    after = now()
    table.write(batch(20, 5), partition="pt=b")

    def got(start, end=None):
        return ids(table.read(changes=Changes("append", start, end)))

    same(got(before, between), list(range(5)))
    same(got(between, after), list(range(10, 15)))
    same(got(between), [*range(10, 15), *range(20, 25)])
    same(got(after, "2999-12-31 23:59:59"), list(range(20, 25)))
    same(got("2001-01-01 00:00:00"), [*range(5), *range(10, 15), *range(20, 25)])
    same(got("2001-01-01 00:00:00", before), [])
    same(got("2999-12-31 23:59:59"), [])
    whole_second = between.partition(".")[0]
    assert set(ids(table.read(changes=Changes("append", whole_second)))) >= set(range(10, 15))
    for bad in ("yesterday", "2024-13-01 00:00:00"):
        failed(lambda: got(bad), "InvalidArgument", bad)  # noqa: B023


@behaviour()
def versions_beside_times(context):
    table, versions = history(context)
    same(ids(table.read(changes=Changes("append", versions[2], "2999-12-31 23:59:59"))), written(3, 4))
    same(ids(table.read(changes=Changes("append", "2001-01-01 00:00:00", versions[2]))), written(1, 2))


@behaviour()
def overwritten_rows(context):
    """`append` tells what came, `cdc` what came and went."""
    table = context.made()
    table.write(batch(0, 3), partition="pt=a")
    first = table.version()
    table.write(batch(10, 2), partition="pt=a", overwrite=True)
    second = table.version()
    table.sql("ALTER TABLE {} DROP PARTITION (pt='a')")
    table.write(batch(20, 1), partition="pt=b")
    same(ids(table.read(changes=Changes("append", first))), [10, 11, 20])

    def got(after, upto=None):
        session = table.session(changes=Changes("cdc", after, upto))
        rows = session.read()
        same(rows.schema.names, ["id", "name", "pt", *CHANGE_COLUMNS])
        same(session.record_count, rows.num_rows)
        same(rows.schema.field("__meta_timestamp").type, pa.timestamp("ns"))
        same(set(rows.column("__meta_is_update").to_pylist()) - {0}, set())
        moments = rows.column("__meta_timestamp").cast(pa.int64()).to_pylist()
        same(moments, sorted(moments))
        return listed(rows, "__meta_op_type", "id", "pt")

    gone = [(DELETED, number, "a") for number in range(3)]
    replaced = [*gone, (INSERTED, 10, "a"), (INSERTED, 11, "a")]
    last = [(DELETED, 10, "a"), (DELETED, 11, "a"), (INSERTED, 20, "b")]
    same(got(first, second), replaced)
    same(got(first), replaced + last)
    same(got(second), last)
    same(got(None, first), [(INSERTED, number, "a") for number in range(3)])


@behaviour()
def polling_sees_each_row_once(context):
    table = context.made()
    table.write(batch(0, 4), partition="pt=a")
    first = table.session()
    seen, version = ids(first.read()), first.latest_version
    for turn in range(1, 5):
        for number in range(turn % 3):  # sometimes nothing, sometimes several commits
            table.write(batch(100 * turn + 10 * number, 2), partition=f"pt={number}")
        session = table.session(changes=Changes(None, version))
        late = batch(1000 * turn, 1)  # after the session, so for the next turn
        table.write(late, partition="pt=a")
        new = ids(session.read())
        same(len(new), 2 * (turn % 3) + (turn > 1))
        seen, version = seen + new, session.latest_version
    seen += ids(table.read(changes=Changes(None, version)))
    same(len(seen), len(set(seen)))
    same(sorted(seen), ids(table.read()))


@behaviour()
def versions_that_are_not(context):
    table, versions = history(context)

    def got(after, upto=None, mode="append"):
        return table.session(changes=Changes(mode, after, upto))

    future = versions[4] + 10**6
    failed(lambda: got(future), "InvalidArgument", str(future))
    failed(lambda: got(versions[1], future), "InvalidArgument", str(future))
    failed(lambda: got(versions[3], versions[1]), "InvalidArgument", "after")
    failed(lambda: got(versions[1], mode="sideways"), "InvalidArgument", "sideways")
    failed(lambda: got(None, 1), "InvalidArgument", "created")


@behaviour()
def filtered_changes(context):
    table, versions = history(context)
    changes = Changes("append", versions[1])
    where = "id > 20 and pt = '0'"
    same(ids(table.read(changes=changes, where=where)), [21, 22, 40, 41, 42])
    counted = table.session(changes=changes, where=where, split=Split("RowOffset"))
    same((counted.record_count, ids(counted.read())), (5, [21, 22, 40, 41, 42]))
    narrow = table.read(changes=Changes("cdc", versions[3]), columns=("id",), keys=("pt",))
    same(listed(narrow, "id", "pt", "__meta_op_type"), [(each, "0", INSERTED) for each in written(4)])
