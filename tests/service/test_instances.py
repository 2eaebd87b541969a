import os
import signal
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event

import msgspec
import pytest
from sqlalchemy import select, update

from maxlake.protocol.enums import InstanceStatus
from maxlake.protocol.errors import BadRequestError, BusyError, ConflictError, ErrorCode, NotFoundError
from maxlake.protocol.limits import QUERY_TIME, RESULT_LIFETIME
from maxlake.protocol.sql.model import Query
from maxlake.protocol.sql.statements import parse_statement
from maxlake.service import instances, query_runner, session_expiry, store
from maxlake.service.project import Project
from maxlake.service.query_jobs import JobPlanner
from maxlake.service.query_runner import QueryRunner
from maxlake.service.sql_session import Session
from tests.service.scene import Scene
from tests.service.sql import ME, PATIENCE, Sql

#: More rows than any machine joins while a test runs.
ENDLESS = (
    "select count(*) from (select explode(sequence(1, 100000)) as i) a "
    "join (select explode(sequence(1, 100000)) as i) b on a.i <> b.i "
    "join (select explode(sequence(1, 100000)) as i) c on b.i <> c.i"
)


def test_statements_submitted_at_once_under_one_uuid_run_once(project: Project) -> None:
    scene = Scene(project)
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda _: scene.sql("CREATE TABLE other (i int);", "same"), range(6)))
    assert len({instance.instance_id for instance in made}) == 1
    assert made[0].succeeded


def test_a_failed_statement_changes_nothing_and_is_remembered(project: Project) -> None:
    scene = Scene(project)
    failed = scene.sql("CREATE TABLE t (i int);", "mine")
    assert not failed.succeeded
    assert failed.result.startswith("ODPS-")
    assert scene.sql("CREATE TABLE t (i int);", "mine") == failed


def test_a_uuid_belongs_to_its_key(project: Project) -> None:
    scene = Scene(project)
    mine = scene.sql("CREATE TABLE mine (i int);", "same", "me")
    theirs = scene.sql("CREATE TABLE theirs (i int);", "same", "them")
    assert mine.instance_id != theirs.instance_id
    assert theirs.succeeded


def test_a_query_under_one_uuid_runs_once(project: Project) -> None:
    scene, sql = Scene(project, partitions=""), Sql(project)
    made = [scene.sql("insert into t values (1)", "same") for _ in range(3)]
    assert {instance.instance_id for instance in made} == {made[0].instance_id}
    sql.ended(made[0])
    assert sql.rows("select count(*) from t") == [(1,)]


def test_rows_of_a_running_instance_cannot_be_read_and_it_can_be_stopped(project: Project) -> None:
    sql = Sql(project)
    instance = sql.begin(ENDLESS)
    with pytest.raises(ConflictError, match="still running"):
        instances.rows_of(project, instance.instance_id, ME)
    _worker(project)
    instances.stop(project, instance.instance_id, ME)
    ended = sql.ended(instance)
    assert ended.status is InstanceStatus.CANCELLED
    assert "stopped" in ended.result
    assert not any(project.spill.iterdir())
    with pytest.raises(BadRequestError, match="stopped"):
        instances.rows_of(project, instance.instance_id, ME)
    instances.stop(project, instance.instance_id, ME)  # harmless


