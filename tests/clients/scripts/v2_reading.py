"""How PyODPS 0.13.0 reads: splits, ranges, columns, previews."""

import time

import pyarrow as pa
from behaviours import behaviour, refused, same
from v2_client import PARALLELISM, ROW_OFFSET, batch, drained, ids, made, read, write

from odps import errors
from odps.apis.storage_api_v2 import ArrowOptions, SessionStatus, SplitOptions


@behaviour()
def units_as_asked(context):
    client = made(context, "id bigint, a timestamp, b datetime, c timestamp_ntz")
    nano = 1_700_000_000_123_456_789
    rows = {
        "id": pa.array([1], pa.int64()),
        "a": pa.array([nano], pa.timestamp("ns")),
        "b": pa.array([nano // 10**6], pa.timestamp("ms")),
        "c": pa.array([-nano], pa.timestamp("ns")),
    }
    write(client, pa.RecordBatch.from_pydict(rows), partition="pt=a")
    unit = ArrowOptions.TimestampUnit
    for asked, name, divisor in (
        (unit.SECOND, "s", 10**9),
        (unit.MILLI, "ms", 10**6),
        (unit.MICRO, "us", 1000),
        (unit.NANO, "ns", 1),
    ):
        options = ArrowOptions(timestamp_unit=asked, date_time_unit=asked)
        got = read(client, arrow_options=options)
        same({got.schema.field(column).type for column in "abc"}, {pa.timestamp(name)})
        values = [got.column(column).cast(pa.int64())[0].as_py() for column in "abc"]
        same(values, [nano // divisor, nano // 10**6 * 10**6 // divisor, -nano // divisor])


@behaviour()
def empty_table_has_no_splits(context):
    client = made(context)
    for mode in (SplitOptions.SplitMode.SIZE, PARALLELISM, ROW_OFFSET):
        session = client.create_read_session(split_options=SplitOptions(split_mode=mode, split_number=10))
        same((session.splits_count, session.record_count), (0, 0))
        rows = pa.ipc.open_stream(client.read_rows_stream(session.session_id)).read_all()
        same((rows.num_rows, rows.schema.names), (0, ["id", "name", "pt"]))


@behaviour()
def preview(context):
    client = made(context)
    write(client, batch(0, 1500, pt="a"), batch(5000, 10, pt="b"))
    same(drained(client.preview_table_arrow()).num_rows, 1000)
    got = drained(client.preview_table_arrow(limit=7))
    same((got.num_rows, got.schema.names), (7, ["id", "name", "pt"]))
    got = drained(client.preview_table_arrow(limit=100, partition="pt=b", columns=["pt", "id"]))
    same(got.schema.names, ["pt", "id"])
    same((ids(got), set(got.column("pt").to_pylist())), (list(range(5000, 5010)), {"b"}))
    raw = pa.ipc.open_stream(client.preview_table(limit=3)).read_all()
    same(raw.num_rows, 3)
    refused(errors.InvalidArgument, lambda: client.preview_table(limit=-1))
    refused(errors.InvalidArgument, lambda: client.preview_table(columns=["nobody"]), mention="nobody")


@behaviour()
def size_splits(context):
    client = made(context)
    text = pa.array(["x" * 100] * 10_000)
    for number in range(6):
        rows = {"id": pa.array(range(number * 10_000, (number + 1) * 10_000), pa.int64()), "name": text}
        write(client, pa.RecordBatch.from_pydict(rows), partition=f"pt={number % 2}")
    for crossing in (True, False):
        options = SplitOptions(split_number=1024 * 1024, cross_partition=crossing)
        session = client.create_read_session(split_options=options)
        assert session.splits_count > 2, session.splits_count
        parts = [
            drained(client.read_rows_arrow(session.session_id, split_index=split))
            for split in range(session.splits_count)
        ]
        same(ids(pa.concat_tables(parts)), list(range(60_000)))
        if not crossing:
            same({len(set(part.column("pt").to_pylist())) for part in parts}, {1})
    one = client.create_read_session()
    same((one.splits_count, one.record_count, one.split_mode), (1, 60_000, "Size"))
    refused(
        errors.InvalidArgument, lambda: client.read_rows_stream(one.session_id, split_index=1),
        mention="1",
    )  # fmt: skip


@behaviour()
def parallelism_splits(context):
    client = made(context)
    write(client, batch(0, 1000, pt="a"), batch(1000, 500, pt="b"))
    for number in (1, 4, 10):
        options = SplitOptions(split_mode=PARALLELISM, split_number=number)
        session = client.create_read_session(split_options=options)
        same((session.splits_count, session.split_mode), (number, "Parallelism"))
        parts = [
            drained(client.read_rows_arrow(session.session_id, split_index=split)) for split in range(number)
        ]
        same(ids(pa.concat_tables(parts)), list(range(1500)))


@behaviour()
def rows_by_offset_and_count(context):
    client = made(context)
    write(client, batch(0, 1000, pt="a"), batch(1000, 500, pt="b"))
    options = SplitOptions(split_mode=ROW_OFFSET)
    session = client.create_read_session(split_options=options).session_id

    def got(**address):
        table = drained(client.read_rows_arrow(session, **address))
        return table.column("id").to_pylist()

    whole = got()
    same(sorted(whole), list(range(1500)))
    same(got(row_offset=0, row_count=10), whole[:10])
    same(got(row_offset=995, row_count=10), whole[995:1005])
    same(got(row_offset=1495, row_count=100), whole[1495:])
    same(got(row_offset=1500, row_count=1), [])
    same(got(row_offset=10**12), [])
    same(got(row_count=3), whole[:3])
    same(got(row_count=2**32 - 1), whole)
    same(got(row_offset=100, row_count=10, skip_row_num=4), whole[104:110])
    same(got(row_offset=100, row_count=10, skip_row_num=11), [])


@behaviour()
def rows_within_a_split(context):
    client = made(context)
    write(client, batch(0, 1000, pt="a"))
    options = SplitOptions(split_mode=PARALLELISM, split_number=2)
    session = client.create_read_session(split_options=options).session_id

    def got(**address):
        return drained(client.read_rows_arrow(session, **address)).column("id").to_pylist()

    first, second = got(split_index=0), got(split_index=1)
    same(got(), first + second)
    same(got(split_index=1, row_offset=10, row_count=5), second[10:15])
    same(got(split_index=0, row_offset=len(first) - 1, row_count=5), first[-1:])
    same(got(split_index=1, skip_row_num=3), second[3:])


@behaviour()
def batch_sizes(context):
    client = made(context)
    write(client, batch(0, 1000, pt="a"))
    session = client.create_read_session().session_id

    def sizes(**limits):
        reader = client.read_rows_arrow(session, split_index=0, **limits)
        return [each.num_rows for each in iter(reader.read, None)]

    got = sizes(max_batch_rows=300)
    assert max(got) <= 300, got
    same(sum(got), 1000)
    got = sizes(max_batch_raw_size=500)
    same(sum(got), 1000)
    assert max(got) < 100, got
    same(sum(sizes(max_batch_rows=1, skip_row_num=990)), 10)
    refused(errors.InvalidArgument, lambda: sizes(max_batch_rows=0))


@behaviour()
def chosen_columns(context):
    client = made(context, "a bigint, b string, id bigint", "p string, q string")
    rows = {"a": pa.array([1], pa.int64()), "b": ["x"], "id": pa.array([7], pa.int64())}
    write(client, pa.RecordBatch.from_pydict(rows), partition="p=1,q=2")
    got = read(client, required_data_columns=["id", "B"])
    same(got.to_pydict(), {"b": ["x"], "id": [7], "p": ["1"], "q": ["2"]})
    got = read(client, required_data_columns=["a"], required_partition_columns=["q"])
    same(got.to_pydict(), {"a": [1], "q": ["2"]})
    session = client.create_read_session()
    described = session.data_schema
    same([(each.name, each.type) for each in described.data_columns],
         [("a", "bigint"), ("b", "string"), ("id", "bigint")])  # fmt: skip
    same([each.name for each in described.partition_columns], ["p", "q"])
    reader = client.read_rows_arrow(session.session_id, split_index=0, data_columns=["q", "id", "a"])
    same(drained(reader).schema.names, ["q", "id", "a"])
    refused(
        errors.InvalidArgument,
        lambda: client.create_read_session(required_data_columns=["nobody"]), mention="nobody",
    )  # fmt: skip
    narrow = client.create_read_session(required_data_columns=["a"]).session_id
    reading = lambda: client.read_rows_stream(narrow, split_index=0, data_columns=["b"])  # noqa: E731
    refused(errors.InvalidArgument, reading, mention="b")


@behaviour()
def session_shows_its_snapshot(context):
    client = made(context)
    write(client, batch(0, 10, pt="a"))
    session = client.create_read_session()
    write(client, batch(50, 5), partition="pt=a", overwrite=True)
    same(ids(drained(client.read_rows_arrow(session.session_id, split_index=0))), list(range(10)))
    again = client.get_read_session(session.session_id)
    same(
        (again.session_id, again.session_status, again.record_count, again.splits_count),
        (session.session_id, SessionStatus.NORMAL, 10, 1),
    )
    time.sleep(0.01)
    refreshed = client.get_read_session(session.session_id, refresh=True)
    assert refreshed.expiration_time > session.expiration_time
    same(ids(read(client)), list(range(50, 55)))
