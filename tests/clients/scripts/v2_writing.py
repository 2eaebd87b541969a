"""What PyODPS 0.13.0 writes, and what becomes of it."""

from concurrent.futures import ThreadPoolExecutor

import every_type
import pyarrow as pa
from behaviours import behaviour, refused, same
from every_type import check_equal
from tables import batch, ids
from v2_client import (
    COLUMNS,
    COMPRESSIONS,
    PARALLELISM,
    drained,
    made,
    read,
    send,
    send_failed,
    upload,
    write,
)

import odps
from odps import errors
from odps.apis.storage_api_v2 import Compression, SplitOptions, StorageApiClient


@behaviour("plain", "zstd", "lz4")
def every_type_through_several_streams(context):
    client = made(context, every_type.declaration(COLUMNS))
    compression = COMPRESSIONS[context.variant]
    uploads = [every_type.rows(COLUMNS, 4 * number, pt=f"p{number % 3}") for number in range(6)]
    session = client.create_write_session()
    for stream in range(3):
        client.create_write_stream(session.session_id, stream_id=stream)
        for each in uploads[2 * stream : 2 * stream + 2]:
            send(client, session.session_id, stream, each, compression=compression, count=4)
        client.close_write_stream(session.session_id, stream_id=stream)
    client.commit_write_session(session.session_id)
    check_equal(read(client, compression), pa.Table.from_batches(uploads))


