"""The server maintains its projects by itself, and ends promptly all the same."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from maxlake.lake.compaction import MIN_FILES, PREFIX
from maxlake.server.maintenance import Maintenance
from maxlake.service import maintenance
from maxlake.service.project import Project
from maxlake.service.service import Service
from maxlake.testing import ServerDiedError, local_server
from tests.service.scene import Scene

WAIT = 20


def until(condition) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def filled(root: Path) -> None:
    service = Service.open(root, project="demo")
    scene = Scene(service.project("demo"))
    for number in range(MIN_FILES):
        scene.append([number])
    service.close()


def test_small_files_are_merged_and_old_versions_go(tmp_path: Path) -> None:
    filled(tmp_path)
    arguments = ("--maintenance-interval", "0.1", "--snapshot-retention", "0")
    with local_server(tmp_path, arguments=arguments) as server:
        until(lambda: [path.name.startswith(PREFIX) for path in tmp_path.rglob("*.parquet")] == [True])
        assert server.terminate() == 0
        assert "ERROR" not in server.log


def test_a_server_told_not_to_leaves_files_alone(tmp_path: Path) -> None:
    filled(tmp_path)
    with local_server(tmp_path, arguments=("--maintenance-interval", "0")) as server:
        time.sleep(0.5)
        assert server.terminate() == 0
    assert not list(tmp_path.rglob(f"{PREFIX}*"))


@pytest.mark.parametrize("option", ["--maintenance-interval", "--snapshot-retention", "--blob-grace"])
def test_times_that_cannot_be_are_refused(tmp_path: Path, option: str) -> None:
    with pytest.raises(ServerDiedError, match=option), local_server(tmp_path, arguments=(f"{option}=-1",)):
        pass


class OneProject:
    def __init__(self, project: Project) -> None:
        self.project = project

    def open_projects(self) -> list[Project]:
        return [self.project]


@pytest.fixture
def project(tmp_path: Path):
    service = Service.open(tmp_path, project="demo")
    yield service.project("demo")
    service.close()


def test_a_run_under_way_is_given_up(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = Event()

    def endless(_project: Project, _now: Any, *, stopped, **_options: Any) -> None:
        begun.set()
        while not stopped():
            time.sleep(0.01)

    monkeypatch.setattr(maintenance, "maintain", endless)
    running = Maintenance(OneProject(project), 0.01)
    running.start()
    assert begun.wait(WAIT)
    assert running.stop()


def test_a_failed_run_is_logged_and_the_next_one_tried(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    runs = list[int]()

    def failing(*_: Any, **__: Any) -> None:
        runs.append(1)
        raise OSError("disk")

    monkeypatch.setattr(maintenance, "maintain", failing)
    running = Maintenance(OneProject(project), 0.01)
    running.start()
    until(lambda: len(runs) > 1)
    assert running.stop()
    assert "maintenance of project demo" in caplog.text


def test_stopping_before_the_start_is_nothing(project: Project) -> None:
    assert Maintenance(OneProject(project), 1).stop()
