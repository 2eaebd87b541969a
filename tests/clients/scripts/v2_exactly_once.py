"""Exactly-once as the documented client reaches it: `get_write_stream(exactly_once_mode=True)`."""

import pyarrow as pa
from behaviours import behaviour, failed, same
from tables import batch, ids
from v2_client import COMPRESSIONS, made, read


def begun(context):
    """A client and a session with an open stream."""
    client = made(context)
    session = client.create_write_session("pt=a").session_id
    client.create_write_stream(session, stream_id=0)
    return client, session


def claimed(client, session, version=0):
    """Become the stream's writer; return token and offset."""
    state = client.get_write_stream(session, "0", version, exactly_once_mode=True)
    assert state.access_token
    return state.access_token, state.row_offset


def sent(client, session, offset, token, *batches, version=0, **how):
    """Send the batches at `offset`; return the next one."""
    writer = client.write_rows_arrow(
        session, stream_id=0, stream_version=version, row_offset=offset, access_token=token, **how
    )
    for each in batches:
        assert writer.write(each)
    message, succeeded = writer.finish()
    assert succeeded
    assert message
    return writer.get_write_stream_response().exactly_once_row_offset


def committed(client, session, version=0):
    client.close_write_stream(session, 0, version)
    client.commit_write_session(session)
    return ids(read(client))


@behaviour("plain", "zstd", "lz4")
def exactly_once(context):
    client, session = begun(context)
    how = {"compression": COMPRESSIONS[context.variant]}
    token, offset = claimed(client, session)
    same(offset, 0)
    same(sent(client, session, 0, token, batch(0, 10), batch(10, 5), **how), 15)
    same(sent(client, session, 15, token, batch(15, 5), **how), 20)
    # The answers were lost; the client says it all again.
    same(sent(client, session, 0, token, batch(0, 10), batch(10, 5), **how), 15)
    same(sent(client, session, 15, token, batch(15, 5), **how), 20)
    same(client.get_write_stream(session, "0", 0).record_count, 20)
    same(committed(client, session), list(range(20)))


@behaviour()
def exactly_once_is_resumed_elsewhere(context):
    client, session = begun(context)
    lost, _ = claimed(client, session)
    sent(client, session, 0, lost, batch(0, 10))
    other = type(client)(context.server.odps(), client.table)
    token, offset = claimed(other, session)
    same(offset, 10)
    failed(lambda: sent(client, session, 10, lost, batch(900, 10)), "NoPermission", status=403)
    same(sent(other, session, 10, token, batch(10, 10)), 20)
    same(committed(other, session), list(range(20)))


@behaviour()
def exactly_once_refuses_what_does_not_fit(context):
    client, session = begun(context)
    token, _ = claimed(client, session)
    sent(client, session, 0, token, batch(0, 10))

    def refused(offset, rows, mention, using=token):
        call = lambda: sent(client, session, offset, using, rows)  # noqa: E731
        failed(call, "RowOffsetMismatch", mention, 409)

    refused(11, batch(10, 1), "RowOffset 10")
    refused(5, batch(5, 5), "RowOffset 10")
    refused(0, batch(0, 9), "RowOffset 10")
    refused(-1, batch(10, 1), "RowOffset=10")
    failed(lambda: sent(client, session, 10, None, batch(10, 1)), "NoPermission", status=403)
    same(committed(client, session), list(range(10)))


@behaviour()
def exactly_once_begins_again_with_a_version(context):
    client, session = begun(context)
    token, _ = claimed(client, session)
    sent(client, session, 0, token, batch(0, 10))
    bad = pa.RecordBatch.from_pydict({"id": ["no number"]})
    failed(lambda: sent(client, session, 10, token, bad), "SCHEMA_MISMATCH", "id")
    state = client.get_write_stream(session, "0", 0)
    same((state.status, state.error_code, state.record_count), ("ERROR", "SCHEMA_MISMATCH", 10))
    client.create_write_stream(session, stream_id=0, stream_version=1)
    token, offset = claimed(client, session, version=1)
    same(offset, 0)
    same(sent(client, session, 0, token, batch(100, 10), version=1), 10)
    same(committed(client, session, version=1), list(range(100, 110)))


@behaviour()
def exactly_once_may_follow_plain_writes(context):
    client, session = begun(context)
    writer = client.write_rows_arrow(session, 0)
    writer.write(batch(0, 10))
    writer.finish()
    same(writer.get_write_stream_response(), None)
    token, offset = claimed(client, session)
    same(sent(client, session, offset, token, batch(10, 10)), 20)
    same(committed(client, session), list(range(20)))


@behaviour()
def row_offset_needs_the_mode(context):
    client, session = begun(context)
    failed(lambda: sent(client, session, 0, "token", batch(0, 1)), "InvalidStreamStatus", "exactly", 409)
    same(committed(client, session), [])


@behaviour()
def older_schema_versions(context):
    client, session = begun(context)
    evolving = client.create_write_session("pt=a", {"enable_schema_evolution": "true"}).session_id
    client.create_write_stream(evolving, stream_id=0)
    context.server.odps().execute_sql(f"ALTER TABLE {context.table} ADD COLUMNS (score bigint DEFAULT 5)")
    failed(lambda: plain(client, session), "SCHEMA_MISMATCH", "schema version 0")
    state = client.get_write_stream(session, "0", 0)
    same((state.status, state.error_code, state.latest_schema_version), ("ERROR", "SCHEMA_MISMATCH", 1))
    client.create_write_stream(session, stream_id=0, stream_version=1)
    plain(client, session, version=1)
    client.close_write_stream(session, 0, 1)
    client.commit_write_session(session)
    plain(client, evolving)
    client.close_write_stream(evolving, 0)
    client.commit_write_session(evolving)
    got = read(client)
    same((sorted(got["id"].to_pylist()), got["score"].to_pylist()), ([0, 0, 1, 1], [5] * 4))


def plain(client, session, version=0):
    writer = client.write_rows_arrow(session, 0, version)
    writer.write(batch(0, 2))
    assert writer.finish()[1]
