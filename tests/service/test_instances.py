from concurrent.futures import ThreadPoolExecutor

from maxlake.service.project import Project
from tests.service.scene import Scene


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
