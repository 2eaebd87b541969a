"""``maxlake maintain``: beside a running server and without one, told in text or JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from maxlake.client import StorageApiArrowClient
from maxlake.lake.compaction import MIN_FILES, PREFIX
from maxlake.service.service import Service
from maxlake.testing import local_server
from tests.postgresql import Postgresql
from tests.service.scene import Scene

PROJECT = "shop"


def maintain(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "maxlake.cli", "maintain", "--root", str(root), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def filled(root: Path, url: str | None = None, project: str = PROJECT) -> list[int]:
    service = Service.open(root, project=project, database_url=url)
    scene = Scene(service.project(project))
    for number in range(MIN_FILES):
        scene.append([number])
    service.close()
    return list(range(MIN_FILES))


def merged_files(root: Path) -> list[Path]:
    return list(root.rglob(f"{PREFIX}*.parquet"))


def test_beside_a_server(tmp_path: Path) -> None:
    filled(tmp_path)
    with local_server(tmp_path, PROJECT) as server:
        client = StorageApiArrowClient(server.odps(), server.odps().get_table("t"))
        session = client.create_read_session()
        assert not merged_files(tmp_path)
        done = maintain(tmp_path, "--project", PROJECT, "--retention", "0")
        assert (done.returncode, done.stderr) == (0, "")
        assert f"default.t: {MIN_FILES} files merged into 1" in done.stdout
        assert len(merged_files(tmp_path)) == 1
        for version in (session, client.create_read_session()):
            reader = client.read_rows_arrow(version.session_id, split_index=0)
            ids = pa.Table.from_batches(iter(reader.read, None)).column("id").to_pylist()
            assert sorted(ids) == list(range(MIN_FILES))


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    filled(tmp_path)
    before = sorted(path.name for path in tmp_path.rglob("*.parquet"))
    done = maintain(tmp_path, "--dry-run", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["project"], report["dry_run"]) == (0, PROJECT, True)
    assert report["tables"][0]["files"] == MIN_FILES
    assert sorted(path.name for path in tmp_path.rglob("*.parquet")) == before
    assert json.loads(maintain(tmp_path, "--dry-run", "--json").stdout) == report
    assert "nothing is changed" in maintain(tmp_path, "--dry-run").stdout


def test_a_table_that_cannot_be_maintained_is_told(tmp_path: Path) -> None:
    filled(tmp_path)
    for path in tmp_path.rglob("*.parquet"):
        path.write_bytes(b"broken")
    done = maintain(tmp_path)
    assert done.returncode == 1
    assert "failed: default.t" in done.stdout


@pytest.mark.slow
def test_what_is_not_there_is_refused_and_not_made(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    done = maintain(missing)
    assert done.returncode == 1 and "no directory that maxlake serves" in done.stderr
    assert not missing.exists()
    filled(tmp_path / "root")
    done = maintain(tmp_path / "root", "--project", "other")
    assert done.returncode == 1 and "'other' does not exist" in done.stderr
    (tmp_path / "root" / "projects" / "empty" / "data").mkdir(parents=True)
    done = maintain(tmp_path / "root", "--project", "empty")
    assert done.returncode == 1 and "name the database" in done.stderr
    assert not (tmp_path / "root" / "projects" / "empty" / "lake.sqlite").exists()


@pytest.mark.parametrize("retention", ["-1", "nan", "1e300"])
def test_a_retention_no_clock_can_tell_is_refused(tmp_path: Path, retention: str) -> None:
    assert "--retention" in maintain(tmp_path, f"--retention={retention}").stderr


def test_blobs_nobody_refers_to_are_told_of_and_removed(tmp_path: Path) -> None:
    filled(tmp_path)
    blob = tmp_path / "projects" / PROJECT / "blobs" / "202611" / "dead" / "0-a.pack"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"x" * 1000)
    assert json.loads(maintain(tmp_path, "--json").stdout)["blobs_removed"] == 0
    os.utime(blob, (1, 1))
    report = json.loads(maintain(tmp_path, "--dry-run", "--json").stdout)
    assert (report["blobs_removed"], report["blob_bytes"]) == (1, 1000)
    assert blob.exists()
    assert "files of unreferenced blobs removed: 1 (1.0 kB)" in maintain(tmp_path).stdout
    assert not blob.exists()


@pytest.mark.parametrize("grace", ["0", "7199", "nan"])
def test_a_grace_in_which_others_write_is_refused(tmp_path: Path, grace: str) -> None:
    assert "--blob-grace" in maintain(tmp_path, f"--blob-grace={grace}").stderr


@pytest.mark.postgresql
@pytest.mark.slow
def test_a_catalog_in_postgresql(tmp_path: Path, postgresql: Postgresql) -> None:
    ids = filled(tmp_path, postgresql.url)
    assert "name the database" in maintain(tmp_path).stderr
    done = maintain(tmp_path, "--database", postgresql.url, "--retention", "0")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(merged_files(tmp_path)) == 1
    service = Service.open(tmp_path, project=PROJECT, database_url=postgresql.url)
    project = service.project(PROJECT)
    with project.lake.database.read() as connection:
        count = connection.exec_driver_sql(
            "SELECT sum(record_count) FROM ducklake_data_file WHERE end_snapshot IS NULL"
        ).scalar_one()
    service.close()
    assert count == len(ids)


@pytest.mark.postgresql
@pytest.mark.slow
def test_a_database_without_the_catalog_is_refused_and_stays_so(
    tmp_path: Path, postgresql: Postgresql
) -> None:
    filled(tmp_path, project="elsewhere")
    done = maintain(tmp_path, "--database", postgresql.url)
    assert done.returncode == 1 and "lake.sqlite" in done.stderr
    (tmp_path / "projects" / "elsewhere" / "lake.sqlite").unlink()
    for _ in range(2):
        done = maintain(tmp_path, "--database", postgresql.url)
        assert done.returncode == 1 and "is not in this database" in done.stderr
