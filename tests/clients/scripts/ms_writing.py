"""What PyODPS 0.13.2 writes, and what becomes of it."""

import datetime
import decimal
from zoneinfo import ZoneInfo

import every_type
import pandas as pd
import pyarrow as pa
from behaviours import behaviour, same
from every_type import TypedColumn, check_equal
from ms_client import COLUMNS, Algorithm, failed, made, read, upload, write
from odps.maxstorage import SplitMode, SplitOptions
from odps.tunnel import CompressOption
from tables import batch, ids

from odps import options


@behaviour("2_plain", "2_zstd", "2_lz4", "3_plain", "3_zstd", "3_lz4")
def every_type_through_several_streams(context):
    algorithm = {"plain": None, "zstd": "zstd", "lz4": "lz4"}[context.variant[2:]]
    client, table = made(context, every_type.declaration(COLUMNS))
    uploads = [every_type.rows(COLUMNS, 4 * number, pt=f"p{number % 3}") for number in range(6)]
    session = client.create_table_write_session(table)
    for stream in range(3):
        upload(session, str(stream), *uploads[2 * stream : 2 * stream + 2], compress_algo=algorithm)
    session.commit()
    want = pa.Table.from_batches(uploads)
    check_equal(read(client, table, how={"compress_algo": algorithm}), want)
    rows = SplitOptions(split_mode=SplitMode.ROW_OFFSET, split_number=7)
    check_equal(read(client, table, split_options=rows, how={"compress_algo": algorithm}), want)


@behaviour("2", "3")
def compression_by_option(context):
    client, table = made(context)
    session = client.create_table_write_session(table, partition_spec="pt=a")
    for number, algorithm in enumerate((Algorithm.ODPS_ZSTD, Algorithm.ODPS_LZ4, Algorithm.ODPS_ARROW_LZ4)):
        rows = batch(number * 50_000, 50_000)
        upload(session, str(number), rows, compress_option=CompressOption(algorithm, level=1))
    session.commit()
    for algorithm in (Algorithm.ODPS_ZSTD, Algorithm.ODPS_LZ4, Algorithm.ODPS_ARROW_LZ4):
        option = CompressOption(algorithm)
        same(ids(read(client, table, how={"compress_option": option})), list(range(150_000)))
    mixed = read(client, table, how={"compress_algo": "zstd", "async_read": True, "async_queue_size": 3})
    same(ids(mixed), list(range(150_000)))


@behaviour("2", "3")
def intervals_arrive_as_timestamps(context):
    """The client turns interval_day_time into timestamp[ns] while it reads (types.md §2)."""
    (column,) = every_type.INTERVALS
    client, table = made(context, every_type.declaration([column]))
    write(client, table, every_type.rows([column], pt="a"))
    shown = TypedColumn(column.name, "", pa.timestamp("ns"), (-1, 0, 9 * 10**18 + 5))
    check_equal(read(client, table), pa.Table.from_batches([every_type.rows([shown], pt="a")]))


@behaviour("2", "3")
def records(context):
    options.local_timezone = "UTC"
    columns = (
        "id bigint, a tinyint, b smallint, c int, d float, e double, f boolean, g string, h binary, "
        "i char(2), j varchar(4), k date, l datetime, m timestamp, n timestamp_ntz, o decimal(10,2), "
        "p array<bigint>, q map<string,bigint>"
    )
    client, table = made(context, columns)
    values = [
        1, -128, 32767, -5, 0.5, 1e300, True, "Zürich", b"bytes", "ab", "four", datetime.date(2024, 2, 29),
        datetime.datetime(2024, 2, 29, 12, 30, 15, 123000), pd.Timestamp("2024-02-29T12:30:15.123456789"),
        pd.Timestamp("1969-12-31T23:59:59.999999999"), decimal.Decimal("-1.25"), [1, 2], {"k": -1},
    ]  # fmt: skip
    nulls = [2, *[None] * 17]
    session = client.create_table_write_session(table, partition_spec="pt=a")
    writer = session.open_arrow_writer("0").get_as_record_writer()
    record = table.new_record([*values, None])
    writer.write(record)
    writer.flush()
    writer.write(nulls)
    writer.close()
    session.commit()
    reading = client.create_table_read_session(table)
    reader = reading.open_arrow_reader(reading.splits[0]).get_as_record_reader()
    got = [list(each.values) for each in iter(reader.read, None)]
    # Records show instants in the zone the option names; a wall clock stays as it is.
    values[12] = values[12].replace(tzinfo=ZoneInfo("UTC"))
    values[13] = values[13].tz_localize("UTC")
    same(got, [[*values, "a"], [*nulls, "a"]])


