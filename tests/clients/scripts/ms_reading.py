"""How PyODPS 0.13.2 reads, and what it is refused."""

import time

import pyarrow as pa
from behaviours import behaviour, refused, same
from ms_client import client_of, drained, failed, made, read, upload, write
from odps.maxstorage import (
    MaxStorageClient,
    RowRangeInputSplit,
    SplitMode,
    SplitOptions,
)
from tables import batch, ids

from odps import errors


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
    # Not for the entry object: PyODPS would keep it for every later one with a project of this name.
    tunnel = context.server.endpoint.removesuffix("/api")
    client = MaxStorageClient(odps, tunnel_endpoint=tunnel, api_version=context.variant)
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


@behaviour("2", "3")
def modes_the_client_refuses(context):
    """The service makes the session; the client does not go on."""
    client, table = made(context)
    write(client, table, batch(0, 10, pt="a"))
    parallel = SplitOptions(split_mode=SplitMode.PARALLELISM, split_number=4)
    asking = lambda: client.create_table_read_session(table, split_options=parallel)  # noqa: E731
    refused(NotImplementedError, asking, mention="PARALLELISM")
    # Before it finds out that it cannot, it must be told that the table has no buckets.
    bucket = SplitOptions(split_mode=SplitMode.BUCKET)
    failed(
        lambda: client.create_table_read_session(table, split_options=bucket), "InvalidArgument", 400,
        mention="CLUSTERED",
    )  # fmt: skip


@behaviour("2", "3")
def columns_in_any_order(context):
    table = context.made("a bigint, b string, id bigint")
    rows = {"a": pa.array([1], pa.int64()), "b": ["x"], "id": pa.array([7], pa.int64())}
    table.write(pa.RecordBatch.from_pydict(rows), partition="pt=p")
    session = table.session()
    same(session.session.arrow_schema.names, ["a", "b", "id", "pt"])
    for names, unordered in ((["pt", "id", "a"], ["a", "id", "pt"]), (["b"], ["b"])):
        same(session.rows(0, columns=names).schema.names, names)
        got = session.rows(0, columns=names, unordered=True)
        same((got.schema.names, got.to_pylist()), (unordered, session.rows(0, columns=unordered).to_pylist()))


@behaviour("2", "3")
def compressed_ranges(context):
    """What a read addresses does not depend on how its rows travel."""
    table = context.made()
    table.write(batch(0, 5000), partition="pt=a")
    session = table.session(where="id <> 77")
    for address, how in ((0, {}), ((100, 3000), {"skip": 10, "batch_rows": 999, "columns": ("name", "id")})):
        plain = session.rows(address, **how)
        for codec in ("zstd", "lz4"):
            same(session.rows(address, codec=codec, **how).to_pydict(), plain.to_pydict())
