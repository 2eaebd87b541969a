"""What PyODPS 0.13.2 streams, and when it is visible."""

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
from behaviours import behaviour, same
from ms_client import failed, made, read
from odps.maxstorage import WriteMode
from tables import batch, ids

MODES = {"streaming": WriteMode.STREAMING, "realtime": WriteMode.STREAMING_REALTIME}


def opened(context, client, table, **how):
    return client.create_table_write_session(table, write_mode=MODES[context.variant[2:]], **how)


@behaviour("2_streaming", "2_realtime", "3_streaming", "3_realtime")
def rows_visible_at_each_flush(context):
    client, table = made(context)
    session = opened(context, client, table)
    same(session.id, "default")
    writer = session.open_arrow_writer("s1")
    staged = []
    for number in range(3):
        writer.write_batch(batch(10 * number, 10, pt=f"p{number}"))
        same(client.create_table_read_session(table).record_count, 10 * number)
        writer.flush()
        staged.append(int(writer.get_last_staging_id()))
        same(ids(read(client, table)), list(range(10 * number + 10)))
    assert staged == sorted(set(staged)), staged
    writer.close()
    session.commit()
    same(ids(read(client, table)), list(range(30)))
    same(sorted(each.name for each in table.partitions), ["pt='p0'", "pt='p1'", "pt='p2'"])


@behaviour("2_streaming", "3_streaming", "3_realtime")
def many_writers_stream_at_once(context):
    client, table = made(context)

    def stream(number):
        writer = opened(context, client, table).open_arrow_writer(f"s{number % 3}", compress_algo="zstd")
        for flush in range(5):
            writer.write_batch(batch(1000 * number + 10 * flush, 10, pt="a"))
            writer.flush()
        writer.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(stream, range(8)))
    want = [1000 * writer + row for writer in range(8) for row in range(50)]
    same(ids(read(client, table)), want)


@behaviour("2_streaming", "3_realtime")
def abort_keeps_what_was_streamed(context):
    client, table = made(context)
    session = opened(context, client, table)
    writer = session.open_arrow_writer("default")
    writer.write_batch(batch(0, 10, pt="a"))
    writer.close()
    session.abort()
    same(ids(read(client, table)), list(range(10)))


@behaviour("2_streaming", "3_streaming", "3_realtime")
def resumed_and_recorded_streams(context):
    """Without partitions: the client's record writer sends no partition columns."""
    client, table = made(context, partitions=None)
    session = opened(context, client, table)
    upload = session.open_arrow_writer("s1")
    upload.write_batch(batch(0, 10))
    upload.flush()
    resumed = opened(context, client, table).open_arrow_writer("s1", resume=True)
    resumed.write_batch(batch(10, 10))
    resumed.close()
    with session.open_arrow_writer("s2").get_as_record_writer() as writer:
        writer.write([20, "n20"])
    same(ids(read(client, table)), list(range(21)))


@behaviour("2_streaming", "3_streaming", "3_realtime")
def bad_flushes_leave_the_stream_usable(context):
    client, table = made(context)
    session = opened(context, client, table)
    for bad in ({"id": pa.array(["no number"]), "pt": ["a"]}, {"id": [1], "nobody": [2], "pt": ["a"]}):
        writer = session.open_arrow_writer("s1")
        writer.write_batch(pa.RecordBatch.from_pydict(bad))
        failed(writer.flush, "SCHEMA_MISMATCH", 400)
    missing = session.open_arrow_writer("s1")
    missing.write_batch(batch(0, 1))
    failed(missing.flush, "InvalidArgument", 400, mention="pt")
    good = session.open_arrow_writer("s1")
    good.write_batch(batch(0, 3, pt="a"))
    good.close()
    same(ids(read(client, table)), [0, 1, 2])


@behaviour("3_streaming", "3_realtime")
def nothing_is_left_uncommitted(context):
    client, table = made(context)
    session = opened(context, client, table)
    writer = session.open_arrow_writer("s1")
    writer.write_batch(batch(0, 3, pt="a"))
    writer.close()
    same(session.get_min_uncommitted_staging_id(), None)


@behaviour("2_streaming", "3_realtime")
def no_exactly_once_in_streams(context):
    client, table = made(context)
    session = opened(context, client, table)
    once = lambda: session.open_arrow_writer("s1", exactly_once_mode=True)  # noqa: E731
    failed(once, "InvalidArgument", 400, mention="ExactlyOnceMode")
