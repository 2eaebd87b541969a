"""What `odps.apis.storage_api_v2` of PyODPS 0.13.0 does with the server."""

import time
from concurrent.futures import ThreadPoolExecutor

import every_type
import pyarrow as pa
import rest  # noqa: F401 - registers its behaviours
from behaviours import behaviour, refused, same, serve
from every_type import check_equal

from odps import errors
from odps.apis.storage_api_v2 import (
    ArrowOptions,
    Compression,
    SessionStatus,
    SplitOptions,
    StorageApiArrowClient,
    StorageApiClient,
)

COLUMNS = every_type.SCALARS + every_type.INTERVALS + every_type.LISTS + every_type.STRUCTS
COMPRESSIONS = {"plain": None, "zstd": Compression.ZSTD, "lz4": Compression.LZ4_FRAME}
PARALLELISM = SplitOptions.SplitMode.PARALLELISM
ROW_OFFSET = SplitOptions.SplitMode.ROW_OFFSET


def made(context, columns="id bigint, name string", partitions="pt string", server=None):
    """Create the behaviour's table; return a client for it."""
    odps = (server or context.server).odps()
    table = odps.create_table(context.table, (columns, partitions) if partitions else columns)
    return StorageApiArrowClient(odps, table)


def batch(start, count, **partition):
    ids = range(start, start + count)
    columns = {"id": pa.array(ids, pa.int64()), "name": pa.array([f"n{number}" for number in ids])}
    return pa.RecordBatch.from_pydict(
        {**columns, **{name: pa.array([value] * count) for name, value in partition.items()}}
    )


def upload(client, session_id, stream_id, *batches, version=0, compression=None, count=0):
    """Create a stream, upload the batches in one request, close it; return the closing answer."""
    client.create_write_stream(session_id, stream_id=stream_id, stream_version=version)
    send(client, session_id, stream_id, *batches, version=version, compression=compression, count=count)
    return client.close_write_stream(session_id, stream_id=stream_id, stream_version=version)


def send(client, session_id, stream_id, *batches, version=0, compression=None, count=0):
    writer = client.write_rows_arrow(
        session_id, stream_id=stream_id, stream_version=version, record_count=count, compression=compression
    )
    for each in batches:
        assert writer.write(each)
    message, succeeded = writer.finish()
    assert succeeded
    assert message
    assert writer.get_request_id()


def write(client, *batches, partition=None, overwrite=False):
    """Write and commit in one session."""
    session = client.create_write_session(partition, {"overwrite": True} if overwrite else None)
    upload(client, session.session_id, 0, *batches)
    client.commit_write_session(session.session_id)


def drained(reader):
    batches = list(iter(reader.read, None))
    return pa.Table.from_batches(batches, reader._arrow_stream.schema)


def read(client, compression=None, **request):
    """Read every split of a new session."""
    session = client.create_read_session(**request)
    same(session.session_status, SessionStatus.NORMAL)
    parts = [
        drained(client.read_rows_arrow(session.session_id, split_index=split, compression=compression))
        for split in range(session.splits_count)
    ]
    table = pa.concat_tables(parts)
    same(session.record_count, table.num_rows)
    return table


def ids(table):
    return sorted(table.column("id").to_pylist())


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


def send_failed(context, client, session):
    """A closed stream takes nothing more."""
    error = refused(errors.ODPSError, lambda: client.create_write_stream(session, "0", 0))
    same(error.code, "InvalidStreamStatus")
    assert error.request_id


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
    # This release logs a closing answer's warning with a logger it never made: so the warning stops the
    # user's program, before it commits.
    refused(NameError, lambda: client.close_write_stream(session, "short"), mention="logger")
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
def empty_table_has_no_splits(context):
    client = made(context)
    for mode in (SplitOptions.SplitMode.SIZE, PARALLELISM, ROW_OFFSET):
        session = client.create_read_session(split_options=SplitOptions(split_mode=mode, split_number=10))
        same((session.splits_count, session.record_count), (0, 0))
        table = drained(client.read_rows_arrow(session.session_id))
        same((table.num_rows, table.schema.names), (0, ["id", "name", "pt"]))


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


@behaviour()
def expired_read_session(context):
    client = made(context, server=context.short_lived)
    write(client, batch(0, 10, pt="a"))
    session = client.create_read_session().session_id
    time.sleep(2.1)
    same(client.get_read_session(session).session_status, SessionStatus.EXPIRED)
    reading = lambda: client.read_rows_stream(session, split_index=0)  # noqa: E731
    refused(errors.ODPSError, reading, code="InvalidSessionStatus", mention="expired")
    same(client.get_read_session(session, refresh=True).session_status, SessionStatus.NORMAL)
    same(ids(drained(client.read_rows_arrow(session, split_index=0))), list(range(10)))