def _worker(project: Project) -> int:
    """Wait for the process of a statement; return its id."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = subprocess.run(
            ["pgrep", "-P", str(os.getpid()), "-f", "sql.worker"],
            check=False,
            capture_output=True,
            text=True,
        )
        if found.stdout.strip() and project.spill.is_dir() and any(project.spill.iterdir()):
            return int(found.stdout.split()[0])
        time.sleep(0.05)
    raise AssertionError("no worker was started")


def test_a_crash_of_a_worker_is_one_failed_instance(project: Project) -> None:
    sql = Sql(project)
    sql.run("create table kept (i bigint)")
    instance = sql.begin(f"insert into kept {ENDLESS}")
    os.kill(_worker(project), signal.SIGKILL)
    assert sql.ended(instance).result.startswith("ODPS-0010000:")
    assert sql.rows("select count(*) from kept") == [(0,)]


def test_an_instance_whose_server_is_gone_has_failed(project: Project) -> None:
    sql = Sql(project)
    instance = sql.begin(ENDLESS)
    row = store.instance.c
    gone = {"lease_until": datetime.now(UTC) - timedelta(seconds=1)}
    with project.lake.database.write() as connection:
        connection.execute(update(store.instance).where(row.instance_id == instance.instance_id).values(gone))
    found = instances.get(project, instance.instance_id, ME)
    assert found.status is InstanceStatus.FAILED
    assert "server" in found.result


def test_what_was_told_as_failed_never_becomes_visible(project: Project) -> None:
    sql = Sql(project)
    sql.run("create table late (i bigint)")
    instance = sql.begin("insert into late values (1)")
    row = store.instance.c
    ended = False
    while not ended:  # as often as the server renews it
        gone = {"lease_until": datetime.now(UTC) - timedelta(seconds=1)}
        with project.lake.database.write() as connection:
            connection.execute(
                update(store.instance)
                .where(row.instance_id == instance.instance_id, row.ended_at.is_(None))
                .values(gone)
            )
        with project.lake.database.read() as connection:
            state = connection.execute(select(row.ended_at).where(row.instance_id == instance.instance_id))
            ended = state.scalar_one() is not None
    assert not instances.get(project, instance.instance_id, ME).succeeded
    assert sql.rows("select count(*) from late") == [(0,)]


def test_a_statement_that_found_no_place_can_be_repeated_under_its_uuid(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, sql = Scene(project, partitions=""), Sql(project)
    with monkeypatch.context() as full:
        full.setattr(query_runner, "MAX_QUERIES", 0)
        full.setattr(query_runner, "MAX_WAITING_QUERIES", 0)
        with pytest.raises(BusyError, match="waiting already"):
            scene.sql("insert into t values (1)", "same")
    sql.ended(scene.sql("insert into t values (1)", "same"))
    assert sql.rows("select count(*) from t") == [(1,)]


def test_leases_are_renewed_although_that_failed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_runner, "INSTANCE_LEASE", 0.03)
    runner, renewals, renewed = QueryRunner(), list[Sequence[str]](), Event()

    def renew(held: Sequence[str]) -> None:
        renewals.append(held)
        if len(renewals) == 1:
            raise BusyError(ErrorCode.SERVICE_UNAVAILABLE, "the catalog is locked")
        renewed.set()

    def work(_: object) -> None:
        renewed.wait(PATIENCE)

    runner.start("one", work, renew)
    assert renewed.wait(PATIENCE)
    runner.close()
    assert renewals[1] == ["one"]


def test_instances_are_listed_the_newest_first(project: Project) -> None:
    sql = Sql(project)
    made = [sql.run(f"create table t{number} (i int)").instance_id for number in range(5)]
    everything = {"first": None, "last": None, "status": (), "before": "", "limit": 100}

    def listed(principal: str = ME, **choice: object) -> list[str]:
        found = instances.list_instances(project, principal, **(everything | choice))  # type: ignore[arg-type]
        return [instance.instance_id for instance in found]

    assert listed() == sorted(made, reverse=True)
    assert listed("them") == []
    assert listed(limit=2, before=sorted(made)[-1]) == sorted(made, reverse=True)[1:3]
    assert listed(status=[InstanceStatus.RUNNING]) == []
    assert listed(last=datetime.now(UTC) - timedelta(hours=1)) == []
    assert len(listed(first=datetime.now(UTC) - timedelta(hours=1))) == 5


def test_rows_are_kept_for_a_day(project: Project) -> None:
    sql = Sql(project)
    instance = sql.run("select 1 as x")
    later = RESULT_LIFETIME + QUERY_TIME
    session_expiry.forget(project, datetime.now(UTC) + timedelta(seconds=later - 60))
    assert (project.results / instance.instance_id).is_dir()
    session_expiry.forget(project, datetime.now(UTC) + timedelta(seconds=later + 60))
    assert not (project.results / instance.instance_id).exists()
    assert instance.ended_at is not None
    old = msgspec.structs.replace(instance, ended_at=instance.ended_at - timedelta(seconds=RESULT_LIFETIME))
    with project.lake.database.write() as connection:
        connection.execute(
            update(store.instance)
            .where(store.instance.c.instance_id == instance.instance_id)
            .values(content=msgspec.msgpack.encode(old))
        )
    with pytest.raises(NotFoundError, match="expired"):
        instances.rows_of(project, instance.instance_id, ME)


@pytest.mark.parametrize(
    ("condition", "files"),
    [
        ("", 6),
        ("where pt = 'a'", 2),
        ("where pt in ('a', 'b') and id >= 0", 4),
        ("where pt > 'b'", 2),
        ("where id = 21", 1),
        ("where id = 21 or pt = 'a'", 3),
        ("where pt = 'nothing'", 0),
        ("t join (select 1 as id) x on t.id = x.id where t.pt = 'b'", 2),
    ],
)
def test_only_files_that_may_have_wanted_rows_are_read(project: Project, condition: str, files: int) -> None:
    scene = Scene(project)
    for number, partition in enumerate("abc"):
        for first in (10 * number, 10 * number + 5):
            scene.append(list(range(first, first + 5)), f"pt={partition}")
    assert len(_planned_files(project, f"select * from t {condition}")) == files


def _planned_files(project: Project, text: str) -> list[str]:
    query = parse_statement(text)
    assert isinstance(query, Query)
    planned = JobPlanner(Session(project, {}, ME), "an-instance", query).planned()
    return [file.path for scan in planned.job.scans for file in scan.files]
