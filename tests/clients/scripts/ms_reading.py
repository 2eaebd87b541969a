"""How PyODPS 0.13.2 reads, and what it is refused."""

import time

import pyarrow as pa
from behaviours import behaviour, refused, same
from ms_client import batch, client_of, drained, failed, ids, made, read, upload, write
from odps.maxstorage import (
    IndexedInputSplit,
    MaxStorageClient,
    RowRangeInputSplit,
    SplitMode,
    SplitOptions,
    TimestampUnit,
)

from odps import errors


@behaviour("2", "3")
def preview(context):
    client, table = made(context)
    write(client, table, batch(0, 1500, pt="a"), batch(5000, 10, pt="b"))
    same(drained(client.preview_table(table)).num_rows, 1000)
    got = drained(client.preview_table(table, limit=7))
    same((got.num_rows, got.schema.names), (7, ["id", "name", "pt"]))
    got = drained(client.preview_table(table, limit=100, partition_spec="pt=b", columns=["pt", "id"]))
    same(got.schema.names, ["pt", "id"])
    same((ids(got), set(got.column("pt").to_pylist())), (list(range(5000, 5010)), {"b"}))
    failed(lambda: client.preview_table(table, columns=["nobody"]), "InvalidArgument", 400, mention="nobody")


@behaviour("2", "3")
def size_splits(context):
    client, table = made(context)
    text = pa.array(["x" * 100] * 10_000)
    for number in range(6):
        rows = {"id": pa.array(range(number * 10_000, (number + 1) * 10_000), pa.int64()), "name": text}
        write(client, table, pa.RecordBatch.from_pydict(rows), partition_spec=f"pt={number % 2}")
    for crossing in (True, False):
        small = SplitOptions(split_number=1024 * 1024, cross_partition=crossing)
        session = client.create_table_read_session(table, split_options=small)
        assert len(session.splits) > 2, session.splits
        same({type(split) for split in session.splits}, {IndexedInputSplit})
        parts = [drained(session.open_arrow_reader(split)) for split in session.splits]
        same(ids(pa.concat_tables(parts)), list(range(60_000)))
        if not crossing:
            same({len(set(part.column("pt").to_pylist())) for part in parts}, {1})
    stats = session.session_stats
    same(stats.estimated_row_count, 60_000)
    assert stats.estimated_size > 6_000_000, stats
    beyond = IndexedInputSplit(session.id, len(session.splits))
    failed(lambda: session.open_arrow_reader(beyond), "InvalidArgument", 400)


@behaviour("2", "3")
def row_offset_splits(context):
    client, table = made(context)
    write(client, table, batch(0, 1000, pt="a"), batch(1000, 500, pt="b"))
    rows = SplitOptions(split_mode=SplitMode.ROW_OFFSET, split_number=400)
    session = client.create_table_read_session(table, split_options=rows)
    same((session.split_mode, session.record_count), (SplitMode.ROW_OFFSET, 1500))
    same([(split.offset, split.length) for split in session.splits],
         [(0, 400), (400, 400), (800, 400), (1200, 300)])  # fmt: skip

    def got(offset, length, **how):
        split = RowRangeInputSplit(session.id, offset, length)
        return drained(session.open_arrow_reader(split, **how)).column("id").to_pylist()

    whole = [number for split in session.splits for number in got(split.offset, split.length)]
    same(sorted(whole), list(range(1500)))
    same(got(995, 10), whole[995:1005])
    same(got(1495, 100), whole[1495:])
    same(got(2000, 5), [])
    same(got(100, 10, skip_row_num=4, compress_algo="zstd"), whole[104:110])
    again = client.create_table_read_session(table, session_id=session.id)
    same([(split.offset, split.length) for split in again.splits], [(0, 1500)])


@behaviour("2", "3")
def batch_sizes(context):
    client, table = made(context)
    write(client, table, batch(0, 1000, pt="a"))
    session = client.create_table_read_session(table)

    def sizes(**limits):
        return [each.num_rows for each in session.open_arrow_reader(session.splits[0], **limits)]

    got = sizes(max_batch_rows=300)
    assert max(got) <= 300, got
    same(sum(got), 1000)
    got = sizes(max_batch_raw_size=500, compress_algo="lz4")
    same(sum(got), 1000)
    assert max(got) < 100, got
    same(sum(sizes(skip_row_num=990)), 10)
    failed(lambda: sizes(max_batch_rows=0), "InvalidArgument", 400)