@behaviour("2", "3")
def many_records(context):
    client, table = made(context)
    session = client.create_table_write_session(table, partition_spec="pt=a")
    with session.open_arrow_writer("0").get_as_record_writer() as writer:
        for number in range(2500):  # more than two of the writer's batches
            writer.write([number, f"n{number}"])
    session.commit()
    rows = SplitOptions(split_mode=SplitMode.ROW_OFFSET, split_number=1000)
    reading = client.create_table_read_session(table, split_options=rows)
    same([(split.offset, split.length) for split in reading.splits], [(0, 1000), (1000, 1000), (2000, 500)])
    got = []
    for split in reading.splits:
        reader = reading.open_arrow_reader(split, compress_algo="lz4").get_as_record_reader()
        same(reader.count, split.length)
        got += [each["id"] for each in iter(reader.read, None)]
    same(sorted(got), list(range(2500)))


@behaviour("2", "3")
def automatic_flushes(context):
    client, table = made(context)
    session = client.create_table_write_session(table, partition_spec="pt=a")
    writer = session.open_arrow_writer("0", buffer_size=20_000, max_pending_buffers=3)
    for number in range(40):
        writer.write_batch(batch(number * 500, 500))
    writer.flush_async().result()
    writer.close()
    session.commit()
    same(ids(read(client, table)), list(range(20_000)))


@behaviour("2", "3")
def resumed_session_and_stream(context):
    client, table = made(context)
    first = client.create_table_write_session(table, partition_spec="pt=a")
    writer = first.open_arrow_writer("0")
    writer.write_batch(batch(0, 10))
    writer.flush()
    again = client.create_table_write_session(table, session_id=first.id)
    assert again.route_token
    resumed = again.open_arrow_writer("0", resume=True)
    same([each.name for each in resumed.write_schema.columns], ["id", "name"])
    resumed.write_batch(batch(10, 10))
    resumed.close()
    again.commit()
    same(ids(read(client, table)), list(range(20)))


@behaviour("2", "3")
def stream_versions(context):
    client, table = made(context)
    session = client.create_table_write_session(table, partition_spec="pt=a")
    upload(session, "0", batch(0, 10), stream_version=1)
    failed(lambda: session.open_arrow_writer("0", 1), "InvalidStreamStatus", 409)
    upload(session, "0", batch(100, 10), stream_version=3)
    failed(lambda: session.open_arrow_writer("0", 2), "InvalidStreamStatus", 409)
    upload(session, "other", batch(200, 10))
    session.commit(["0"], [3])
    same(ids(read(client, table)), list(range(100, 110)))


@behaviour("2", "3")
def overwrite_replaces_one_partition(context):
    client, table = made(context)
    write(client, table, batch(0, 10, pt="a"), batch(10, 10, pt="b"))
    write(client, table, batch(100, 5), partition_spec="pt=a", overwrite=True)
    same(ids(read(client, table, partitions=["pt=a"])), list(range(100, 105)))
    same(ids(read(client, table, partitions=["pt=b"])), list(range(10, 20)))
    write(client, table, batch(200, 5, pt="b"), batch(300, 5, pt="c"), overwrite=True)
    same(ids(read(client, table)), [*range(100, 105), *range(200, 205), *range(300, 305)])


@behaviour("2", "3")
def abort_leaves_nothing(context):
    client, table = made(context)
    session = client.create_table_write_session(table)
    upload(session, "0", batch(0, 10, pt="a"))
    session.abort()
    closed = client.create_table_write_session(table)
    upload(closed, "0", batch(0, 10, pt="b"))
    closed.close()  # aborts what was not committed
    same(client.create_table_read_session(table).record_count, 0)
    same(list(table.partitions), [])
    reload = lambda: client.create_table_write_session(table, session_id=session.id)  # noqa: E731
    failed(reload, "NoSuchObject", 404)


