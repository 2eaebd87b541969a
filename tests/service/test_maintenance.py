"""Maintenance as the service runs it: what sessions may still read or commit stays (design.md §4)."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

import pyarrow as pa
import pytest

from maxlake.lake import snapshots
from maxlake.lake.compaction import MIN_FILES, PREFIX
from maxlake.lake.durable import TEMPORARY_PREFIX
from maxlake.protocol.errors import ErrorCode, MaxlakeError
from maxlake.protocol.messages.read import (
    CreateReadSessionRequest,
    IncrementalReadOptions,
    ReadAddress,
    ReadRowsRequest,
)
from maxlake.service import read_sessions, rows
from maxlake.service.maintenance import Report, maintain, survey
from maxlake.service.project import Project
from tests.service.scene import ME, Scene

LATER = timedelta(days=2)


@pytest.fixture
def project(project: Project) -> Project:
    """Nothing is kept for longer than somebody needs it."""
    return replace(project, settings=replace(project.settings, snapshot_retention=0, orphan_age=0))


def run(project: Project, after: timedelta = timedelta(seconds=1)) -> Report:
    return maintain(project, datetime.now(UTC) + after)


def files(project: Project) -> set[str]:
    return {path.name for path in project.lake.data.rglob("*") if path.is_file()}


def fill(scene: Scene, count: int = MIN_FILES) -> list[int]:
    for number in range(count):
        scene.append([number])
    return list(range(count))


def open_session(scene: Scene, **options: object) -> str:
    request = CreateReadSessionRequest(**options)
    return read_sessions.create(scene.project, scene.target, request, ME).session_id


def read(scene: Scene, session: str) -> list[int]:
    stream = rows.read(scene.project, scene.target, ReadAddress(session_id=session), ReadRowsRequest(), ME)
    return pa.Table.from_batches(stream.batches, stream.schema).column("id").to_pylist()


def refresh(scene: Scene, session: str) -> None:
    read_sessions.get(
        scene.project, scene.target, session, refresh_until=scene.project.new_expiry(), principal=ME
    )


def test_small_files_become_one_and_go(project: Project) -> None:
    scene = Scene(project)
    ids = fill(scene)
    report = run(project)
    (table,) = report.tables
    assert (table.table, table.merges, table.files) == ("default.t", 1, MIN_FILES)
    assert report.finished and not report.errors
    assert report.files_removed == 0  # a version from before the merge is still the oldest
    assert run(project).files_removed == MIN_FILES
    (left,) = files(project)
    assert left.startswith(PREFIX)
    assert scene.ids() == ids
    assert run(project) == Report(project=project.name)


def test_a_dry_run_tells_what_a_run_does_and_does_nothing(project: Project) -> None:
    scene = Scene(project)
    fill(scene)
    scene.append([100], overwrite=True)
    fill(scene)
    orphan = next(project.lake.data.rglob("*.parquet")).with_name("0-lost.parquet")
    orphan.write_bytes(b"lost")
    before, latest = files(project), scene.ids()
    told = survey(project, datetime.now(UTC) + timedelta(seconds=1)).report(project)
    assert (files(project), scene.ids()) == (before, latest)
    done = run(project)
    assert told.tables[0].files == done.tables[0].files == MIN_FILES + 1
    assert told.files_removed == done.files_removed == MIN_FILES
    assert told.snapshots_expired == done.snapshots_expired > 0
    assert told.orphans_removed == done.orphans_removed == 1


def test_a_session_reads_the_same_rows_through_everything(project: Project) -> None:
    scene = Scene(project)
    ids = fill(scene)
    session = open_session(scene)
    assert read(scene, session) == ids
    for _ in range(2):
        scene.append([100], overwrite=True)
        fill(scene)
        run(project)
        refresh(scene, session)
        assert read(scene, session) == ids
    assert scene.sql("DROP TABLE t;").succeeded
    run(project)
    assert read(scene, session) == ids
    run(project, LATER + LATER)
    with pytest.raises(MaxlakeError, match="no read session"):
        read(scene, session)
    assert not files(project)


def test_a_session_of_an_older_version_shows_no_later_row(project: Project) -> None:
    scene = Scene(project)
    ids = fill(scene)
    with project.lake.database.read() as connection:
        version = snapshots.latest(connection)
    fill(scene)
    project = replace(project, settings=replace(project.settings, snapshot_retention=3600))
    assert run(project).tables
    options = IncrementalReadOptions(end_version=version)
    session = open_session(scene, incremental_read=True, incremental_read_options=options)
    assert read(scene, session) == ids
    run(replace(project, settings=replace(project.settings, snapshot_retention=0)))
    assert read(scene, session) == ids
    with pytest.raises(MaxlakeError) as refused:
        open_session(scene, incremental_read=True, incremental_read_options=options)
    assert refused.value.code is ErrorCode.VERSION_EXPIRED


def test_an_incremental_session_keeps_the_files_of_its_range(project: Project) -> None:
    scene = Scene(project)
    fill(scene)
    with project.lake.database.read() as connection:
        first = snapshots.latest(connection)
    scene.append([100])
    scene.append([101], overwrite=True)
    options = IncrementalReadOptions(start_version=first)
    session = open_session(scene, incremental_read=True, incremental_read_options=options)
    for _ in range(2):
        fill(scene)
        run(project)
        assert read(scene, session) == [100, 101]


def test_what_was_current_within_the_retention_is_kept(project: Project) -> None:
    scene = Scene(project)
    scene.append([1])
    with project.lake.database.read() as connection:
        version = snapshots.latest(connection)
    project = replace(project, settings=replace(project.settings, snapshot_retention=3600))
    scene.append([2])
    assert run(project, timedelta(minutes=59)).snapshots_expired == 0
    assert run(project, timedelta(minutes=61)).snapshots_expired > 0
    with project.lake.database.read() as connection:
        assert snapshots.oldest_kept(connection) == version + 1


def test_uploads_in_flight_and_parts_stay(project: Project) -> None:
    scene = Scene(project)
    session = scene.session()
    address = scene.stream(session)
    scene.write(address, [1])
    directory = next(project.lake.data.rglob("*.parquet")).parent
    under_way = directory / f"{TEMPORARY_PREFIX}{session}-0.0-abc.parquet"
    under_way.write_bytes(b"")
    age(directory)
    assert run(project).orphans_removed == 0
    assert under_way.exists()
    scene.close(address)
    scene.commit(session)
    assert run(project).orphans_removed == 1
    assert not under_way.exists()
    assert scene.ids() == [1]


def age(directory: Path, by: float = 0) -> None:
    """Make files look as old as can be: as old as the catalog."""
    for path in directory.iterdir():
        os.utime(path, (path.stat().st_mtime - by,) * 2, follow_symlinks=False)


def test_files_nobody_names_go_after_their_time(project: Project) -> None:
    scene = Scene(project)
    scene.append([1])
    directory = next(project.lake.data.rglob("*.parquet")).parent
    names = ["2024-0.0-x.parquet", f"{PREFIX}0.parquet", f"{TEMPORARY_PREFIX}{PREFIX}1.parquet"]
    names += ["-.parquet", "'; DROP TABLE x; --.parquet", "new\nline.parquet", "%s{0}.parquet"]
    for name in names:
        (directory / name).write_bytes(b"1234")
    (directory / os.fsdecode(b"\xff\xfe.parquet")).write_bytes(b"1234")
    patient = replace(project, settings=replace(project.settings, orphan_age=3600))
    assert run(patient).orphans_removed == 0
    report = run(project)
    assert (report.orphans_removed, report.orphan_bytes) == (len(names) + 1, 4 * (len(names) + 1))
    assert len(files(project)) == 1
    assert scene.ids() == [1]


def test_nothing_else_is_taken_for_a_leftover(project: Project, tmp_path: Path) -> None:
    scene = Scene(project)
    scene.append([1])
    directory = next(project.lake.data.rglob("*.parquet")).parent
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine.parquet").write_bytes(b"1")
    (directory / "notes.txt").write_bytes(b"1")
    (directory / "link.parquet").symlink_to(outside / "mine.parquet")
    (directory / "linked").symlink_to(outside)
    (project.lake.data / "linked").symlink_to(outside)
    (directory / "directory.parquet").mkdir()
    older = directory / "older.parquet"
    older.write_bytes(b"1")
    os.utime(older, (0, 0))  # than the catalog: not of its making
    assert run(project).orphans_removed == 0
    assert (outside / "mine.parquet").exists()
    assert {"notes.txt", "link.parquet", "older.parquet"} <= files(project)


def test_paths_that_lead_out_of_the_directory_are_not_followed(project: Project, tmp_path: Path) -> None:
    scene = Scene(project)
    scene.append([1])
    victim = tmp_path / "victim.parquet"
    victim.write_bytes(b"1")
    inside = next(project.lake.data.rglob("*.parquet")).parent
    (inside / "out").symlink_to(tmp_path)
    place = inside.relative_to(project.lake.data)
    for path in (
        f"{'../' * 9}{victim}",
        str(victim),
        f"{place}/out/victim.parquet",
        f"{place}/../../../../v",
    ):
        with project.lake.database.write() as connection:
            connection.exec_driver_sql("DELETE FROM ducklake_files_scheduled_for_deletion")
            connection.exec_driver_sql(
                "INSERT INTO ducklake_files_scheduled_for_deletion VALUES "
                f"(1000, '{path}', {'true' if connection.dialect.name == 'postgresql' else 1}, "
                "'2020-01-01 00:00:00+00')"
            )
        run(project)
        assert victim.exists()


def test_a_dropped_table_leaves_nothing(project: Project) -> None:
    scene = Scene(project)
    fill(scene)
    run(project)
    assert scene.sql("DROP TABLE t;").succeeded
    run(project)
    assert not files(project)
    run(project, LATER)
    assert not [path for path in project.lake.data.rglob("*") if path.name != "default"]
    with project.lake.database.read() as connection:
        for name in ("table", "column", "table_stats", "partition_info", "partition_column", "data_file"):
            count = connection.exec_driver_sql(f"SELECT count(*) FROM ducklake_{name}").scalar_one()
            assert count == 0, name


def test_one_broken_table_does_not_stop_the_others(project: Project) -> None:
    scene = Scene(project)
    fill(scene)
    for path in project.lake.data.rglob("*.parquet"):
        path.write_bytes(b"broken")
    assert scene.sql("CREATE TABLE good (id bigint) PARTITIONED BY (pt string);").succeeded
    scene.target = replace_table(scene, "good")
    ids = fill(scene)
    report = run(project)
    assert [table.table for table in report.tables] == ["default.good"]
    assert len(report.errors) == 1 and "default.t" in report.errors[0]
    assert scene.ids() == ids


def replace_table(scene: Scene, name: str):
    return type(scene.target)(scene.target.project, scene.target.schema, name)


def test_a_run_that_is_stopped_begins_nothing_more(project: Project) -> None:
    scene = Scene(project)
    fill(scene)
    before = files(project)
    report = maintain(project, datetime.now(UTC), stopped=lambda: True)
    assert not report.finished
    assert files(project) == before


def test_without_time_for_merges_the_rest_is_done(project: Project) -> None:
    scene = Scene(project)
    fill(scene)
    scene.append([100], overwrite=True)
    report = maintain(project, datetime.now(UTC) + timedelta(seconds=1), merge_seconds=0)
    fill(scene)
    assert report.files_removed == MIN_FILES


def test_readers_and_writers_go_on_meanwhile(project: Project, budget) -> None:
    """Every session sees exactly its snapshot while rows are written and runs follow one another."""
    # Without an age the file of a merge under way elsewhere would count as left behind.
    project = replace(project, settings=replace(project.settings, orphan_age=3600))
    scene = Scene(project)
    stop, errors = Event(), list[BaseException]()

    def work() -> None:
        try:
            while not stop.is_set():
                assert not run(project).errors
        except BaseException as error:  # noqa: BLE001 - told at the end
            errors.append(error)

    threads = [Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    ids: list[int] = []
    try:
        for number in budget(5).points(at_least=12):
            scene.append([number])
            ids.append(number)
            session = open_session(scene)
            scene.append([number], "pt=other", overwrite=True)
            assert sorted(read(scene, session)) == sorted([*ids, *([number - 1] if number else [])])
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not errors