@behaviour("2", "3")
def chosen_columns(context):
    client, table = made(context, "a bigint, b string, id bigint", "p string, q string")
    rows = {"a": pa.array([1], pa.int64()), "b": ["x"], "id": pa.array([7], pa.int64())}
    write(client, table, pa.RecordBatch.from_pydict(rows), partition_spec="p=1,q=2")
    got = read(client, table, columns=["id", "B"])
    same(got.to_pydict(), {"b": ["x"], "id": [7], "p": ["1"], "q": ["2"]})
    got = read(client, table, columns=["a"], partition_columns=["q"])
    same(got.to_pydict(), {"a": [1], "q": ["2"]})
    session = client.create_table_read_session(table)
    split = session.splits[0]
    same([each.name for each in session.table_schema.columns], ["a", "b", "id", "p", "q"])
    same(session.arrow_schema.names, ["a", "b", "id", "p", "q"])

    def names(columns, **how):
        return drained(session.open_arrow_reader(split, data_columns=columns, **how)).schema.names

    same(names(["q", "id", "a"]), ["q", "id", "a"])
    same(names(["id", "a"], data_columns_unordered=True), ["a", "id"])
    failed(lambda: names(["nobody"]), "InvalidArgument", 400, mention="nobody")
    unknown = lambda: client.create_table_read_session(table, columns=["nobody"])  # noqa: E731
    failed(unknown, "InvalidArgument", 400, mention="nobody")


@behaviour("2", "3")
def units_as_asked(context):
    client, table = made(context, "id bigint, a timestamp, b datetime")
    rows = {
        "id": pa.array([1], pa.int64()),
        "a": pa.array([1_700_000_000_123_456_789], pa.timestamp("ns")),
        "b": pa.array([1_700_000_000_123], pa.timestamp("ms")),
    }
    write(client, table, pa.RecordBatch.from_pydict(rows), partition_spec="pt=a")
    for unit, name in ((TimestampUnit.SECOND, "s"), (TimestampUnit.MICRO, "us")):
        asked = {"TimestampUnit": unit.value, "DatetimeUnit": unit.value}
        got = read(client, table, arrow_options=asked)
        same({got.schema.field(column).type for column in "ab"}, {pa.timestamp(name)})


@behaviour("2", "3")
def session_shows_its_snapshot(context):
    client, table = made(context)
    write(client, table, batch(0, 10, pt="a"))
    session = client.create_table_read_session(table)
    write(client, table, batch(50, 5), partition_spec="pt=a", overwrite=True)
    same(ids(drained(session.open_arrow_reader(session.splits[0]))), list(range(10)))
    again = client.create_table_read_session(table, session_id=session.id)
    same((again.id, again.record_count, again.expiration_time), (session.id, 10, session.expiration_time))
    same(ids(drained(again.open_arrow_reader(again.splits[0]))), list(range(10)))
    same(ids(read(client, table)), list(range(50, 55)))


@behaviour()
def expired_sessions(context):
    client, table = made(context, server=context.short_lived)
    write(client, table, batch(0, 10, pt="a"))
    reading = client.create_table_read_session(table)
    writing = client.create_table_write_session(table, partition_spec="pt=a")
    upload(writing, "0", batch(10, 10))
    time.sleep(2.1)
    opening = lambda: reading.open_arrow_reader(reading.splits[0])  # noqa: E731
    failed(opening, "InvalidSessionStatus", 409, mention="expired")
    failed(writing.commit, "InvalidSessionStatus", 409, mention="expired")
    failed(lambda: writing.open_arrow_writer("1"), "InvalidSessionStatus", 409, mention="expired")
    writing.abort()
    reading._stub.get_table_read_session(reading._table_id, reading.id, refresh=True)
    same(ids(drained(opening())), list(range(10)))
    same(client.create_table_read_session(table).record_count, 10)


@behaviour("2", "3")
def wrong_key(context):
    _, table = made(context)
    odps = context.server.odps(secret="wrong")
    refused(errors.SignatureNotMatch, odps.get_table(table.name).reload)
    odps = context.server.odps(secret="wrong", tunnel_endpoint=context.server.endpoint.removesuffix("/api"))
    client = MaxStorageClient(odps, api_version=context.variant)
    for call in (client.create_table_read_session, client.create_table_write_session, client.preview_table):
        failed(lambda: call(table.name), "SignatureNotMatch", 401)  # noqa: B023


@behaviour("2", "3")
def missing_things(context):
    client, table = made(context)
    for call in (client.create_table_read_session, client.create_table_write_session, client.preview_table):
        failed(lambda: call("no_such_table"), "NoSuchTable", 404, mention="no_such_table")  # noqa: B023
    for call in (client.create_table_read_session, client.create_table_write_session):
        failed(lambda: call(table, session_id="nobody"), "NoSuchObject", 404, mention="nobody")  # noqa: B023
    session = client.create_table_write_session(table)
    failed(lambda: session.open_arrow_writer("nobody", resume=True), "NoSuchObject", 404)
    failed(lambda: session.commit(["nobody"], [0]), "NoSuchObject", 404)


@behaviour("2", "3")
def table_of_a_schema(context):
    name = f"{context.table}_s"
    context.server.odps().execute_sql(f"CREATE SCHEMA {name}")
    odps = context.server.odps(schema=name)
    table = odps.create_table("t", ("id bigint, name string", "pt string"))
    client = MaxStorageClient(odps, api_version=context.variant)
    write(client, table, batch(0, 3, pt="a"))
    same(ids(read(client, table)), [0, 1, 2])
    same(ids(read(client, "t")), [0, 1, 2])
    elsewhere = client_of(context)
    failed(lambda: elsewhere.create_table_read_session("t"), "NoSuchTable", 404)
