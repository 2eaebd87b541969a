"""The real server under strace: what the catalog names was synced first, and answers come last (P2)."""

import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from maxlake.client import StorageApiArrowClient
from maxlake.lake.durable import temporary_path
from tests.crash.keyed import CREATE, STREAMS, KeyedWriter
from tests.crash.sync_trace import (
    SYNCS,
    answers,
    early_removals,
    named_at,
    parse,
    removals,
    unsynced_answers,
    unsynced_names,
)
from tests.crash.traced_server import traced_server
from tests.crash.workload import TABLE, UPLOADS, Ledger, Writer, table_columns

PROJECT = "demo"


def catalog_files(database: Path, data: Path) -> list[Path]:
    """Every data and delete file the catalog names."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT t.path, f.path FROM maxlake_table t JOIN (SELECT table_id, path FROM ducklake_data_file "
            "UNION ALL SELECT table_id, path FROM ducklake_delete_file) f USING (table_id)"
        ).fetchall()
    return [data / table / path for table, path in rows]


@pytest.mark.crash
def test_nothing_is_named_or_acknowledged_before_it_is_synced(tmp_path: Path, rng: Random, tool) -> None:
    root, trace = tmp_path.resolve() / "root", tmp_path / "trace"
    root.mkdir()
    ledger = Ledger()
    together, alone = ledger.new_session(rng), ledger.new_session(rng)
    alone.streams = alone.streams[:1]
    with traced_server(tool("strace"), root, trace, PROJECT) as odps:
        odps.create_table(TABLE, table_columns())
        writer = Writer(odps, ledger, rng)
        writer.finish(together)
        writer.finish(alone)
        writer.check()
    with trace.open(errors="replace") as lines:
        events = parse(lines)
    project = root / "projects" / PROJECT
    wal = project / "lake.sqlite-wal"
    files = catalog_files(project / "lake.sqlite", project / "data")
    assert len(files) >= len(together.streams) * UPLOADS + UPLOADS
    assert unsynced_names(events, files, root, wal) == []

    # Only one request at a time is served from the first mention of the second session on.
    since = next(event.end for event in events if alone.session_id in event.text)
    served = [answer for answer in answers(events) if answer.begin >= since]
    assert len(served) >= len(["create stream", *alone.streams[0].uploads, "close", "commit", "commit again"])
    assert unsynced_answers(events, wal, since) == []

    # The same trace with one file's syncs taken out must not pass, whichever file it is.
    for file in files:
        for place in (temporary_path(file), file.parent):
            rest = [event for event in events if not (event.call in SYNCS and event.file == str(place))]
            assert any(problem.startswith(str(file)) for problem in unsynced_names(rest, files, root, wal))
    unlogged = [event for event in events if not (event.call in SYNCS and event.file == str(wal))]
    assert len(unsynced_answers(unlogged, wal, since)) == len(served)


@pytest.mark.crash
def test_upserts_are_synced_before_they_are_named_and_uploads_removed_after(
    tmp_path: Path, rng: Random, tool
) -> None:
    root, trace = tmp_path.resolve() / "root", tmp_path / "trace"
    root.mkdir()
    writer = KeyedWriter(0, rng)
    with traced_server(tool("strace"), root, trace, PROJECT) as odps:
        odps.execute_sql(CREATE)
        client = StorageApiArrowClient(odps, odps.get_table(TABLE))
        for streamed in (False, True, False):
            writer.change(client, streamed=streamed)
    with trace.open(errors="replace") as lines:
        events = parse(lines)
    project = root / "projects" / PROJECT
    data, wal = project / "data", project / "lake.sqlite-wal"
    files = catalog_files(project / "lake.sqlite", data)
    assert any(file.name.endswith("-delete.parquet") for file in files)
    assert any("-updates" in file.name for file in files)
    assert unsynced_names(events, files, root, wal) == []
    assert early_removals(events, data, wal) == []
    removed = removals(events, data)
    assert len(removed) >= 2 * STREAMS + 1
    for event in removed:
        # Uploads of sessions: those that are streamed are named by no row.
        session = Path(event.paths[-1]).name.partition("-")[0]
        of_commit = [file for file in files if file.name.startswith(f"{session}-commit-")]
        assert all((named_at(events, file, wal) or event.end) < event.begin for file in of_commit), event

    unlogged = [event for event in events if not (event.call in SYNCS and event.file == str(wal))]
    assert len(early_removals(unlogged, data, wal)) == len(removed)


@pytest.mark.crash
def test_the_database_itself_is_durable_in_its_directory(tmp_path: Path, rng: Random, tool) -> None:
    root, trace = tmp_path.resolve() / "root", tmp_path / "trace"
    root.mkdir()
    with traced_server(tool("strace"), root, trace, PROJECT) as odps:
        odps.create_table(TABLE, table_columns())
    with trace.open(errors="replace") as lines:
        events = parse(lines)
    project = root / "projects" / PROJECT
    created = next(answer for answer in answers(events) if "201 Created" in answer.text)
    earlier = [event for event in events if event.end < created.begin]
    for name in ("lake.sqlite", "lake.sqlite-wal"):
        opened = next(
            event.end for event in earlier if event.call == "openat" and event.paths == [str(project / name)]
        )
        assert any(
            event.call in SYNCS and event.file == str(project) and event.begin > opened for event in earlier
        ), name
    for directory in (project / "data", project, root / "projects"):
        made = next(
            event.end for event in earlier if event.call == "mkdir" and event.paths == [str(directory)]
        )
        assert any(
            event.call in SYNCS and event.file == str(directory.parent) and event.begin > made
            for event in earlier
        ), directory
