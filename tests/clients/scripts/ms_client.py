"""How the behaviours of `odps.maxstorage` write and read."""

import every_type
import pyarrow as pa
import pyarrow.compute  # odps.maxstorage uses it without importing it
from behaviours import refused, same
from odps.maxstorage import MaxStorageClient
from odps.tunnel import CompressOption

from odps import errors

COLUMNS = every_type.SCALARS + every_type.LISTS + every_type.STRUCTS + every_type.VARIANTS

Algorithm = CompressOption.CompressAlgorithm


def client_of(context, server=None, odps=None):
    """A client with the API version of the behaviour's variant; 2 by default, as PyODPS."""
    api_version = context.variant.partition("_")[0] or "2"
    return MaxStorageClient(odps or (server or context.server).odps(), api_version=api_version)


def made(context, columns="id bigint, name string", partitions="pt string", server=None):
    """Create the behaviour's table; return a client and the table."""
    odps = (server or context.server).odps()
    table = odps.create_table(context.table, (columns, partitions) if partitions else columns)
    return client_of(context, server), table


def upload(session, stream_id, *batches, **how):
    writer = session.open_arrow_writer(stream_id, **how)
    for each in batches:
        writer.write_batch(each)
        writer.flush()
    writer.close()


def write(client, table, *batches, **session):
    """Write and commit in one session."""
    writing = client.create_table_write_session(table, **session)
    upload(writing, "0", *batches)
    writing.commit()


def drained(reader):
    schema = reader.arrow_schema
    batches = list(reader)
    reader.close()
    return pa.Table.from_batches(batches, None if batches else schema)


def read(client, table, *, how=None, **request):
    """Read every split of a new session; `how` is for the readers."""
    session = client.create_table_read_session(table, **request)
    parts = [drained(session.open_arrow_reader(split, **(how or {}))) for split in session.splits]
    got = pa.concat_tables(parts)
    same(session.record_count, got.num_rows)
    return got


def failed(call, code, status, mention=""):
    error_class = getattr(errors, code, errors.ODPSError)
    error = refused(error_class, call, code=code, mention=mention)
    same(error.status_code, status)
    assert error.request_id
