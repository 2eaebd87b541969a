"""What PyODPS does with the tunnel: tables and results read and written, as records and as Arrow."""

import time
from decimal import Decimal
from functools import partial

import pandas as pd
import pyarrow as pa
from behaviours import behaviour, failed, refused, same
from odps.tunnel import TableTunnel
from odps.tunnel.errors import TunnelError

from odps import errors

COLUMNS = "id bigint, name string"
ROWS = [[1, "a"], [2, None], [3, "ü" * 3]]
BATCH = pa.record_batch({"id": [1, 2, 3], "name": ["a", None, "ü" * 3]})


def made(context, partitions=None):
    odps = context.server.odps()
    columns = (COLUMNS, partitions) if partitions else COLUMNS
    return odps, odps.create_table(context.table, columns)


def read(table, **how):
    with table.open_reader(reopen=True, **how) as reader:
        return [record.values for record in reader]


@behaviour()
def records_written_and_read(context):
    odps, table = made(context)
    with table.open_writer() as writer:
        writer.write(ROWS)
    with table.open_reader() as reader:
        same((reader.count, [record.values for record in reader]), (3, ROWS))
        same([record.values for record in reader[1:]], ROWS[1:])
        same([record.values for record in reader.read(1, 1)], ROWS[1:2])
    odps.write_table(context.table, ROWS)
    same([record.values for record in odps.read_table(context.table, start=2, limit=2)], [ROWS[2], ROWS[0]])
    same(read(table, columns=["name", "id"]), [[name, number] for number, name in ROWS * 2])
    same(table.to_pandas()["id"].tolist(), [1, 2, 3] * 2)


@behaviour()
def arrow_written_and_read(context):
    _, table = made(context)
    with table.open_writer(arrow=True) as writer:
        writer.write(BATCH)
        writer.write(pd.DataFrame({"id": [4], "name": ["d"]}))
    with table.open_reader(arrow=True) as reader:
        same(pa.Table.from_batches(reader).to_pydict(), {"id": [1, 2, 3, 4], "name": ["a", None, "üüü", "d"]})
    with table.open_reader(arrow=True, columns=["name", "id"]) as reader:
        same(reader.to_pandas().columns.tolist(), ["name", "id"])
    same(read(table), [*ROWS, [4, "d"]])


@behaviour()
def partitions_of_tables(context):
    odps, table = made(context, "pt string, hour bigint")
    for arrow in (False, True):
        hour = str(int(arrow))  # PyODPS takes it from the spec
        partition = f"pt=a b,hour={hour}"
        with table.open_writer(partition, create_partition=True, arrow=arrow) as writer:
            writer.write(BATCH if arrow else ROWS)
        same(read(table, partition=partition), [[*row, "a b", hour] for row in ROWS])
        same(read(table, partition=partition, columns=["name"]), [[row[1]] for row in ROWS])
        found = table.to_pandas(partition=partition, append_partitions=True)
        same(found.iloc[2].tolist(), [3, "üüü", "a b", int(arrow)])
    odps.write_table(context.table, [[9, "nine"]], partition="pt=a b,hour=0", overwrite=True)
    same(read(table, partition="pt=a b,hour=0"), [[9, "nine", "a b", "0"]])
    same(len(read(table, partition="pt=a b,hour=1")), 3)
    tunnel = TableTunnel(odps)
    for create in (tunnel.create_upload_session, tunnel.create_download_session):
        failed(partial(create, table, partition_spec="pt=b,hour=1"), "NoSuchPartition", status=404)
        failed(partial(create, table, partition_spec="pt=a b"), "InvalidArgument", mention="hour")
        failed(partial(create, table), "InvalidArgument", mention="pt")


@behaviour("raw", "zlib", "zstd", "lz4", "snappy")
def compressed(context):
    odps, table = made(context)
    algorithm = context.variant
    rows = [[number, f"row {number} " * 100] for number in range(3000)]
    with table.open_writer(compress_algo=algorithm) as writer:
        writer.write(rows)
    batch = pa.Table.from_pylist([dict(zip(("id", "name"), row, strict=True)) for row in rows])
    with table.open_writer(compress_algo=algorithm, arrow=True) as writer:
        writer.write(batch)
    same(read(table, compress_algo=algorithm), rows * 2)
    with table.open_reader(reopen=True, compress_algo=algorithm, arrow=True) as reader:
        same(pa.Table.from_batches(reader), pa.concat_tables([batch, batch]).combine_chunks())
    instance = odps.execute_sql(f"select id from {context.table} where id < 3 order by id")
    with instance.open_reader(compress_algo=algorithm) as reader:
        same([record[0] for record in reader], [0, 0, 1, 1, 2, 2])


