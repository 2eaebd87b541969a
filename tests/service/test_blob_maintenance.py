"""Collection: what any row, upload or session may still need stays; all else goes after its grace."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from maxlake.lake import blob_collection
from maxlake.lake.compaction import MIN_FILES
from maxlake.protocol.errors import ErrorCode, MaxlakeError
from maxlake.service import write_sessions
from maxlake.service.maintenance import Report, maintain, survey
from maxlake.service.project import Interval, Project
from maxlake.service.service import Service
from tests.lake.duckdb_reader import DuckdbReader
from tests.service.blob_scene import BlobScene
from tests.service.scene import ME

GRACE = timedelta(days=7)
LONG_AFTER = timedelta(days=8)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service.open(tmp_path, project="p")
    yield service
    service.close()


@pytest.fixture
def project(service: Service) -> Project:
    """No old version is kept, and no age asked of it."""
    project = service.project("p")
    settings = replace(project.settings, snapshot_retention=0, orphan_age=0)
    return replace(project, settings=settings, collecting=Interval(0))


@pytest.fixture
def scene(service: Service, project: Project) -> BlobScene:
    return BlobScene(service, project)


def run(scene: BlobScene, after: timedelta = LONG_AFTER) -> Report:
    report = maintain(scene.project, datetime.now(UTC) + after)
    assert not report.errors
    return report


def count(scene: BlobScene) -> int:
    return sum(path.is_file() for path in scene.project.lake.blobs.root.rglob("*"))


def committed(scene: BlobScene, *blobs: bytes, **flags: object) -> list[str]:
    session = scene.session(**flags)
    references = [scene.blob(session, data, stream=str(number)) for number, data in enumerate(blobs)]
    scene.append_references(session, references)
    return references


def test_unreferenced_blobs_go_after_their_grace_and_not_before(scene: BlobScene) -> None:
    (kept,) = committed(scene, b"kept")
    session = scene.session()
    lost = scene.blob(session, b"lost"), scene.blob(session, b"x" * 2_000_000)
    scene.append_references(session, [])
    assert run(scene, GRACE - timedelta(minutes=1)).blobs_removed == 0
    planned = survey(scene.project, datetime.now(UTC) + LONG_AFTER).report(scene.project)
    assert (planned.blobs_removed, planned.blob_bytes) == (2, 2_000_004)
    assert count(scene) == 3
    report = run(scene)
    assert (report.blobs_removed, report.blob_bytes) == (2, 2_000_004)
    assert run(scene).blobs_removed == 0
    assert scene.read_blobs([kept]) == [b"kept"]
    for reference in lost:
        with pytest.raises(MaxlakeError) as caught:
            scene.read_blobs([reference])
        assert caught.value.code is ErrorCode.NO_SUCH_OBJECT
    run(scene, 2 * LONG_AFTER)
    directories = [path for path in scene.project.lake.blobs.root.glob("*/*") if path.is_dir()]
    assert len(directories) == 1


def test_a_pack_stays_while_one_of_its_blobs_is_needed(scene: BlobScene) -> None:
    session = scene.session()
    references = [scene.blob(session, bytes([number])) for number in range(9)]
    scene.append_references(session, references[4:5])
    run(scene)
    assert scene.read_blobs(references) == [bytes([number]) for number in range(9)]


def test_open_sessions_and_rows_not_yet_committed_keep_their_blobs(scene: BlobScene) -> None:
    """A day is all a session has by default; here it may last a month."""
    scene.project = replace(
        scene.project, settings=replace(scene.project.settings, session_lifetime=30 * 86400)
    )
    first = scene.session()
    unused = scene.blob(first, b"of an open session")
    other = scene.session()
    borrowed = scene.blob(other, b"borrowed")
    scene.append_references(first, [borrowed], commit=False)
    scene.append_references(other, [])
    run(scene)
    assert scene.read_blobs([unused, borrowed]) == [b"of an open session", b"borrowed"]
    scene.commit(first)
    run(scene)
    assert scene.read_blobs([borrowed]) == [b"borrowed"]
    assert count(scene) == 1


def test_blobs_follow_their_rows_through_merges_and_overwrites(scene: BlobScene) -> None:
    references = [committed(scene, bytes([number]))[0] for number in range(MIN_FILES)]
    report = run(scene)
    assert sum(table.merges for table in report.tables) == 1
    assert scene.read_blobs(references) == [bytes([number]) for number in range(MIN_FILES)]
    assert run(scene).blobs_removed == 0
    assert len(scene.cells()) == MIN_FILES
    (new,) = committed(scene, b"new", overwrite=True)
    run(scene)  # forgets the version that has the rows, removes their file
    run(scene)
    assert scene.read_blobs([new]) == [b"new"]
    assert count(scene) == 1


def test_blobs_of_kept_versions_stay(scene: BlobScene) -> None:
    (old,) = committed(scene, b"old")
    committed(scene, b"new", overwrite=True)
    keeping = replace(scene.project.settings, snapshot_retention=30 * 86400)
    maintain(replace(scene.project, settings=keeping), datetime.now(UTC) + LONG_AFTER)
    assert scene.read_blobs([old]) == [b"old"]
    assert scene.sql("DROP TABLE t;").succeeded
    maintain(replace(scene.project, settings=keeping), datetime.now(UTC) + LONG_AFTER)
    assert scene.read_blobs([old]) == [b"old"]
    run(scene)
    run(scene)
    assert count(scene) == 0


def test_blobs_of_dead_sessions_go(scene: BlobScene) -> None:
    aborted, expired = scene.session(), scene.session()
    scene.append_references(aborted, [scene.blob(aborted, b"x")], commit=False)
    write_sessions.abort(scene.project, scene.target, aborted, ME)
    scene.append_references(expired, [scene.blob(expired, b"y")], commit=False)
    scene.blob("default", b"streamed, and never referred to")
    run(scene)
    assert count(scene) == 0


def test_rows_that_refer_to_an_old_blob_keep_it_from_then_on(scene: BlobScene) -> None:
    """Between the look at what is old and its removal, too."""
    session = scene.session()
    reference = scene.blob(session, b"taken up late")
    scene.append_references(session, [])
    (path,) = scene.project.lake.blobs.root.rglob("*.pack")
    os.utime(path, (1, 1))
    before = datetime.now(UTC) - GRACE
    lake = scene.project.lake
    found = list(blob_collection.unreferenced(lake, before, writing=(), staged=(), seen=()))
    assert len(found) == 1
    late = scene.session()
    scene.append_references(late, [reference], commit=False)
    assert blob_collection.remove(lake, found, before) == []
    assert scene.read_blobs([reference]) == [b"taken up late"]


def test_a_removal_that_was_cut_is_put_back_first(scene: BlobScene) -> None:
    (reference,) = committed(scene, b"needed")
    (path,) = scene.project.lake.blobs.root.rglob("*.pack")
    path.rename(path.with_name(f".gone-{path.name}"))
    run(scene)
    assert scene.read_blobs([reference]) == [b"needed"]


def test_rows_of_other_programs_keep_blobs(scene: BlobScene, tmp_path: Path) -> None:
    """DuckDB copies a reference into a file we know nothing of, and our own rows go."""
    (reference,) = committed(scene, b"copied")
    catalog = f"sqlite:{tmp_path}/projects/p/lake.sqlite"
    with DuckdbReader() as duckdb:
        table = 'lake."default".t'
        duckdb.query(catalog, f"INSERT INTO {table} SELECT id + 1, data, 'b' FROM {table}", "READ_ONLY false")
    assert scene.sql("ALTER TABLE t DROP PARTITION (pt='a');").succeeded
    for _ in range(3):
        run(scene)
        assert scene.read_blobs([reference]) == [b"copied"]
    assert scene.read_blobs(scene.cells()) == [b"copied"]
    scene.append_references(scene.session("pt=b", overwrite=True), [])
    run(scene)
    run(scene)
    assert count(scene) == 0


def test_upserts_take_blobs_along_and_let_go_of_them(service: Service, project: Project) -> None:
    scene = BlobScene(service, project, "id bigint not null, data blob, primary key (id)", partitions="")
    old = [scene.blob(session := scene.session(""), b"old"), scene.blob(session, b"kept", stream="1")]
    scene.append_references(session, old)
    session = scene.session("")
    new = scene.blob(session, b"new")
    scene.append_references(session, [new])
    assert sorted(scene.read_blobs(scene.cells())) == [b"kept", b"new"]
    run(scene)
    assert sorted(scene.read_blobs(scene.cells())) == [b"kept", b"new"]


def test_nothing_goes_while_rows_cannot_be_read(scene: BlobScene, monkeypatch: pytest.MonkeyPatch) -> None:
    session = scene.session()
    scene.blob(session, b"lost")
    scene.append_references(session, [])
    monkeypatch.setattr(blob_collection, "_unseen", lambda _: [(1, "default/missing.parquet")])
    report = maintain(scene.project, datetime.now(UTC) + LONG_AFTER)
    assert "which blobs its rows refer to" in report.errors[0]
    assert (report.blobs_removed, count(scene)) == (0, 1)


def test_a_server_looks_once_a_day(scene: BlobScene) -> None:
    scene.project = replace(scene.project, collecting=Interval(86400))
    for expected in (1, 0):
        session = scene.session()
        scene.blob(session, b"lost")
        scene.append_references(session, [])
        assert run(scene).blobs_removed == expected