@behaviour("plain", "zstd", "lz4")
def raw_streams(context):
    """`StorageApiClient` moves the bytes of Arrow streams that its user makes and reads."""
    arrow_client = made(context)
    client = StorageApiClient(context.server.odps(), arrow_client.table)
    codec = (COMPRESSIONS[context.variant] or Compression.UNCOMPRESSED).to_compression_name()
    session = client.create_write_session("pt=a")
    client.create_write_stream(session.session_id, "0")
    writer = client.write_rows_stream(
        session.session_id, "0", record_count=50_000, compression=COMPRESSIONS[context.variant]
    )
    rows = batch(0, 50_000)
    with pa.ipc.new_stream(writer, rows.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as stream:
        stream.write_table(pa.Table.from_batches([rows]), max_chunksize=5000)
    _, succeeded = writer.finish()
    assert succeeded
    client.close_write_stream(session.session_id, "0")
    client.commit_write_session(session.session_id, ["0"], [0])
    reading = client.create_read_session()
    reader = client.read_rows_stream(
        reading.session_id, split_index=0, compression=COMPRESSIONS[context.variant]
    )
    check_equal(pa.ipc.open_stream(reader).read_all(), pa.Table.from_batches([batch(0, 50_000, pt="a")]))


@behaviour()
def several_uploads_and_versions(context):
    client = made(context)
    session = client.create_write_session("pt=a").session_id
    upload(client, session, "0", batch(0, 10), version=0)
    send_failed(context, client, session)
    upload(client, session, "0", batch(100, 10), batch(110, 5), version=1)
    upload(client, session, "1", batch(200, 10), version=7)
    state = client.get_write_stream(session, "0", 1)
    same((state.status, state.record_count, state.error_code), ("CLOSED", 15, ""))
    assert state.byte_size > 0
    streams = {each["StreamId"]: each for each in client.get_write_session(session).streams}
    same(streams["0"], {"StreamId": "0", "StreamVersion": 1, "Status": "CLOSED"})
    same(streams["1"], {"StreamId": "1", "StreamVersion": 7, "Status": "CLOSED"})
    client.commit_write_session(session)
    same(ids(read(client)), [*range(100, 115), *range(200, 210)])


@behaviour()
def commit_of_chosen_streams(context):
    client = made(context)
    session = client.create_write_session("pt=a").session_id
    upload(client, session, "0", batch(0, 5))
    upload(client, session, "1", batch(100, 5))
    client.create_write_stream(session, "2")
    client.commit_write_session(session, ["1"], [0])
    same(ids(read(client)), list(range(100, 105)))


@behaviour()
def new_session_has_no_streams(context):
    client = made(context)
    session = client.create_write_session().session_id
    same(client.get_write_session(session).streams, None)


@behaviour()
def overwrite_replaces_one_partition(context):
    client = made(context)
    write(client, batch(0, 10, pt="a"), batch(10, 10, pt="b"))
    write(client, batch(100, 5), partition="pt=a", overwrite=True)
    same(ids(read(client, required_partitions=["pt=a"])), list(range(100, 105)))
    same(ids(read(client, required_partitions=["pt=b"])), list(range(10, 20)))
    write(client, batch(200, 5, pt="b"), batch(300, 5, pt="c"), overwrite=True)
    same(ids(read(client)), [*range(100, 105), *range(200, 205), *range(300, 305)])


@behaviour()
def overwrite_of_a_partial_spec(context):
    """Only the partitions that received rows are replaced."""
    client = made(context, partitions="pt string, region string")
    write(client, batch(0, 3, pt="a", region="eu"), batch(10, 3, pt="a", region="us"),
          batch(20, 3, pt="b", region="eu"))  # fmt: skip
    write(client, batch(100, 1, region="eu"), partition="pt=a", overwrite=True)
    same(ids(read(client)), [10, 11, 12, 20, 21, 22, 100])


@behaviour()
def empty_overwrite_empties_the_partition(context):
    client = made(context)
    write(client, batch(0, 10, pt="a"), batch(10, 10, pt="b"))
    session = client.create_write_session("pt=a", {"overwrite": True}).session_id
    client.commit_write_session(session)
    same(ids(read(client)), list(range(10, 20)))


@behaviour()
def abort_leaves_nothing(context):
    client = made(context)
    session = client.create_write_session().session_id
    upload(client, session, "0", batch(0, 10, pt="a"))
    client.abort_write_session(session)
    client.abort_write_session(session)
    same(client.create_read_session().record_count, 0)
    same(list(client.table.partitions), [])
    refused(errors.NoSuchObject, lambda: client.get_write_session(session))
    refused(errors.ODPSError, lambda: client.commit_write_session(session), code="InvalidSessionStatus")


@behaviour()
def commit_twice_and_abort_after(context):
    client = made(context)
    session = client.create_write_session("pt=a").session_id
    upload(client, session, "0", batch(0, 10))
    client.commit_write_session(session)
    client.commit_write_session(session)
    same(ids(read(client)), list(range(10)))
    refused(errors.ODPSError, lambda: client.abort_write_session(session), code="InvalidSessionStatus")
    same([each["Status"] for each in client.get_write_session(session).streams], ["CLOSED"])


@behaviour()
def commit_with_an_open_stream_is_refused(context):
    client = made(context)
    session = client.create_write_session("pt=a").session_id
    upload(client, session, "0", batch(0, 10))
    client.create_write_stream(session, "late")
    commit = lambda: client.commit_write_session(session)  # noqa: E731
    refused(errors.ODPSError, commit, code="InvalidStreamStatus", mention="late")
    same(client.create_read_session().record_count, 0)
    client.close_write_stream(session, "late")
    client.commit_write_session(session)
    same(client.create_read_session().record_count, 10)


@behaviour()
def incomplete_upload_is_told(context):
    client = made(context)
    session = client.create_write_session("pt=a").session_id
    client.create_write_stream(session, "short")
    writer = client.write_rows_arrow(session, "short", record_count=11)
    writer.write(batch(0, 10))
    same(writer.finish()[1], True)
    if odps.__version__ == "0.13.0":
        # This release logs a closing answer's warning with a logger it never made: so the warning stops
        # the user's program, before it commits.
        refused(NameError, lambda: client.close_write_stream(session, "short"), mention="logger")
    else:
        closed = client.close_write_stream(session, "short")
        same(closed.warning_message, "data_incomplete: expected 11, received 10")
    for name, count in (("exact", 10), ("more", 9), ("unknown", 0)):
        same(upload(client, session, name, batch(20, 10), count=count).warning_message, "")


@behaviour()
def bad_rows_spoil_their_stream_only(context):
    client = made(context)
    session = client.create_write_session("pt=a").session_id
    bad = pa.RecordBatch.from_pydict({"id": pa.array(["no number"])})
    refused(errors.ODPSError, lambda: upload(client, session, "0", bad), code="SCHEMA_MISMATCH", mention="id")
    state = client.get_write_stream(session, "0", 0)
    same((state.status, state.error_code), ("ERROR", "SCHEMA_MISMATCH"))
    assert "id" in state.error_message, state.error_message
    refused(
        errors.ODPSError,
        lambda: client.commit_write_session(session),
        code="InvalidStreamStatus",
        mention="0",
    )
    upload(client, session, "0", batch(0, 3), version=1)
    client.commit_write_session(session)
    same(ids(read(client)), [0, 1, 2])


@behaviour()
def unknown_column_is_refused(context):
    client = made(context)
    session = client.create_write_session("pt=a").session_id
    bad = pa.RecordBatch.from_pydict({"id": [1], "nobody": [2]})
    refused(errors.ODPSError, lambda: upload(client, session, "0", bad), code="SCHEMA_MISMATCH")
    state = client.get_write_stream(session, "0", 0)
    same((state.status, state.error_code), ("ERROR", "SCHEMA_MISMATCH"))
    assert "nobody" in state.error_message


@behaviour()
def columns_by_name_in_any_order(context):
    client = made(context)
    rows = batch(0, 10, pt="a")
    write(client, pa.RecordBatch.from_pydict({"PT": rows["pt"], "Name": rows["name"], "ID": rows["id"]}))
    write(client, pa.RecordBatch.from_pydict({"id": pa.array([10], pa.int64())}), partition="pt=a")
    got = read(client).sort_by("id")
    same(got.schema.names, ["id", "name", "pt"])
    same(got.column("name").to_pylist(), [*[f"n{number}" for number in range(10)], None])


@behaviour()
def dynamic_and_fixed_partitions(context):
    client = made(context, partitions="pt string, region string")
    write(client, batch(0, 3), partition="pt=1,region=eu")
    write(client, batch(10, 2, region="eu"), batch(12, 2, region="us"), partition="pt=2")
    write(client, batch(20, 1, pt="3", region="asia/tokyo"))
    got = read(client).sort_by("id").to_pydict()
    same(got["pt"], ["1"] * 3 + ["2"] * 4 + ["3"])
    same(got["region"], ["eu"] * 5 + ["us"] * 2 + ["asia/tokyo"])
    names = sorted(each.name for each in client.table.partitions)
    same(names, ["pt='1',region='eu'", "pt='2',region='eu'", "pt='2',region='us'",
                 "pt='3',region='asia/tokyo'"])  # fmt: skip

    def found(*specs):
        return ids(read(client, required_partitions=list(specs)))

    same(found("pt=2"), [10, 11, 12, 13])
    same(found("pt=1", "pt=2,region=us"), [0, 1, 2, 12, 13])
    same(found("pt=2", "region=eu"), [10, 11])
    same(found("pt='3'/region='asia/tokyo'"), [20])
    same(client.create_read_session(required_partitions=["pt=none"]).splits_count, 0)


@behaviour()
def partition_without_a_value_is_refused(context):
    client = made(context)
    session = client.create_write_session().session_id
    refused(errors.InvalidArgument, lambda: upload(client, session, "0", batch(0, 1)), mention="pt")
    refused(errors.InvalidArgument, lambda: client.create_write_session("nokey=1"), mention="nokey")
    refused(errors.InvalidArgument, lambda: client.create_write_session("pt"), mention="pt")


@behaviour()
def partition_keys_of_other_types(context):
    client = made(context, partitions="d date, n bigint, t tinyint, v varchar(9)")
    rows = pa.RecordBatch.from_pydict({
        "id": pa.array([1, 2], pa.int64()),
        "name": ["x", "y"],
        "d": pa.array([19_000, 19_001], pa.date32()),
        "n": pa.array([-5, 2**60], pa.int64()),
        "t": pa.array([0, -128], pa.int8()),
        "v": ["a", "b"],
    })  # fmt: skip
    write(client, rows)
    check_equal(read(client), pa.Table.from_batches([rows]))
    same(ids(read(client, required_partitions=["d=2022-01-09"])), [2])
    same(sorted(each.name for each in client.table.partitions)[0], "d='2022-01-08',n='-5',t='0',v='a'")


@behaviour()
def unpartitioned_table(context):
    client = made(context, partitions=None)
    write(client, batch(0, 10))
    write(client, batch(10, 5))
    same(ids(read(client)), list(range(15)))
    write(client, batch(50, 5), overwrite=True)
    same(ids(read(client)), list(range(50, 55)))


@behaviour()
def stream_schema_as_documented(context):
    client = made(context)
    session = client.create_write_session("pt=a")
    assert session.route_token
    stream = client.create_write_stream(session.session_id, 0)
    same(
        stream.data_schema["Columns"], [{"Name": "id", "Type": "bigint"}, {"Name": "name", "Type": "string"}]
    )
    again = client.create_write_stream(session.session_id, "0")
    same((again.table_id, again.schema_version), (stream.table_id, stream.schema_version))
    same(client.get_write_stream(session.session_id, "0", 0).status, "OPEN")


@behaviour()
def parallel_streams_and_splits(context):
    client = made(context)
    session = client.create_write_session().session_id
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda stream: upload(
                    client, session, stream, batch(stream * 5000, 5000, pt=f"p{stream % 3}")
                ),
                range(12),
            )
        )
    client.commit_write_session(session)
    options = SplitOptions(split_mode=PARALLELISM, split_number=8)
    reading = client.create_read_session(split_options=options)
    with ThreadPoolExecutor(4) as pool:
        parts = list(
            pool.map(
                lambda split: drained(client.read_rows_arrow(reading.session_id, split_index=split)),
                range(reading.splits_count),
            )
        )
    same(ids(pa.concat_tables(parts)), list(range(60_000)))