@behaviour()
def blocks_replaced(context):
    odps, table = made(context)
    session = TableTunnel(odps).create_upload_session(table)

    def write(block, *rows, arrow=False):
        opened = session.open_arrow_writer(block) if arrow else session.open_record_writer(block)
        with opened as writer:
            for row in rows:
                writer.write(row if arrow else session.new_record(row))

    write(7, [7, "seven"])
    write(1, [0, "replaced"])
    write(1, BATCH, arrow=True)
    write(3)
    same(sorted(map(int, session.get_block_list())), [1, 3, 7])
    refused(TunnelError, lambda: session.commit([1, 3]), mention="Blocks not match")
    same(read(table), [])
    again = TableTunnel(odps).create_upload_session(table, upload_id=session.id)
    again.commit([1, 3, 7])
    same(again.status.value, "CLOSED")
    same(read(table), [*ROWS, [7, "seven"]])
    failed(lambda: write(8, [8, "late"]), "InvalidSessionStatus", status=409)


@behaviour()
def snapshot_of_a_download(context):
    _, table = made(context)
    with table.open_writer() as writer:
        writer.write(ROWS)
    with table.open_reader(reopen=True) as before:
        with table.open_writer() as writer:
            writer.write(ROWS)
        same((before.count, [record.values for record in before]), (3, ROWS))
    same(len(read(table)), 6)


@behaviour()
def sessions_that_expire(context):
    odps = context.short_lived.odps()
    table = odps.create_table(context.table, COLUMNS)
    tunnel = TableTunnel(odps)
    upload, download = tunnel.create_upload_session(table), tunnel.create_download_session(table)
    end = time.monotonic() + 30
    while upload.status.value == "NORMAL" or download.status.value == "NORMAL":
        assert time.monotonic() < end
        time.sleep(0.2)
        upload.reload()
        download.reload()
    same((upload.status.value, download.status.value), ("EXPIRED", "EXPIRED"))
    failed(lambda: upload.commit([]), "InvalidSessionStatus", status=409)
    failed(lambda: download.open_arrow_reader(0, 1), "InvalidSessionStatus", status=409)


@behaviour()
def results_of_queries(context):
    odps, table = made(context)
    with table.open_writer() as writer:
        writer.write(ROWS)
    instance = odps.execute_sql(f"select * from {context.table} order by id")
    with instance.open_reader(tunnel=True) as reader:
        same((reader.count, [record.values for record in reader]), (3, ROWS))
        same([record.values for record in reader[1:2]], ROWS[1:2])
    same(instance.to_pandas()["name"].dropna().tolist(), ["a", "üüü"])
    with instance.open_reader(tunnel=True, arrow=True) as reader:
        same(pa.Table.from_batches(reader).to_pydict(), {"id": [1, 2, 3], "name": ["a", None, "üüü"]})
    with instance.open_reader(tunnel=False) as reader:
        same([record.values for record in reader], [[str(number), name] for number, name in ROWS])
    empty = odps.execute_sql(f"select id from {context.table} where id > 9")
    with empty.open_reader(tunnel=True) as reader:
        same((reader.count, list(reader)), (0, []))
    described = odps.execute_sql(f"desc {context.table}")
    assert "id | bigint" in described.open_reader().raw
    refused(errors.InstanceTypeNotSupported, lambda: described.open_reader(tunnel=True))


@behaviour()
def refused_by_the_tunnel(context):
    odps, table = made(context)
    failed(lambda: TableTunnel(odps).create_download_session("no_such_table"), "NoSuchTable", status=404)
    failed(lambda: TableTunnel(odps).create_upload_session("no_such_table"), "NoSuchTable", status=404)
    failed(
        lambda: TableTunnel(odps).create_download_session(table, download_id="none"),
        "NoSuchObject",
        status=404,
    )


