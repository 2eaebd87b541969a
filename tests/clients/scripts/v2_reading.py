"""How PyODPS 0.13.0 reads: splits, ranges, columns, previews."""

import time

import pyarrow as pa
from behaviours import behaviour, refused, same
from tables import Split, batch, ids, listed
from v2_client import PARALLELISM, ROW_OFFSET, drained, made, read, write

from odps import errors
from odps.apis.storage_api_v2 import SessionStatus, SplitOptions, StorageApiArrowClient


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
def every_address(context):
    """Index, Offset, Count and SkipRowNum in every combination, each left out as well."""
    table = context.made()
    table.write(batch(0, 6, pt="a"))
    table.write(batch(6, 4, pt="b"), batch(10, 3, pt="a"))
    for split, where in (
        (Split(crossing=False), ""),
        (Split("Parallelism", 3), ""),
        (Split(crossing=False), "id <> 5"),
        (Split("RowOffset"), "id <> 5"),
    ):
        session = table.session(split=split, where=where)
        parts = [session.rows(index).column("id").to_pylist() for index in range(session.splits)]
        whole = session.addressed().column("id").to_pylist()
        same(sorted(whole), [number for number in range(13) if not (where and number == 5)])
        if parts:
            same([row for part in parts for row in part], whole)
        for index, rows in ((None, whole), *enumerate(parts)):
            for offset in (None, 0, 2, 5, 40):
                for count, skip in ((None, 0), (1, 0), (4, 0), (2**32 - 1, 3), (4, 3), (2, 9)):
                    address = {"split_index": index, "row_offset": offset, "row_count": count, "skip": skip}
                    first = offset or 0
                    want = rows[first : None if count is None else first + count][skip:]
                    got = session.addressed(**address).column("id").to_pylist()
                    same((address, got), (address, want))


@behaviour()
def parallelism_is_exact(context):
    table = context.made()
    table.write(batch(0, 3), partition="pt=a")
    table.write(batch(3, 2000), partition="pt=b")
    for number in (1, 2, 7, 100):
        session = table.session(split=Split("Parallelism", number))
        parts = session.parts()
        same((session.splits, len(parts), session.record_count), (number, number, 2003))
        same(sorted(row for part in parts for row in listed(part)), sorted(listed(table.read())))
        most = max(part.num_rows for part in parts)
        assert most <= 2003 / number + 2, (number, most)
    few = table.session(split=Split("Parallelism", 10), partitions=("pt=a",))
    same((few.splits, ids(few.read())), (10, [0, 1, 2]))
    none = Split("Parallelism", 0)
    refused(errors.InvalidArgument, lambda: table.session(split=none), mention="SplitNumber")


@behaviour()
def bucket_splits(context):
    table = context.made(clause="CLUSTERED BY (id) INTO 5 BUCKETS")
    table.write(batch(0, 100), partition="pt=a")
    table.write(batch(50, 100), partition="pt=b")
    session = table.session(split=Split("Bucket"))
    same((session.splits, session.record_count), (5, 200))
    parts = session.parts()
    same(sorted(row for part in parts for row in listed(part)), sorted(listed(table.read())))
    same(sum(len(set(ids(part))) for part in parts), 150)  # an id is in one bucket
    some = table.session(split=Split("Bucket"), buckets=(4, 2))
    same((some.splits, [listed(part) for part in some.parts()]), (2, [listed(parts[2]), listed(parts[4])]))
    filtered = table.session(split=Split("Bucket"), where="pt = 'b'")
    same((filtered.splits, filtered.record_count), (5, -1))
    same(ids(filtered.read()), list(range(50, 150)))
    plain = StorageApiArrowClient(table.odps, table.odps.create_table(f"{context.table}_plain", "id bigint"))
    bucket = SplitOptions(split_mode=SplitOptions.SplitMode.BUCKET)
    asking = lambda: plain.create_read_session(split_options=bucket)  # noqa: E731
    refused(errors.InvalidArgument, asking, mention="CLUSTERED")
