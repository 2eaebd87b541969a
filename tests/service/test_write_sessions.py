from datetime import UTC, datetime, timedelta

import pytest

from maxlake.protocol.enums import StreamState
from maxlake.protocol.errors import ErrorCode, MaxlakeError
from maxlake.protocol.messages.write import CommitRequest
from maxlake.service import session_expiry, write_commits, write_sessions, write_streams
from maxlake.service.project import Project
from tests.service.scene import ME, Scene


def code(caught: pytest.ExceptionInfo[MaxlakeError]) -> ErrorCode:
    return caught.value.code


def test_partition_values_are_compared_as_stored(project: Project) -> None:
    scene = Scene(project, partitions="k bigint")
    scene.append([1, 2], "k=007")
    assert scene.ids("k=007") == scene.ids("k=7") == scene.preview("k=07") == [1, 2]
    scene.append([3], "k=07", overwrite=True)
    assert scene.ids() == [3]
    with pytest.raises(MaxlakeError) as caught:
        scene.ids("k=abc")
    assert code(caught) is ErrorCode.INVALID_ARGUMENT


def test_a_partition_no_path_can_carry_is_refused_at_once(project: Project) -> None:
    scene = Scene(project)
    value = "分" * 80
    with pytest.raises(MaxlakeError) as caught:
        scene.session(f"pt={value}")
    assert code(caught) is ErrorCode.INVALID_ARGUMENT
    assert not scene.sql(f"ALTER TABLE t ADD PARTITION (pt='{value}');").succeeded


def test_abort_works_after_the_table_was_dropped(project: Project) -> None:
    scene = Scene(project)
    session = scene.session()
    address = scene.stream(session)
    scene.write(address, [1])
    scene.sql("DROP TABLE t;")
    with pytest.raises(MaxlakeError) as caught:
        scene.close(address)
    assert code(caught) is ErrorCode.NO_SUCH_TABLE
    write_sessions.abort(project, scene.target, session, ME)
    assert not [path for path in project.lake.data.rglob("*") if path.is_file()]


def test_a_session_of_a_dropped_table_never_writes_to_its_namesake(project: Project) -> None:
    scene = Scene(project)
    session = scene.session()
    scene.sql("DROP TABLE t;")
    Scene(project)
    with pytest.raises(MaxlakeError) as caught:
        scene.stream(session)
    assert code(caught) is ErrorCode.NO_SUCH_TABLE


def test_streams_of_an_aborted_session_are_gone(project: Project) -> None:
    scene = Scene(project)
    session = scene.session()
    address = scene.stream(session)
    write_sessions.abort(project, scene.target, session, ME)
    for call in (write_streams.get, write_streams.close):
        with pytest.raises(MaxlakeError) as caught:
            call(project, scene.target, address, ME)
        assert code(caught) is ErrorCode.NO_SUCH_OBJECT


def test_a_committed_session_lists_the_streams_that_were_closed(project: Project) -> None:
    """An open one, left out of the commit, never will be: nothing is to be done about it (drift.md B.13)."""
    scene = Scene(project)
    session = scene.session()
    closed, opened = scene.stream(session, "closed"), scene.stream(session, "open")
    scene.write(closed, [1])
    scene.write(opened, [2])
    scene.close(closed)

    def states() -> list[tuple[str, StreamState]]:
        streams = write_sessions.get(project, scene.target, session, ME).streams
        return [(stream.stream_id, stream.status) for stream in streams]

    assert states() == [("closed", StreamState.CLOSED), ("open", StreamState.OPEN)]
    listed = CommitRequest(stream_ids=("closed",), stream_versions=(0,))
    write_commits.commit(project, scene.target, session, listed, ME)
    assert states() == [("closed", StreamState.CLOSED)]
    assert scene.ids() == [1]


def test_a_session_belongs_to_its_key(project: Project) -> None:
    scene = Scene(project)
    session = scene.session()
    with pytest.raises(MaxlakeError) as caught:
        write_sessions.abort(project, scene.target, session, "someone else")
    assert code(caught) is ErrorCode.NO_PERMISSION


def test_what_nobody_comes_back_for_is_forgotten(project: Project) -> None:
    scene = Scene(project)
    abandoned, committed = scene.session(), scene.session()
    for session, ids in ((abandoned, [1]), (committed, [2])):
        address = scene.stream(session)
        scene.write(address, ids)
        scene.close(address)
    scene.commit(committed)
    session_expiry.forget(project, datetime.now(UTC) + timedelta(days=3))
    with pytest.raises(MaxlakeError) as caught:
        write_sessions.get(project, scene.target, abandoned, ME)
    assert code(caught) is ErrorCode.NO_SUCH_OBJECT
    scene.commit(committed)  # remembered for 30 days
    assert scene.ids() == [2]
    assert len([path for path in project.lake.data.rglob("*") if path.is_file()]) == 1
    session_expiry.forget(project, datetime.now(UTC) + timedelta(days=40))
    with pytest.raises(MaxlakeError):
        scene.commit(committed)
    assert scene.ids() == [2]
