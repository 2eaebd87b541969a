"""Exactly-once as PyODPS 0.13.2 does it: its writers keep token and offset themselves."""

import pyarrow as pa
from behaviours import behaviour, same
from ms_client import failed, made, read
from tables import batch, ids


def begun(context, **session):
    client, table = made(context)
    return client, table, client.create_table_write_session(table, partition_spec="pt=a", **session)


def sent(writer, *batches):
    for each in batches:
        writer.write_batch(each)
        writer.flush()


@behaviour("2", "3")
def exactly_once(context):
    client, table, session = begun(context)
    writer = session.open_arrow_writer("0", exactly_once_mode=True)
    assert writer.is_exactly_once_mode()
    sent(writer, batch(0, 10), batch(10, 10))
    # The answers were lost; the writer says it all again.
    writer.set_row_offset(0)
    sent(writer, batch(0, 10), batch(10, 10))
    same(writer.get_row_offset(), 20)
    sent(writer, batch(20, 5))
    writer.close()
    session.commit()
    same(ids(read(client, table)), list(range(25)))


@behaviour("2", "3")
def exactly_once_in_the_background(context):
    client, table, session = begun(context)
    how = {"buffer_size": 20_000, "max_pending_buffers": 3, "compress_algo": "zstd"}
    with session.open_arrow_writer("0", exactly_once_mode=True, **how) as writer:
        for number in range(30):
            writer.write_batch(batch(number * 500, 500))
    session.commit()
    same(ids(read(client, table)), list(range(15_000)))


@behaviour("2", "3")
def exactly_once_is_resumed_elsewhere(context):
    client, table, session = begun(context)
    lost = session.open_arrow_writer("0", exactly_once_mode=True)
    sent(lost, batch(0, 10))
    again = client.create_table_write_session(table, session_id=session.id)
    resumed = again.open_arrow_writer("0", resume=True, exactly_once_mode=True)
    failed(lambda: sent(lost, batch(900, 10)), "NoPermission", 403)
    sent(resumed, batch(10, 10))
    same(resumed.get_row_offset(), 20)
    resumed.close()
    again.commit()
    same(ids(read(client, table)), list(range(20)))


@behaviour("2", "3")
def exactly_once_refuses_what_does_not_fit(context):
    client, table, session = begun(context)
    writer = session.open_arrow_writer("0", exactly_once_mode=True)
    sent(writer, batch(0, 10))

    def refused(offset, rows):
        writer.set_row_offset(offset)
        failed(lambda: sent(writer, rows), "RowOffsetMismatch", 409, "RowOffset 10")
        writer._clear_buffer_state()  # it keeps what it could not send

    refused(11, batch(10, 1))
    refused(5, batch(5, 5))
    refused(0, batch(0, 9))
    same(writer.get_row_offset(), 10)
    sent(writer, batch(10, 10))
    plain = session.open_arrow_writer("0", resume=True)
    failed(lambda: sent(plain, batch(900, 1)), "RowOffsetMismatch", 409, "RowOffset=20")
    writer.close()
    session.commit()
    same(ids(read(client, table)), list(range(20)))


@behaviour("2", "3")
def exactly_once_begins_again_with_a_version(context):
    client, table, session = begun(context)
    writer = session.open_arrow_writer("0", exactly_once_mode=True)
    sent(writer, batch(0, 10))
    bad = pa.RecordBatch.from_pydict({"id": ["no number"]})
    broken = session.open_arrow_writer("0", resume=True, exactly_once_mode=True)
    failed(lambda: sent(broken, bad), "SCHEMA_MISMATCH", 400, "id")
    again = session.open_arrow_writer("0", 2, exactly_once_mode=True)
    same(again.get_row_offset(), 0)
    sent(again, batch(100, 10))
    again.close()
    session.commit(["0"], [2])
    same(ids(read(client, table)), list(range(100, 110)))


@behaviour("2", "3")
def older_schema_versions(context):
    client, table, session = begun(context)
    strict = session.open_arrow_writer("0")
    evolving = client.create_table_write_session(table, partition_spec="pt=a", enable_schema_evolution=True)
    lenient = evolving.open_arrow_writer("0")
    context.server.odps().execute_sql(f"ALTER TABLE {context.table} ADD COLUMNS (score bigint DEFAULT 5)")
    failed(lambda: sent(strict, batch(0, 2)), "SCHEMA_MISMATCH", 400, "schema version 0")
    resumed = evolving.open_arrow_writer("0", resume=True)
    same([each.name for each in resumed.write_schema.columns], ["id", "name", "score"])
    sent(lenient, batch(0, 2))
    sent(resumed, pa.RecordBatch.from_pydict({"id": [2], "score": [9]}))
    lenient.close()
    evolving.commit()
    got = read(client, table).sort_by("id")
    same((got["id"].to_pylist(), got["score"].to_pylist()), ([0, 1, 2], [5, 5, 9]))
