"""How the behaviours of `odps.apis.storage_api_v2` write and read."""

import every_type
import pyarrow as pa
from behaviours import refused, same

from odps import errors
from odps.apis.storage_api_v2 import Compression, SessionStatus, SplitOptions, StorageApiArrowClient

COLUMNS = every_type.SCALARS + every_type.INTERVALS + every_type.LISTS + every_type.STRUCTS

COMPRESSIONS = {"plain": None, "zstd": Compression.ZSTD, "lz4": Compression.LZ4_FRAME}

PARALLELISM = SplitOptions.SplitMode.PARALLELISM

ROW_OFFSET = SplitOptions.SplitMode.ROW_OFFSET


def made(context, columns="id bigint, name string", partitions="pt string", server=None):
    """Create the behaviour's table; return a client for it."""
    odps = (server or context.server).odps()
    table = odps.create_table(context.table, (columns, partitions) if partitions else columns)
    return StorageApiArrowClient(odps, table)


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


#: What `drained` returns for no batches: the reader tells their schema to nobody.
NO_ROWS = pa.table({"id": pa.array([], pa.int64())})


def drained(reader):
    batches = list(iter(reader.read, None))
    return pa.Table.from_batches(batches) if batches else NO_ROWS


def read(client, compression=None, **request):
    """Read every split of a new session."""
    session = client.create_read_session(**request)
    same(session.session_status, SessionStatus.NORMAL)
    parts = [
        drained(client.read_rows_arrow(session.session_id, split_index=split, compression=compression))
        for split in range(session.splits_count)
    ]
    table = pa.concat_tables([part for part in parts if part.num_rows] or [NO_ROWS])
    same(session.record_count, table.num_rows)
    return table


def send_failed(context, client, session):
    """A closed stream takes nothing more."""
    error = refused(errors.ODPSError, lambda: client.create_write_stream(session, "0", 0))
    same(error.code, "InvalidStreamStatus")
    assert error.request_id


def tunnel_of(context):
    return context.server.endpoint.removesuffix("/api")
