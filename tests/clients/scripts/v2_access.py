"""How PyODPS 0.13.0 reaches the server, and what it is refused."""

import time

from behaviours import behaviour, refused, same
from tables import batch, ids
from v2_client import PARALLELISM, made, read, tunnel_of, upload, write

from odps import errors
from odps.apis.storage_api_v2 import SplitOptions, StorageApiArrowClient


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
def what_is_not_served_says_so(context):
    client = made(context)
    too_many = SplitOptions(split_mode=PARALLELISM, split_number=10**9)
    refused(errors.InvalidArgument, lambda: client.create_read_session(split_options=too_many))
    session = client.create_write_session("pt=a").session_id
    for stream_id in ("a/b", "x" * 1000):
        refused(errors.InvalidArgument, lambda: client.create_write_stream(session, stream_id))  # noqa: B023
    refused(errors.InvalidArgument, lambda: client.create_write_stream(session, "0", -1))


@behaviour()
def tags_and_quota_are_taken(context):
    odps = context.server.odps()
    client = StorageApiArrowClient(odps, made(context).table, quota_name="a quota", tags=["a", "b"])
    write(client, batch(0, 3, pt="a"))
    same(ids(read(client)), [0, 1, 2])
