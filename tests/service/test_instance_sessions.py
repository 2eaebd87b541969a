"""The end of sessions on results, and of the results, as time goes by."""

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import msgspec
import pytest
from sqlalchemy import select, update

from maxlake.protocol.enums import SessionStatus
from maxlake.protocol.errors import ConflictError, ErrorCode, MaxlakeError, NotFoundError
from maxlake.protocol.limits import FINISHED_SESSION_MEMORY, QUERY_TIME, RESULT_LIFETIME
from maxlake.protocol.messages.read import CreateReadSessionRequest, ReadAddress, ReadInstanceRequest
from maxlake.protocol.targets import InstanceTarget
from maxlake.service import instance_sessions, instances, session_expiry, store
from maxlake.service.instances import Instance
from maxlake.service.project import Project
from maxlake.service.service import Service, ServiceSettings
from tests.service.sql import ME, Sql

LIFETIME, HOUR = 1800.0, 3600.0


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One for all tests, and so one worker process; time passes for what earlier ones have left, too."""
    root, settings = tmp_path_factory.mktemp("root"), ServiceSettings(session_lifetime=LIFETIME)
    service = Service.open(root, project="demo", settings=settings)
    yield service.project("demo")
    service.close()


def let_pass(project: Project, seconds: float) -> None:
    """Make all that is stored of sessions, instances and results so much older."""
    back = timedelta(seconds=seconds)
    session, row = store.read_session.c, store.instance.c
    with project.lake.database.write() as connection:
        for key, expires_at in connection.execute(select(session.session_id, session.expires_at)).all():
            mine = update(store.read_session).where(session.session_id == key)
            connection.execute(mine.values(expires_at=expires_at - back))
        for key, content in connection.execute(select(row.instance_id, row.content)).all():
            told = msgspec.msgpack.Decoder(Instance).decode(content)
            assert told.ended_at is not None
            told = msgspec.structs.replace(
                told, started_at=told.started_at - back, ended_at=told.ended_at - back
            )
            times = {"started_at": told.started_at, "ended_at": told.ended_at}
            mine = update(store.instance).where(row.instance_id == key)
            connection.execute(mine.values(content=msgspec.msgpack.encode(told), **times))
    for place in (project.results, *project.results.rglob("*")):
        os.utime(place, (time.time(), place.stat().st_mtime - seconds))


def refused(call: Callable[[], object], kind: type[MaxlakeError], code: ErrorCode) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.code is code


def test_sessions_end_with_their_lifetime_and_rows_after_a_day(project: Project) -> None:
    instance = Sql(project).run("select explode(sequence(1, 5)) as n")
    target = InstanceTarget(project.name, instance.instance_id)
    session = instance_sessions.create(project, target, CreateReadSessionRequest(), ME).session_id

    def get(refresh: bool = False) -> tuple[SessionStatus, float]:
        found = instance_sessions.get(project, target, session, refresh=refresh, principal=ME)
        return found.status, found.expiration_time / 1000 - time.time()

    def read() -> int:
        address = ReadAddress(session_id=session)
        stream = instance_sessions.read(project, target, address, ReadInstanceRequest(), ME)
        return sum(batch.num_rows for batch in stream.batches)

    assert get() == (SessionStatus.NORMAL, pytest.approx(LIFETIME, abs=60))
    let_pass(project, LIFETIME + 1)
    assert get()[0] is SessionStatus.EXPIRED
    refused(read, ConflictError, ErrorCode.INVALID_SESSION_STATUS)
    assert get(refresh=True) == (SessionStatus.NORMAL, pytest.approx(LIFETIME, abs=60))
    assert read() == 5
    let_pass(project, RESULT_LIFETIME - LIFETIME - 600)
    assert get(refresh=True) == (SessionStatus.NORMAL, pytest.approx(600, abs=60))  # no longer than the rows
    assert read() == 5
    session_expiry.forget(project, datetime.now(UTC))
    assert read() == 5
    let_pass(project, 601)
    create = partial(instance_sessions.create, project, target, CreateReadSessionRequest(), ME)
    for call in (read, get, partial(get, refresh=True), create):
        refused(call, NotFoundError, ErrorCode.NO_SUCH_OBJECT)
    assert instances.get(project, instance.instance_id, ME).succeeded


def test_what_is_over_is_removed(project: Project) -> None:
    instance = Sql(project).run("select 1 as n")
    target = InstanceTarget(project.name, instance.instance_id)
    instance_sessions.create(project, target, CreateReadSessionRequest(), ME)
    rows = project.results / instance.instance_id
    let_pass(project, RESULT_LIFETIME)
    session_expiry.forget(project, datetime.now(UTC))
    assert rows.is_dir()
    let_pass(project, QUERY_TIME + 60)
    session_expiry.forget(project, datetime.now(UTC))
    assert not rows.exists()
    assert instances.get(project, instance.instance_id, ME).succeeded
    let_pass(project, FINISHED_SESSION_MEMORY)
    session_expiry.forget(project, datetime.now(UTC))
    with project.lake.database.read() as connection:
        assert not connection.execute(select(store.read_session)).all()
        assert not connection.execute(select(store.instance)).all()
    refused(lambda: instances.get(project, instance.instance_id, ME), NotFoundError, ErrorCode.NO_SUCH_OBJECT)
