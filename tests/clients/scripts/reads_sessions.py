"""Sessions: what they say of themselves, and how long they last."""

import time
from dataclasses import replace

import pyarrow as pa
from behaviours import behaviour, failed, same
from tables import Split, batch, listed

#: Longer than the sessions of the short-lived server.
LIFETIME = 2.1


@behaviour()
def what_a_session_says(context):
    table = context.made()
    empty = table.session()
    table.write(batch(0, 100), partition="pt=a")
    table.write(batch(100, 900), partition="pt=b")
    session = table.session()
    same((session.record_count, session.stats[1]), (1000, 1000))
    assert 8_000 < session.stats[0] < 40_000, session.stats
    assert session.latest_version > empty.latest_version, (session.latest_version, empty.latest_version)
    same(table.version(), session.latest_version)
    assert 23.9 * 3600 < session.expires / 1000 - time.time() < 24.1 * 3600, session.expires
    again = session.again()
    for name in ("id", "splits", "record_count", "latest_version", "expires", "stats", "columns", "expired"):
        same((name, getattr(again, name)), (name, getattr(session, name)))
    table.write(batch(1000, 1), partition="pt=a")
    assert table.version() > session.latest_version
    same(session.again().latest_version, session.latest_version)


@behaviour()
def missing_sessions(context):
    table, other = context.made(), context.tables.made(_renamed(context), "id bigint", "", "", False)
    session = table.session()
    session.id = "nobody"
    failed(session.again, "NoSuchObject", "nobody", status=404)
    failed(lambda: session.rows((0, 1)), "NoSuchObject", "nobody", status=404)
    foreign = other.session()
    foreign.id = table.session().id
    failed(foreign.again, "NoSuchObject", foreign.id, status=404)


def _renamed(context):
    return replace(context, name=f"{context.name}_2")


@behaviour()
def refreshed_sessions_show_the_same_rows(context):
    """Whatever became of the table meanwhile, even its end."""
    table = context.made(short_lived=True)
    table.write(batch(0, 300), partition="pt=a")
    table.write(batch(300, 300), partition="pt=b")
    session = table.session(split=Split(crossing=False))
    counted = table.session(split=Split("RowOffset"), where="id >= 250")
    rows = [listed(part) for part in session.parts()]
    same(sorted(row for part in rows for row in part),
         [(number, f"n{number}", "ab"[number >= 300]) for number in range(600)])  # fmt: skip
    chosen = listed(counted.read())
    same(len(chosen), 350)
    table.write(batch(1000, 10), partition="pt=a")
    table.write(batch(2000, 10), partition="pt=b", overwrite=True)
    table.sql("ALTER TABLE {} DROP PARTITION (pt='a')")
    time.sleep(LIFETIME)
    for each in (session, counted):
        assert each.again().expired
        if context.client == "ours":  # it refreshes sessions by itself
            same(each.rows((0, 1)).num_rows, 1)
        else:
            failed(lambda: each.rows((0, 1)), "InvalidSessionStatus", "expired", status=409)  # noqa: B023
    table.sql("DROP TABLE {}")
    again = session.refreshed()
    assert not again.expired
    assert session.expires + LIFETIME * 1000 - 500 < again.expires, (session.expires, again.expires)
    same([listed(part) for part in again.parts()], rows)
    same(
        listed(pa.concat_tables([again.rows((0, 450)), again.rows((450, 450))])),
        [row for part in rows for row in part],
    )
    same((again.record_count, again.latest_version), (session.record_count, session.latest_version))
    same((counted.refreshed().record_count, listed(counted.read())), (350, chosen))
