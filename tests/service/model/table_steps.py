"""Steps on the table, the service and its readers."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.service.model.expected import Column, Key, renamed
from tests.service.model.uploads import PARTS
from tests.service.model.world import World


def restart(w: World) -> None:
    w.restart()


def expire(w: World) -> None:
    session = w.session(blocks=w.random.random() < 0.3)
    if session and session.writable:
        w.expire(session)


def maintain(w: World) -> None:
    w.maintain(datetime.now(UTC))
    w.check_table()


def much_later(w: World) -> None:
    w.much_later()
    w.check_table()


def alter(w: World) -> None:
    """A column comes, goes or is renamed."""
    table, name = w.table, f"c{w.next_column}"
    w.next_column += 1
    old = w.random.choice(table.columns) if table.columns else None
    change = w.random.random()
    if old is None or (change < 0.5 and len(table.columns) < 5):
        default = w.random.choice([None, "given"])
        clause = f" DEFAULT '{default}'" if default else ""
        w.sql(f"ALTER TABLE t ADD COLUMNS ({name} string{clause})")
        table.columns = [*table.columns, Column(w.next_column, name, default)]
    elif change < 0.8:
        w.sql(f"ALTER TABLE t CHANGE COLUMN {old.name} RENAME TO {name}")
        table.columns = renamed(table.columns, old, name)
    else:
        w.sql(f"ALTER TABLE t DROP COLUMN {old.name}")
        table.columns = [column for column in table.columns if column != old]
    table.version += 1
    w.note_schema()
    w.check_table()


def _key(w: World) -> tuple[Key, str]:
    key = (w.random.choice(PARTS["pt"]), w.random.choice(PARTS["hr"]))
    return key, f"PARTITION (pt='{key[0]}', hr={key[1]})"


def drop_partition(w: World) -> None:
    key, text = _key(w)
    w.sql(f"ALTER TABLE t DROP {text}", succeeds=key in w.table.partitions)
    w.table.partitions.pop(key, None)
    w.check_table()


def add_partition(w: World) -> None:
    key, text = _key(w)
    w.sql(f"ALTER TABLE t ADD {text}", succeeds=key not in w.table.partitions)
    w.table.partitions.setdefault(key, [])
    w.check_table()


def pin(w: World) -> None:
    """A read session, which goes on showing what there is now."""
    w.pinned[w.pin()] = w.table.contents()


def read_pinned(w: World) -> None:
    for session_id in list(w.pinned)[:1]:
        contents = w.pinned.pop(session_id)
        found = w.read(session_id)
        w.check_contents(found, contents)