@behaviour()
def tables_with_a_key(context):
    odps = context.server.odps()
    odps.execute_sql(
        f"create table {context.table} (id bigint not null, v string, primary key (id)) "
        "tblproperties ('transactional'='true')"
    )
    odps.execute_sql(f"insert into {context.table} values (1, 'a'), (2, 'b')")
    table = odps.get_table(context.table)
    with table.open_writer() as writer:
        writer.write([[2, "replaced"], [3, "c"], [4, "d"], [3, "last"]])
        writer.delete([[4, None], [5, None]])
        same(sorted(read(table)), [[1, "a"], [2, "b"]])
    same(sorted(read(table)), [[1, "a"], [2, "replaced"], [3, "last"]])
    failed(lambda: TableTunnel(odps).create_upload_session(table), "InvalidArgument", mention="primary key")
    plain = odps.create_table(f"{context.table}_plain", COLUMNS)
    failed(lambda: TableTunnel(odps).create_upsert_session(plain), "InvalidArgument", mention="primary key")


@behaviour()
def upserts_to_a_partition(context):
    odps = context.server.odps()
    odps.execute_sql(
        f"create table {context.table} (id bigint not null, tags array<string>, price decimal(10,2), "
        "primary key (id)) partitioned by (pt string) tblproperties ('transactional'='true')"
    )
    table = odps.get_table(context.table)
    with table.open_writer("pt=a", create_partition=True) as writer:
        writer.write([[1, ["x", "y"], Decimal("1.50")], [2, None, None]])
    wanted = [[1, ["x", "y"], Decimal("1.50"), "a"], [2, None, None, "a"]]
    same(read(table, partition="pt=a"), wanted)
    failed(lambda: TableTunnel(odps).create_upsert_session(table), "InvalidArgument", mention="pt")


@behaviour()
def an_upsert_of_many_flushes(context):
    odps = context.server.odps()
    odps.execute_sql(
        f"create table {context.table} (id bigint not null, v string, primary key (id)) "
        "tblproperties ('transactional'='true')"
    )
    session = TableTunnel(odps).create_upsert_session(context.table)
    stream = session.open_upsert_stream(compress=True)
    for turn in range(4):
        for number in range(100):
            stream.upsert(session.new_record([number, f"{turn}"]))
        stream.delete(session.new_record([turn, None]))
        stream.flush()
    stream.close()
    same(read(odps.get_table(context.table)), [])
    session.commit()
    same(session.status.value, "COMMITTED")
    wanted = [[number, "3"] for number in range(100) if number != 3]
    same(sorted(read(odps.get_table(context.table))), wanted)
    dropped = TableTunnel(odps).create_upsert_session(context.table)
    stream = dropped.open_upsert_stream()
    stream.upsert(dropped.new_record([3, "dropped"]))
    stream.close()
    dropped.abort()
    same(sorted(read(odps.get_table(context.table))), wanted)
    failed(dropped.commit, "InvalidSessionStatus", status=409)


@behaviour()
def rows_streamed(context):
    odps, table = made(context)
    session = TableTunnel(odps).create_stream_upload_session(table)
    for number, compress in enumerate((False, True)):
        writer = session.open_record_writer(compress=compress)
        writer.write(session.new_record([number, "é"]))
        same(len(read(table)), number)
        writer.close()
        same(len(read(table)), number + 1)
    same(read(table), [[0, "é"], [1, "é"]])
    session.reload()
    session.abort()
    odps.execute_sql(f"alter table {context.table} add columns (more string)")
    writer = session.open_record_writer()
    writer.write(session.new_record([3, "late"]))
    failed(writer.close, "SCHEMA_MISMATCH", status=400)
    same(len(read(odps.get_table(context.table))), 2)


@behaviour()
def rows_streamed_to_a_partition(context):
    odps, table = made(context, "pt string")
    tunnel = TableTunnel(odps)
    failed(lambda: tunnel.create_stream_upload_session(table), "InvalidArgument", mention="pt")
    failed(lambda: tunnel.create_stream_upload_session(table, "pt=a"), "NoSuchPartition", status=404)
    session = tunnel.create_stream_upload_session(table, "pt=a", create_partition=True)
    writer = session.open_record_writer()
    for row in ROWS:
        writer.write(session.new_record(row))
    writer.close()
    same(read(table, partition="pt=a"), [[*row, "a"] for row in ROWS])


@behaviour()
def tables_in_schemas(context):
    odps = context.server.odps()
    odps.create_schema(context.table)
    inside = context.server.odps(schema=context.table)
    table = inside.create_table("t", COLUMNS)
    inside.write_table("t", ROWS)
    same(read(table), ROWS)
    same([record.values for record in odps.get_table("t", schema=context.table).open_reader()], ROWS)
    inside.delete_table("t")
    odps.delete_schema(context.table)
