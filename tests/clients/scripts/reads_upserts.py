"""Tables with a primary key: what of many uploads is there, and how it came to be."""

from behaviours import behaviour, same
from tables import DELETE, UPSERT, Changes, Split, changes, deletes, keyed, listed, upserts

WENT, CAME = 0, 1


def named(table):
    return dict(listed(table, "id", "name"))


@behaviour()
def the_last_row_of_a_key(context):
    table = keyed(context)
    table.write(upserts(0, 6, "old"), partition="pt=a")
    table.write(
        changes((1, "first", UPSERT), (2, None, DELETE), (9, "new", None)),
        changes((1, "last", UPSERT), (3, "gone", UPSERT), (3, None, DELETE), (77, None, DELETE)),
        partition="pt=a",
    )
    same(named(table.read()), {0: "old", 1: "last", 4: "old", 5: "old", 9: "new"})
    same(table.session(split=Split("RowOffset")).record_count, 5)


@behaviour()
def a_key_in_each_partition(context):
    table = keyed(context)
    table.write(upserts(0, 3, "old", pt="a"), upserts(0, 3, "old", pt="b"))
    table.write(changes((1, "new", UPSERT), pt="b"), deletes(2, pt="a"), deletes(0, pt="b"))
    rows = sorted(listed(table.read(), "pt", "id", "name"))
    same(rows, [("a", 0, "old"), ("a", 1, "old"), ("b", 1, "new"), ("b", 2, "old")])


@behaviour()
def overwriting_a_keyed_table(context):
    table = keyed(context)
    table.write(upserts(0, 5, "old", pt="a"), upserts(0, 5, "old", pt="b"))
    table.write(upserts(3, 3, "new"), deletes(4), partition="pt=a", overwrite=True)
    same(named(table.read(partitions=("pt=a",))), {3: "new", 5: "new"})
    same(named(table.read(partitions=("pt=b",))), dict.fromkeys(range(5), "old"))


@behaviour()
def addresses_of_changed_rows(context):
    """Every way to cut and to pick, before and after the files are merged; a session shows the same rows."""
    table = keyed(context)
    table.write(upserts(0, 3000, "old"), partition="pt=a")
    for turn in range(5):
        table.write(upserts(400 * turn, 40, f"new {turn}"), partition="pt=a")
    table.write(deletes(*range(0, 3000, 3)), partition="pt=a")
    want = {
        number: f"new {number // 400}" if number < 2000 and number % 400 < 40 else "old"
        for number in range(3000)
        if number % 3
    }
    opened = check_addresses(table, want)
    context.server.maintain()
    same(table.session(files=1).splits, 1)
    same(named(opened.read()), want)
    check_addresses(table, want)


def check_addresses(table, want):
    by_offset = table.session(split=Split("RowOffset"))
    everything = listed(by_offset.rows((0, len(want))))
    same((by_offset.record_count, {row[0]: row[1] for row in everything}), (len(want), want))
    for start in range(0, len(want), 600):
        same(listed(by_offset.rows((start, 350))), everything[start : start + 350])
    same(listed(table.session(split=Split(number=1024 * 1024)).read()), everything)
    same(listed(table.session().rows(0, skip=1900)), everything[1900:])
    where = "id >= 1500 and (name <> 'old' or id % 10 = 0)"
    picked = [row for row in everything if row[0] >= 1500 and (row[1] != "old" or row[0] % 10 == 0)]
    same(listed(table.read(where=where)), picked)
    counted = table.session(where=where, split=Split("RowOffset"))
    same((counted.record_count, listed(counted.rows((20, 30)))), (len(picked), picked[20:50]))
    same(listed(table.preview(10_000)), everything)
    same(len(listed(table.preview(5, "pt=a"))), 5)
    return by_offset


@behaviour()
def changes_of_a_keyed_table(context):
    table = keyed(context)
    versions = [table.version()]
    for upload in (
        upserts(0, 4, "one"),
        changes((1, "two", UPSERT), (2, None, DELETE), (9, "two", UPSERT)),
        changes((1, "three", UPSERT), (1, None, DELETE), (2, "three", UPSERT)),
        deletes(0, 77),
    ):
        table.write(upload, partition="pt=a")
        versions.append(table.version())
    check_changes(table, versions)
    for number in range(10, 14):
        table.write(upserts(number, 1, "more"), partition="pt=b")
    context.server.maintain()
    check_changes(table, versions)


def check_changes(table, versions):
    def told(mode, after, upto):
        session = table.session(changes=Changes(mode, after, upto))
        rows = session.read()
        same(session.record_count, rows.num_rows)
        shown = ("__meta_op_type", "id", "name", "__meta_is_update") if mode == "cdc" else ("id", "name")
        return listed(rows, *shown)

    first, second, third, fourth = (
        sorted(told("cdc", versions[number], versions[number + 1])) for number in range(4)
    )
    same(first, [(CAME, number, "one", 0) for number in range(4)])
    same(second, [(WENT, 1, "one", 1), (WENT, 2, "one", 0), (CAME, 1, "two", 1), (CAME, 9, "two", 0)])
    same(third, [(WENT, 1, "two", 0), (CAME, 2, "three", 0)])
    same(fourth, [(WENT, 0, "one", 0)])
    same(sorted(told("cdc", versions[0], versions[4])), sorted(first + second + third + fourth))
    inserted = [(1, "two"), (2, "three"), (9, "two")]
    same(sorted(told("append", versions[1], versions[4])), inserted)
    same(
        named(table.read(changes=Changes("append", None, versions[2]))),
        {0: "one", 1: "two", 3: "one", 9: "two"},
    )
