"""The rows of queries through `odps.apis.storage_api_v2`."""

import pyarrow as pa
import v2_client
from behaviours import behaviour, refused, same

from odps.apis.storage_api_v2 import SessionStatus, SplitOptions, StorageApiArrowClient


def opened(context, query):
    odps = context.server.odps()
    return StorageApiArrowClient(odps, odps.execute_sql(query))


def drained(client, session_id, **address):
    reader = client.read_rows_arrow(session_id, **address)
    batches = []
    while (batch := reader.read()) is not None:
        batches.append(batch)
    return pa.Table.from_batches(batches).to_pylist() if batches else []


@behaviour("plain", "zstd", "lz4")
def instance_rows(context):
    client = opened(context, "select explode(sequence(1, 10)) as n")
    session = client.create_read_session()
    same((session.session_status, session.record_count, session.splits_count), (SessionStatus.NORMAL, 10, 1))
    same([(c.name, c.type) for c in session.data_schema.data_columns], [("n", "bigint")])
    compression = v2_client.COMPRESSIONS[context.variant]
    rows = drained(client, session.session_id, split_index=0, compression=compression)
    same([row["n"] for row in rows], list(range(1, 11)))
    again = client.get_read_session(session.session_id)
    same((again.session_id, again.record_count), (session.session_id, 10))
    assert client.get_read_session(session.session_id, refresh=True).expiration_time


@behaviour()
def instance_rows_by_offset_and_in_parallel(context):
    client = opened(context, "select explode(sequence(1, 10)) as n, 'x' as t")
    by_offset = SplitOptions(split_mode=v2_client.ROW_OFFSET)
    session = client.create_read_session(split_options=by_offset, required_data_columns=["n"])
    rows = drained(client, session.session_id, row_offset=3, row_count=4)
    same(rows, [{"n": 4}, {"n": 5}, {"n": 6}, {"n": 7}])
    same(drained(client, session.session_id, row_offset=99, row_count=4), [])
    parallel = SplitOptions(split_mode=v2_client.PARALLELISM, split_number=3)
    session = client.create_read_session(split_options=parallel)
    same(session.splits_count, 3)
    parts = [drained(client, session.session_id, split_index=split) for split in range(3)]
    same([row["n"] for part in parts for row in part], list(range(1, 11)))


@behaviour()
def instances_are_read_only(context):
    client = opened(context, "select 1 as n")
    refused(ValueError, client.create_write_session)
    refused(ValueError, lambda: client.write_rows_arrow("s", stream_id="0"))
    refused(ValueError, client.preview_table_arrow)
