"""How sessions are cut: whatever the cut, every row is in one split."""

import pyarrow as pa
from behaviours import behaviour, failed, same
from tables import Split, batch, ids, listed

MIB = 1024 * 1024
WIDTH = 248
#: Raw bytes of a row of `wide`: an id and a name.
ROW = 8 + WIDTH


def wide(start, count):
    """Rows of 256 raw bytes each."""
    numbers = range(start, start + count)
    names = [str(number).zfill(WIDTH) for number in numbers]
    return pa.RecordBatch.from_pydict({"id": pa.array(numbers, pa.int64()), "name": names})


def check_complete(parts, count):
    """Every row stands in one part, with its own name."""
    rows = sorted(row for part in parts for row in listed(part, "id", "name"))
    assert rows == [(number, str(number).zfill(WIDTH)) for number in range(count)], len(rows)


@behaviour()
def sizes_of_splits(context):
    table = context.made()
    rows = 8000
    for number in range(5):
        partition = "pt=a" if number < 4 else "pt=b"
        table.write(wide(number * rows, rows), partition=partition)
    for asked, held in ((2 * MIB, 2 * MIB), (1, MIB), (0, 10 * MIB)):
        session = table.session(split=Split(number=asked))
        parts = session.parts()
        check_complete(parts, 5 * rows)
        most = max(part.num_rows for part in parts) * ROW
        assert most <= 1.25 * held, (asked, most)
        assert len(parts) <= 1.25 * (5 * rows * ROW / held + 1), (asked, len(parts))
        same((session.record_count, session.stats[1]), (5 * rows, 5 * rows))
        assert 0.8 < session.stats[0] / (5 * rows * ROW) < 1.3, session.stats
    whole = table.session()
    same(whole.splits, 1)
    check_complete(whole.parts(), 5 * rows)
    apart = table.session(split=Split(crossing=False)).parts()
    same([set(part.column("pt").to_pylist()) for part in apart], [{"a"}, {"b"}])
    check_complete(apart, 5 * rows)
    for files, splits in ((1, 5), (2, 3)):
        parts = table.session(files=files).parts()
        same(len(parts), splits)
        check_complete(parts, 5 * rows)
        written = [{number // rows for number in part.column("id").to_pylist()} for part in parts]
        same(max(map(len, written)), files)
    some = table.session(partitions=("pt=b",), split=Split(number=MIB))
    same((ids(some.read()), some.record_count), (list(range(4 * rows, 5 * rows)), rows))


@behaviour()
def row_offset_counts(context):
    table = context.made()
    for number in range(4):
        table.write(batch(100 * number, 100), partition=f"pt={number % 2}")
    session = table.session(split=Split("RowOffset", 90))
    same((session.record_count, session.stats[1]), (400, 400))
    whole = listed(session.read())
    want = [(number, f"n{number}", str(number // 100 % 2)) for number in range(400)]
    same(sorted(whole), want)
    for length in (1, 37, 250):
        starts = range(0 if length > 1 else 350, 400, length)
        got = [row for start in starts for row in listed(session.rows((start, length)))]
        same(got, whole[starts.start :])
    for partition, count in (("pt=1", 200), ("pt=2", 0)):
        narrow = table.session(split=Split("RowOffset"), partitions=(partition,))
        same((narrow.record_count, narrow.read().num_rows), (count, count))


@behaviour()
def nothing_to_split(context):
    table = context.made()
    for mode in ("Size", "RowOffset"):
        session = table.session(split=Split(mode, 10))
        same((session.splits, session.record_count, session.stats), (0, 0, (0, 0)))
        rows = session.rows((0, 10))
        same((rows.num_rows, rows.schema.names), (0, ["id", "name", "pt"]))
        failed(lambda: session.rows(0), "InvalidArgument", "0")  # noqa: B023


@behaviour()
def required_buckets(context):
    table = context.made(clause="CLUSTERED BY (id) INTO 4 BUCKETS")
    table.write(batch(0, 200), partition="pt=a")
    table.write(batch(100, 200), partition="pt=b")
    same(ids(table.read()), sorted([*range(200), *range(100, 300)]))
    buckets = [table.read(buckets=(number,)) for number in range(4)]
    same(sorted(row for bucket in buckets for row in listed(bucket)), sorted(listed(table.read())))
    held = [set(bucket.column("id").to_pylist()) for bucket in buckets]
    assert all(held), held
    same(sum(map(len, held)), 300)  # an id is in one bucket, whenever it was written
    two = table.session(buckets=(3, 1), split=Split("RowOffset"))
    same(two.record_count, buckets[1].num_rows + buckets[3].num_rows)
    same(ids(two.read()), sorted(ids(buckets[1]) + ids(buckets[3])))
    failed(lambda: table.session(buckets=(4,)), "InvalidArgument", "4")


@behaviour()
def buckets_of_a_table_that_has_none(context):
    table = context.made()
    failed(lambda: table.session(buckets=(0,)), "InvalidArgument", "CLUSTERED")
