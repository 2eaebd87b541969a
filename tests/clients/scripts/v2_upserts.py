"""What the documented client writes to tables with a primary key."""

from behaviours import behaviour, failed, same
from tables import Split, deletes, keyed, listed, upserts
from tables import batch as rows
from v2_client import COMPRESSIONS, send, upload


def named(table):
    return dict(listed(table.read(), "id", "name"))


@behaviour("plain", "zstd", "lz4")
def rows_without_operations_are_upserts(context):
    table, compression = keyed(context), COMPRESSIONS[context.variant]
    for start in (0, 5):
        session = table.client.create_write_session("pt=a").session_id
        upload(table.client, session, 0, rows(start, 10), compression=compression)
        table.client.commit_write_session(session)
        table.write(upserts(7, 1, "another"), partition="pt=a")
    same(named(table), {number: "another" if number == 7 else f"n{number}" for number in range(15)})


@behaviour()
def streams_in_the_order_of_their_creation(context):
    table = keyed(context)
    client, session = table.client, table.client.create_write_session("pt=a").session_id
    for stream in ("late", "early"):
        client.create_write_stream(session, stream)
    for stream in ("early", "late"):  # what was sent first does not matter
        send(client, session, stream, upserts(0, 3, stream), upserts(1, 1, f"{stream}, then"))
        client.close_write_stream(session, stream)
    upload(client, session, "last", deletes(2))
    client.commit_write_session(session)
    same(named(table), {0: "early", 1: "early, then"})


@behaviour()
def exactly_once_upserts(context):
    table = keyed(context)
    client, session = table.client, table.client.create_write_session("pt=a").session_id
    client.create_write_stream(session, 0)
    state = client.get_write_stream(session, "0", 0, exactly_once_mode=True)

    def sent(offset, batch):
        writer = client.write_rows_arrow(session, 0, row_offset=offset, access_token=state.access_token)
        writer.write(batch)
        same(writer.finish()[1], True)

    sent(0, upserts(0, 10, "first"))
    sent(10, upserts(0, 5, "second"))
    sent(0, upserts(0, 10, "first"))  # its answer was lost: it does not come after the second
    client.close_write_stream(session, 0)
    client.commit_write_session(session)
    same(named(table), {number: "second" if number < 5 else "first" for number in range(10)})


@behaviour()
def uploads_a_keyed_table_refuses(context):
    table = keyed(context, "id bigint, name string not null")
    client, session = table.client, table.client.create_write_session("pt=a").session_id
    unknown = upserts(0, 1, "x").set_column(2, "__operation", upserts(1, 1, "x").column("id").cast("int8"))
    nameless = upserts(0, 1, None)
    for version, bad in enumerate((unknown, nameless)):
        call = lambda: upload(client, session, 0, bad, version=version)  # noqa: B023, E731
        failed(call, "DATA_ERROR", ("__operation", "name")[version])
    upload(client, session, 0, upserts(0, 2, "x"), deletes(1), version=2)
    client.commit_write_session(session)
    same(named(table), {0: "x"})


@behaviour()
def parallel_splits_of_changed_rows(context):
    table = keyed(context)
    table.write(upserts(0, 1000, "old"), partition="pt=a")
    table.write(deletes(*range(0, 1000, 3)), upserts(500, 50, "new"), partition="pt=a")
    session = table.session(split=Split("Parallelism", 7))
    parts = [part.num_rows for part in session.parts()]
    same((len(parts), sum(parts)), (7, session.record_count))
    assert max(parts) <= 2 * min(parts), parts
    same(listed(session.read()), listed(table.read()))
    same(named(table)[501], "new")
