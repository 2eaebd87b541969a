"""What PyODPS 0.13.2 writes to tables with a primary key."""

from behaviours import behaviour, refused, same
from ms_client import client_of, read, upload, write
from odps.maxstorage import DeltaTableRecordWriter, WriteMode
from odps.maxstorage.errors import StorageClientError
from tables import batch, deletes, keyed, listed, upserts


def begun(context):
    table = keyed(context).table
    return client_of(context), table


def named(client, table):
    return dict(listed(read(client, table), "id", "name"))


@behaviour("2", "3")
def records_of_a_keyed_table(context):
    client, table = begun(context)
    write(client, table, upserts(0, 4, "old"), partition_spec="pt=a")
    session = client.create_table_write_session(table, partition_spec="pt=a")
    writer = session.open_arrow_writer("0").get_as_record_writer()
    same(type(writer), DeltaTableRecordWriter)
    writer.write([1, "first"])
    writer.write([1, "last"])
    writer.delete([2, None])
    writer.write([9, "new"])
    writer.close()
    session.commit()
    same(named(client, table), {0: "old", 1: "last", 3: "old", 9: "new"})


@behaviour("2_plain", "2_zstd", "3_plain", "3_lz4")
def batches_of_a_keyed_table(context):
    algorithm = {"plain": None}.get(context.variant[2:], context.variant[2:])
    client, table = begun(context)
    write(client, table, upserts(0, 4, "old"), partition_spec="pt=a")
    session = client.create_table_write_session(table, partition_spec="pt=a")
    writer = session.open_arrow_writer("0")
    refused(StorageClientError, lambda: writer.write_batch(batch(0, 1)), mention="__operation")
    writer.close()
    upload(session, "1", upserts(0, 2, "new"), deletes(3), compress_algo=algorithm)
    upload(session, "2", deletes(0), upserts(8, 1, "new"), compress_algo=algorithm)
    session.commit()
    same(named(client, table), {1: "new", 2: "old", 8: "new"})


@behaviour("2", "3")
def exactly_once_records(context):
    client, table = begun(context)
    session = client.create_table_write_session(table, partition_spec="pt=a")
    writer = session.open_arrow_writer("0", exactly_once_mode=True)
    for each in (upserts(0, 4, "first"), upserts(0, 2, "second")):
        writer.write_batch(each)
        writer.flush()
    writer.set_row_offset(0)  # the first answer was lost
    writer.write_batch(upserts(0, 4, "first"))
    writer.flush()
    writer.set_row_offset(6)
    writer.write_batch(deletes(3))
    writer.close()
    session.commit()
    same(named(client, table), {0: "second", 1: "second", 2: "first"})


@behaviour("2", "3")
def blocks_of_a_keyed_table(context):
    """They have the columns of the table, and so are upserts."""
    client, table = begun(context)
    write(client, table, upserts(0, 4, "old"), partition_spec="pt=a")
    session = client.create_table_write_session(
        table, write_mode=WriteMode.BATCH_COMPATIBLE, partition_spec="pt=a"
    )
    written = []
    for number in (1, 0):  # the order of their numbers counts
        with session.open_block_writer(number, 0) as writer:
            for each in (upserts(0, 2 - number, f"block {number}"), upserts(8 + number, 1, "new")):
                writer.write_batch(each.select(["id", "name"]).cast(writer.schema))
            written.append(writer.commit())
    session.commit(block_results=written)
    want = {0: "block 1", 1: "block 0", 2: "old", 3: "old", 8: "new", 9: "new"}
    same(named(client, table), want)


@behaviour("2_streaming", "3_streaming", "3_realtime")
def streamed_upserts(context):
    client, table = begun(context)
    mode = WriteMode.STREAMING if context.variant.endswith("streaming") else WriteMode.STREAMING_REALTIME
    writer = client.create_table_write_session(table, write_mode=mode).open_arrow_writer("s1")
    seen = []
    for each in (upserts(0, 3, "one", pt="a"), upserts(1, 2, "two", pt="a"), deletes(0, 1, pt="a")):
        writer.write_batch(each)
        writer.flush()
        seen.append(named(client, table))
    writer.close()
    same(seen, [{0: "one", 1: "one", 2: "one"}, {0: "one", 1: "two", 2: "two"}, {2: "two"}])