@behaviour("2", "3")
def commit_twice_and_abort_after(context):
    client, table = made(context)
    session = client.create_table_write_session(table, partition_spec="pt=a")
    upload(session, "0", batch(0, 10))
    session.commit()
    again = client.create_table_write_session(table, session_id=session.id)
    again.commit()
    same(ids(read(client, table)), list(range(10)))
    failed(again.abort, "InvalidSessionStatus", 409)


@behaviour("2", "3")
def commit_with_an_open_stream_is_refused(context):
    client, table = made(context)
    session = client.create_table_write_session(table, partition_spec="pt=a")
    writer = session.open_arrow_writer("late")
    writer.write_batch(batch(0, 10))
    writer.flush()
    failed(session.commit, "InvalidStreamStatus", 409, mention="late")
    same(client.create_table_read_session(table).record_count, 0)
    writer.close()
    session.commit()
    same(client.create_table_read_session(table).record_count, 10)


@behaviour("2", "3")
def bad_rows_spoil_their_stream_only(context):
    client, table = made(context)
    session = client.create_table_write_session(table, partition_spec="pt=a")
    for bad in ({"id": pa.array(["no number"])}, {"id": [1], "nobody": [2]}):
        rows = pa.RecordBatch.from_pydict(bad)
        version = 1 if "nobody" in bad else 0
        call = lambda: upload(session, "0", rows, stream_version=version)  # noqa: B023, E731
        failed(call, "SCHEMA_MISMATCH", 400)
    failed(session.commit, "InvalidStreamStatus", 409, mention="0")
    upload(session, "0", batch(0, 3), stream_version=2)
    session.commit()
    same(ids(read(client, table)), [0, 1, 2])


@behaviour("2", "3")
def dynamic_and_fixed_partitions(context):
    client, table = made(context, partitions="pt string, region string")
    write(client, table, batch(0, 3), partition_spec="pt=1,region=eu")
    parted = (batch(10, 2, region="eu"), batch(12, 2, region="us"))
    write(client, table, *parted, partition_spec="pt=2")
    write(client, table, batch(20, 1, pt="3", region="asia"))
    got = read(client, table).sort_by("id").to_pydict()
    same(got["pt"], ["1"] * 3 + ["2"] * 4 + ["3"])
    same(got["region"], ["eu"] * 5 + ["us"] * 2 + ["asia"])

    def found(*specs):
        return ids(read(client, table, partitions=list(specs)))

    same(found("pt=2"), [10, 11, 12, 13])
    same(found("pt=1", "pt=2,region=us"), [0, 1, 2, 12, 13])
    same(found("pt='3'/region='asia'"), [20])
    same(client.create_table_read_session(table, partitions=["pt=none"]).splits, [])
    bad = lambda spec: client.create_table_write_session(table, partition_spec=spec)  # noqa: E731
    failed(lambda: bad("nokey=1"), "InvalidArgument", 400, mention="nokey")


@behaviour("2", "3")
def partition_without_a_value_is_refused(context):
    client, table = made(context)
    session = client.create_table_write_session(table)
    failed(lambda: upload(session, "0", batch(0, 1)), "InvalidArgument", 400, mention="pt")
    empty = lambda: upload(session, "1", batch(0, 1, pt=""))  # noqa: E731
    failed(empty, "InvalidArgument", 400, mention="pt")
    same(client.create_table_read_session(table).record_count, 0)


@behaviour("2", "3")
def unpartitioned_table(context):
    client, table = made(context, partitions=None)
    write(client, table, batch(0, 10))
    write(client, table, batch(10, 5))
    same(ids(read(client, table)), list(range(15)))
    write(client, table, batch(50, 5), overwrite=True)
    same(ids(read(client, table)), list(range(50, 55)))


@behaviour("2", "3")
def write_schema_of_a_session(context):
    client, table = made(
        context, "id bigint, d decimal(10,2), v varchar(5), a array<map<string,int>>, b blob"
    )
    session = client.create_table_write_session(table, partition_spec="pt=a")
    got = session._stub.get_write_schema(session._table_id, session.id, session.route_token)
    same([(each.name, each.type.name) for each in got.columns],
         [("id", "bigint"), ("d", "decimal(10,2)"), ("v", "varchar(5)"), ("a", "array<map<string,int>>"),
          ("b", "blob")])  # fmt: skip
    same(list(got.find_all_blob_column_ids()), ["b"])
