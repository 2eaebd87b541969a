"""kill -9 anywhere in a run of maintenance: no row is lost, and the next run completes what was cut (P1)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from sqlalchemy import func, select

from maxlake.failpoints import VARIABLE, Failpoint, MaintenancePoint
from maxlake.lake import ducklake
from maxlake.lake.compaction import MIN_FILES
from maxlake.lake.durable import TEMPORARY_PREFIX
from maxlake.protocol.enums import Operation
from maxlake.protocol.messages.read import CreateReadSessionRequest
from maxlake.service import read_sessions
from maxlake.service.maintenance import maintain
from maxlake.service.project import Project
from maxlake.service.service import Service
from tests.crash.lives import PROJECT
from tests.lake.duckdb_reader import DuckdbReader
from tests.service.scene import ME, Scene

pytestmark = pytest.mark.crash

#: Points a merge's file passes, and those of the run.
POINTS = [
    Failpoint.BEFORE_PART_SYNC,
    Failpoint.AFTER_PART_RENAME,
    Failpoint.AFTER_DIRECTORY_SYNC,
    *MaintenancePoint,
]

#: Those at which deletes matter.
KEYED_POINTS = [
    MaintenancePoint.BEFORE_MERGE_TRANSACTION,
    MaintenancePoint.AFTER_MERGE_TRANSACTION,
    MaintenancePoint.BEFORE_SCHEDULE_TRANSACTION,
    MaintenancePoint.AFTER_SCHEDULE_TRANSACTION,
]
KEYED = ("id bigint, primary key (id)", "pt string", 'TBLPROPERTIES ("transactional"="true")')


def killed_at(root: Path, point: Failpoint | MaintenancePoint) -> bool:
    """Run ``maxlake maintain``, in which nothing is kept longer than it must, up to a failpoint."""
    command = [sys.executable, "-m", "maxlake.cli", "maintain", "--root", str(root), "--retention", "0"]
    environment = os.environ | {VARIABLE: f"{point}:1"}
    ended = subprocess.run(command, env=environment, capture_output=True, check=False)
    return ended.returncode == -signal.SIGKILL


def age_leftovers(project: Project) -> None:
    """Let files that nobody names look older than any upload, and the catalog older still."""
    with project.lake.database.write() as connection:
        connection.exec_driver_sql(
            "UPDATE ducklake_metadata SET value = '1970-01-01T00:00:00+00:00' "
            "WHERE key = 'maxlake_created_at'"
        )
    dead = project.lake.blobs.path("202611/dead/0-a")
    dead.parent.mkdir(parents=True, exist_ok=True)
    dead.touch()
    for path in (*project.lake.data.rglob("*.parquet"), dead):
        os.utime(path, (1, 1))


def on_disk(project: Project) -> set[str]:
    return {path.name for path in project.lake.data.rglob("*") if path.is_file()}


def in_catalog(project: Project) -> set[str]:
    named = select(ducklake.data_file.c.path).union(select(ducklake.delete_file.c.path))
    with project.lake.database.read() as connection:
        return {Path(path).name for path in connection.execute(named).scalars()}


def still_scheduled(project: Project) -> int:
    with project.lake.database.read() as connection:
        return connection.execute(
            select(func.count()).select_from(ducklake.files_scheduled_for_deletion)
        ).scalar_one()


def delete_rows(scene: Scene, ids: list[int]) -> None:
    address = scene.stream(session := scene.session())
    operations = pa.array([Operation.DELETE.value] * len(ids), pa.int8())
    scene.write_table(address, pa.table({"id": ids, "__operation": operations}))
    scene.close(address)
    scene.commit(session)


@pytest.mark.parametrize(
    ("point", "keyed"), [*((point, False) for point in POINTS), *((point, True) for point in KEYED_POINTS)]
)
def test_a_run_that_is_killed_loses_nothing(
    tmp_path: Path, duckdb_reader: DuckdbReader, point: Failpoint | MaintenancePoint, keyed: bool
) -> None:
    service = Service.open(tmp_path, project=PROJECT)
    project = service.project(PROJECT)
    project = replace(project, settings=replace(project.settings, snapshot_retention=0))
    scene = Scene(project, *KEYED) if keyed else Scene(project)
    for number in range(MIN_FILES):
        scene.append([number])
    maintain(project, datetime.now(UTC))
    for number in range(MIN_FILES, 2 * MIN_FILES):
        scene.append([number])
    ids = list(range(2 * MIN_FILES))
    if keyed:
        scene.append(ids[1:3])
        delete_rows(scene, ids[-2:])
        ids = [0, *ids[3:-2], 1, 2]
    session = read_sessions.create(project, scene.target, CreateReadSessionRequest(), ME)
    next(project.lake.data.rglob("*.parquet")).with_name("lost.parquet").write_bytes(b"1")
    age_leftovers(project)

    assert killed_at(tmp_path, point)
    assert scene.ids() == ids
    catalog = f"sqlite:{tmp_path}/projects/{PROJECT}/lake.sqlite"
    assert sorted(duckdb_reader.rows(catalog, "default", "t").column("id").to_pylist()) == sorted(ids)

    now = datetime.now(UTC) + timedelta(seconds=1)
    for _ in range(3):
        age_leftovers(project)
        assert not maintain(project, now).errors
    assert still_scheduled(project) == 0
    assert not [name for name in on_disk(project) if name.startswith(TEMPORARY_PREFIX)]
    assert on_disk(project) == in_catalog(project)
    assert scene.ids() == ids
    assert read_sessions.get(
        project, scene.target, session.session_id, refresh_until=project.new_expiry(), principal=ME
    )
    assert sorted(duckdb_reader.rows(catalog, "default", "t").column("id").to_pylist()) == sorted(ids)
    service.close()
