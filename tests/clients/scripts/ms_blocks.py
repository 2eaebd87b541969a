"""What PyODPS 0.13.2 writes as blocks, in mode BatchCompatible."""

import pyarrow as pa
from behaviours import behaviour, refused, same
from ms_client import failed, made, read, write
from odps.maxstorage import WriteMode
from odps.maxstorage.errors import StorageClientError
from odps.maxstorage.options import BatchCompatibleOptions
from tables import batch, ids


def opened(client, table, **how):
    return client.create_table_write_session(table, write_mode=WriteMode.BATCH_COMPATIBLE, **how)


def block(session, number, *batches, attempt=0, **how):
    with session.open_block_writer(number, attempt, **how) as writer:
        for each in batches:
            writer.write_batch(each.cast(writer.schema))
        return writer.commit()


@behaviour("2_plain", "2_zstd", "2_lz4", "3_plain", "3_zstd", "3_lz4")
def blocks_in_the_order_of_their_numbers(context):
    algorithm = {"plain": None, "zstd": "zstd", "lz4": "lz4"}[context.variant[2:]]
    client, table = made(context)
    session = opened(client, table, partition_spec="pt=a")
    assert session.max_block_number > 100
    written = [
        block(session, number, batch(100 * number, 50), batch(100 * number + 50, 50), compress_algo=algorithm)
        for number in (2, 0, 1)
    ]
    same([each.record_count for each in written], [100, 100, 100])
    same(client.create_table_read_session(table).record_count, 0)
    session.commit(block_results=written)
    same(read(client, table)["id"].to_pylist(), list(range(300)))


@behaviour("2", "3")
def only_listed_attempts_of_blocks(context):
    client, table = made(context)
    session = opened(client, table, partition_spec="pt=a")
    block(session, 0, batch(0, 5))
    kept = block(session, 0, batch(10, 5), attempt=1)
    block(session, 1, batch(20, 5))
    session.commit(block_results=[kept])
    same(ids(read(client, table)), list(range(10, 15)))


@behaviour("2", "3")
def block_session_opened_again(context):
    """Blocks are written in one process and committed in another."""
    client, table = made(context)
    first = opened(client, table, partition_spec="pt=a")
    again = opened(client, table, session_id=first.id)
    same(again.max_block_number, first.max_block_number)
    written = [block(first, 0, batch(0, 5)), block(again, 1, batch(5, 5))]
    again.commit(block_results=written)
    opened(client, table, session_id=first.id).commit(block_results=written)
    same(ids(read(client, table)), list(range(10)))
    failed(lambda: block(first, 2, batch(10, 5)), "InvalidSessionStatus", 409)


@behaviour("2", "3")
def blocks_overwrite_with_dynamic_partitions(context):
    client, table = made(context)
    write(client, table, batch(0, 10, pt="a"), batch(10, 10, pt="b"))
    session = opened(client, table, overwrite=True)
    session.commit(block_results=[block(session, 0, batch(100, 5, pt="a"), batch(200, 5, pt="c"))])
    same(ids(read(client, table)), [*range(10, 20), *range(100, 105), *range(200, 205)])
    session = opened(client, table, partition_spec="pt=b", overwrite=True)
    session.commit(block_results=[])
    same(ids(read(client, table)), [*range(100, 105), *range(200, 205)])


@behaviour("2", "3")
def blocks_within_their_limits(context):
    client, table = made(context)
    limited = BatchCompatibleOptions(enhance_write_check=True, dynamic_partition_limit=2)
    session = opened(client, table, batch_compatible_options=limited)
    rows = [batch(10 * number, 5, pt=f"p{number}") for number in range(3)]
    refused(IOError, lambda: block(session, 0, *rows), mention="DynamicPartitionLimit")
    written = [block(session, 0, *rows[:2], attempt=1), block(session, 1, rows[2])]
    failed(lambda: session.commit(block_results=written), "InvalidArgument", 400, mention="partitions")
    session.commit(block_results=written[:1])
    same(ids(read(client, table)), [*range(5), *range(10, 15)])


@behaviour("2", "3")
def blocks_given_up(context):
    client, table = made(context)
    session = opened(client, table, partition_spec="pt=a")
    written = block(session, 0, batch(0, 5))
    session.abort()
    other = opened(client, table, partition_spec="pt=a")
    foreign = block(other, 0, batch(0, 5))
    third = opened(client, table, partition_spec="pt=a")
    foreign._session_id = written._session_id = third.id
    failed(lambda: third.commit(block_results=[foreign]), "InvalidArgument", 400, mention="commit message")
    failed(lambda: third.commit(block_results=[written]), "InvalidArgument", 400, mention="commit message")
    same(client.create_table_read_session(table).record_count, 0)
    closed = refused(StorageClientError, lambda: block(session, 1, batch(0, 1)))
    assert "closed" in str(closed)


@behaviour("2", "3")
def blocks_have_the_columns_of_their_session(context):
    client, table = made(context, "id bigint, name string, d decimal(10,2)", "pt string, region string")
    open_keys = {"": ["pt", "region"], "pt=a": ["region"], "pt=a,region=b": []}
    for spec, keys in open_keys.items():
        session = opened(client, table, partition_spec=spec)
        writer = session.open_block_writer(0, 0)
        same(writer.schema.names, ["id", "name", "d", *keys])
        same(writer.schema.field("id").type, pa.int64())
        session.abort()