@behaviour()
def expired_write_session(context):
    client = made(context, server=context.short_lived)
    session = client.create_write_session("pt=a").session_id
    upload(client, session, "0", batch(0, 10))
    time.sleep(2.1)
    refused(
        errors.ODPSError, lambda: client.commit_write_session(session), code="InvalidSessionStatus",
        mention="expired",
    )  # fmt: skip
    refused(errors.ODPSError, lambda: client.create_write_stream(session, "1"), code="InvalidSessionStatus")
    client.abort_write_session(session)
    same(client.create_read_session().record_count, 0)


@behaviour()
def wrong_key(context):
    table = made(context).table
    odps = context.server.odps(secret="wrong")
    client = StorageApiArrowClient(odps, odps.get_table(table.name), rest_endpoint=tunnel_of(context))
    for call in (client.create_read_session, client.create_write_session, client.preview_table):
        error = refused(errors.SignatureNotMatch, call)
        same(error.status_code, 401)


def tunnel_of(context):
    return context.server.endpoint.removesuffix("/api")


@behaviour()
def unknown_key(context):
    table = made(context).table
    odps = context.server.odps()
    odps = type(odps)("nobody", "secret", odps.project, endpoint=context.server.endpoint)
    client = StorageApiArrowClient(odps, odps.get_table(table.name), rest_endpoint=tunnel_of(context))
    same(refused(errors.Unauthorized, client.create_read_session).status_code, 401)


@behaviour()
def endpoint_given_with_api(context):
    odps = context.server.odps()
    client = StorageApiArrowClient(odps, made(context).table, rest_endpoint=context.server.endpoint)
    same(client.create_read_session().record_count, 0)


@behaviour()
def missing_things(context):
    client = made(context)
    odps = context.server.odps()
    nowhere = StorageApiArrowClient(odps, odps.get_table("no_such_table"))
    for call in (nowhere.create_read_session, nowhere.create_write_session, nowhere.preview_table):
        same(refused(errors.NoSuchTable, call, mention="no_such_table").status_code, 404)
    for call in (
        lambda: client.get_read_session("nobody"),
        lambda: client.read_rows_stream("nobody", split_index=0),
        lambda: client.get_write_session("nobody"),
        lambda: client.create_write_stream("nobody", "0"),
        lambda: client.commit_write_session("nobody"),
        lambda: client.abort_write_session("nobody"),
        lambda: client.close_write_stream("nobody", "0"),
    ):
        same(refused(errors.NoSuchObject, call, mention="nobody").status_code, 404)
    session = client.create_write_session("pt=a").session_id
    refused(errors.NoSuchObject, lambda: client.get_write_stream(session, "nobody", 0))
    refused(errors.NoSuchObject, lambda: client.close_write_stream(session, "nobody"))
    refused(errors.NoSuchObject, lambda: client.commit_write_session(session, ["nobody"], [0]))


@behaviour()
def session_of_another_table(context):
    client = made(context)
    odps = context.server.odps()
    other = StorageApiArrowClient(odps, odps.create_table(f"{context.table}_other", "id bigint"))
    reading = client.create_read_session().session_id
    writing = client.create_write_session("pt=a").session_id
    refused(errors.NoSuchObject, lambda: other.get_read_session(reading))
    refused(errors.NoSuchObject, lambda: other.commit_write_session(writing))


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


@behaviour()
def what_is_not_served_says_so(context):
    client = made(context)
    bucket = SplitOptions(split_mode=SplitOptions.SplitMode.BUCKET, split_number=2)
    too_many = SplitOptions(split_mode=PARALLELISM, split_number=10**9)
    refused(
        errors.InvalidArgument, lambda: client.create_read_session(split_options=bucket), mention="Bucket"
    )
    refused(errors.InvalidArgument, lambda: client.create_read_session(split_options=too_many))
    session = client.create_write_session("pt=a").session_id
    for stream_id in ("a/b", "", "x" * 1000):
        refused(errors.InvalidArgument, lambda: client.create_write_stream(session, stream_id))  # noqa: B023
    refused(errors.InvalidArgument, lambda: client.create_write_stream(session, "0", -1))


@behaviour()
def tags_and_quota_are_taken(context):
    odps = context.server.odps()
    client = StorageApiArrowClient(odps, made(context).table, quota_name="a quota", tags=["a", "b"])
    write(client, batch(0, 3, pt="a"))
    same(ids(read(client)), [0, 1, 2])


if __name__ == "__main__":
    serve("v2")
