"""Exactly-once streams against a list of what was taken: repetitions, gaps, fencing, restarts."""

from __future__ import annotations

import io
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec import UNSET, structs

from maxlake.protocol.enums import StreamState
from maxlake.protocol.errors import ErrorCode, MaxlakeError
from maxlake.protocol.messages.write import StreamAddress, WriteRowsRequest, WriteRowsResponse
from maxlake.service import exactly_once, store, uploads, write_sessions, write_streams
from maxlake.service.project import Project
from maxlake.service.service import Service
from tests.service.scene import ME, Scene


class Stream:
    """One exactly-once stream of a scene's table, and the token of its present writer."""

    def __init__(self, scene: Scene, session: str = "") -> None:
        self.scene = scene
        self.session = session or scene.session()
        self.address = StreamAddress(session_id=self.session, stream_id="0")
        self.token = self.open()

    def open(self, version: int | None = None) -> str:
        if version is not None:
            self.address = structs.replace(self.address, stream_version=version)
        answer = write_streams.create(
            self.scene.project, self.scene.target, self.address, ME, exactly_once=True
        )
        assert answer.access_token
        self.token = answer.access_token
        return self.token

    def claim(self) -> tuple[str, int]:
        answer = write_streams.get(self.scene.project, self.scene.target, self.address, ME, exactly_once=True)
        assert answer.access_token is not UNSET
        assert answer.row_offset is not UNSET
        self.token = answer.access_token
        return self.token, answer.row_offset

    def state(self) -> Any:
        return write_streams.get(self.scene.project, self.scene.target, self.address, ME)

    def write(
        self, offset: int | None, ids: list[int], token: str | None = None, **how: Any
    ) -> WriteRowsResponse:
        return self.send(offset, pa.table({"id": pa.array(ids, pa.int64())}), token, **how)

    def send(
        self, offset: int | None, rows: pa.Table, token: str | None = None, **how: Any
    ) -> WriteRowsResponse:
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        request = WriteRowsRequest(
            stream=self.address,
            row_offset=offset,
            access_token=self.token if token is None else token,
            **how,
        )
        body = io.BytesIO(sink.getvalue())
        answer = uploads.write(self.scene.project, self.scene.target, request, body, ME)
        assert body.read() == b""
        return answer

    def committed(self) -> list[int]:
        self.scene.close(self.address)
        self.scene.commit(self.session)
        return self.scene.ids()


def refusal(*arguments: Any, **how: Any) -> MaxlakeError:
    """The error of a write that must not be taken."""
    write, *rest = arguments
    with pytest.raises(MaxlakeError) as caught:
        write(*rest, **how)
    return caught.value


def codes(error: MaxlakeError) -> tuple[ErrorCode, int]:
    return error.code, error.status_code


FENCED = (ErrorCode.NO_PERMISSION, 403)
MISMATCH = (ErrorCode.ROW_OFFSET_MISMATCH, 409)
BAD_ROWS = pa.table({"id": ["no number"]})


def files(project: Project) -> list[Path]:
    return [path for path in project.lake.data.rglob("*") if path.is_file()]


def test_rows_follow_one_another(project: Project) -> None:
    stream = Stream(Scene(project))
    assert stream.write(0, [1, 2]).exactly_once_row_offset == 2
    assert stream.write(2, [3]).exactly_once_row_offset == 3
    assert stream.claim()[1] == 3
    assert stream.committed() == [1, 2, 3]


def test_a_repetition_is_answered_as_the_first_time(project: Project) -> None:
    stream = Stream(Scene(project))
    first = stream.write(0, [1, 2], count=5)
    assert "data_incomplete" in first.warning_message
    stream.write(2, [3])
    assert stream.write(0, [1, 2], count=5) == stream.write(0, [1, 2]) == first
    assert stream.write(2, [3]).exactly_once_row_offset == 3
    assert len(files(project)) == 2
    assert stream.committed() == [1, 2, 3]


@pytest.mark.parametrize(
    ("offset", "ids"),
    [(0, [1]), (0, [1, 2, 9]), (0, []), (1, [2]), (4, [4]), (2**64 - 1, [4])],
    ids=["shorter", "longer", "empty", "within", "gap", "beyond databases"],
)
def test_what_is_neither_next_nor_a_repetition_is_refused(
    project: Project, offset: int, ids: list[int]
) -> None:
    stream = Stream(Scene(project))
    stream.write(0, [1, 2])
    stream.write(2, [3])
    error = refusal(stream.write, offset, ids)
    assert codes(error) == MISMATCH
    assert "RowOffset 2" in str(error) if offset == 0 else "RowOffset 3" in str(error)
    assert stream.state().status is StreamState.OPEN
    assert stream.write(3, [4]).exactly_once_row_offset == 4
    assert stream.committed() == [1, 2, 3, 4]


def test_only_the_latest_token_writes(project: Project) -> None:
    stream = Stream(Scene(project))
    first = stream.token
    stream.write(0, [1])
    second = stream.open()
    third, offset = stream.claim()
    assert len({first, second, third}) == 3
    assert offset == 1
    for token in (first, second, "", "é", third + "x"):
        error = refusal(stream.write, 1, [2], token)
        assert codes(error) == FENCED
        assert not token or token not in str(error)
        assert codes(refusal(stream.write, 0, [1], token)) == FENCED  # not even what it has written
    stream.write(1, [2])
    assert stream.committed() == [1, 2]


def test_bad_rows_of_a_fenced_writer_harm_nobody(project: Project) -> None:
    """It loses the stream while it sends: what it then has wrong is its own affair."""
    stream = Stream(Scene(project))
    old = stream.token

    class Overtaken(io.BytesIO):
        def readinto(self, into: memoryview, /) -> int:
            if stream.token == old:
                stream.claim()
                stream.write(0, [1])
            return super().readinto(into)

    request = WriteRowsRequest(stream=stream.address, row_offset=0, access_token=old)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, BAD_ROWS.schema) as writer:
        writer.write_table(BAD_ROWS)
    error = refusal(uploads.write, project, stream.scene.target, request, Overtaken(sink.getvalue()), ME)
    assert error.code is ErrorCode.SCHEMA_MISMATCH
    assert stream.state().status is StreamState.OPEN
    assert stream.committed() == [1]


def test_rows_of_a_writer_fenced_meanwhile_are_not_stored(project: Project) -> None:
    stream = Stream(Scene(project))
    old = stream.token

    class Overtaken(io.BytesIO):
        def readinto(self, into: memoryview, /) -> int:
            if stream.token == old:
                stream.claim()
            return super().readinto(into)

    sink = io.BytesIO()
    rows = pa.table({"id": [1]})
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    request = WriteRowsRequest(stream=stream.address, row_offset=0, access_token=old)
    body = Overtaken(sink.getvalue())
    assert codes(refusal(uploads.write, project, stream.scene.target, request, body, ME)) == FENCED
    assert not files(project)
    assert stream.committed() == []


def test_modes_do_not_mix(project: Project) -> None:
    scene = Scene(project)
    plain = scene.stream(scene.session())
    scene.write(plain, [1])
    request = WriteRowsRequest(stream=plain, row_offset=1, access_token="whatever")
    error = refusal(uploads.write, project, scene.target, request, io.BytesIO(), ME)
    assert codes(error) == (ErrorCode.INVALID_STREAM_STATUS, 409)
    stream = Stream(scene, plain.session_id)  # from here on exactly-once, behind the row it has
    assert stream.claim()[1] == 1
    error = refusal(scene.write, plain, [2])
    assert codes(error) == MISMATCH
    assert "RowOffset=1" in str(error)
    assert stream.write(1, [2]).exactly_once_row_offset == 2
    assert stream.committed() == [1, 2]


def test_bad_rows_end_the_version_and_leave_the_offset(project: Project) -> None:
    stream = Stream(Scene(project))
    stream.write(0, [1, 2])
    assert refusal(stream.send, 2, BAD_ROWS).code is ErrorCode.SCHEMA_MISMATCH
    state = stream.state()
    assert (state.status, state.error_code, state.record_count) == ("ERROR", "SCHEMA_MISMATCH", 2)
    assert codes(refusal(stream.write, 2, [3])) == (ErrorCode.INVALID_STREAM_STATUS, 409)
    assert stream.write(0, [1, 2]).exactly_once_row_offset == 2  # taken, and said so again
    old = stream.token
    stream.open(version=1)
    assert stream.claim()[1] == 0
    assert codes(refusal(stream.write, 0, [7], old)) == FENCED
    stream.write(0, [7, 8, 9])
    assert stream.write(0, [7, 8, 9]).exactly_once_row_offset == 3
    assert stream.committed() == [7, 8, 9]


def test_a_version_made_without_the_mode_is_without_it(project: Project) -> None:
    stream = Stream(Scene(project))
    stream.write(0, [1])
    again = stream.scene.stream(stream.session, version=1)
    stream.scene.write(again, [2])
    stream.address = again
    assert stream.committed() == [2]


def test_uploads_of_one_offset_at_once_are_stored_once(project: Project) -> None:
    stream = Stream(Scene(project))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda number: stream.write(0, [1, 2], retry_id=f"{number}"), range(4)))
    assert len(set(answers)) == 1
    assert len(files(project)) == 1
    assert stream.committed() == [1, 2]


def test_different_uploads_of_one_offset_at_once_leave_one(project: Project) -> None:
    stream = Stream(Scene(project))

    def write(number: int) -> int | ErrorCode:
        try:
            stream.write(0, [number] * number)
        except MaxlakeError as error:
            return error.code
        return number

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(write, range(1, 5)))
    (taken,) = [answer for answer in answers if isinstance(answer, int)]
    assert answers.count(ErrorCode.ROW_OFFSET_MISMATCH) == 3
    assert len(files(project)) == 1
    assert stream.committed() == [taken] * taken


def test_uploads_without_rows_move_nothing(project: Project) -> None:
    stream = Stream(Scene(project))
    for _ in range(2):
        assert stream.write(0, []).exactly_once_row_offset == 0
    stream.write(0, [1])
    assert stream.committed() == [1]


def test_an_aborted_or_committed_session_takes_nothing(project: Project) -> None:
    scene = Scene(project)
    for finish in (scene.commit, lambda session: write_sessions.abort(project, scene.target, session, ME)):
        stream = Stream(scene)
        stream.write(0, [1])
        scene.close(stream.address)
        assert stream.write(0, [1]).exactly_once_row_offset == 1
        finish(stream.session)
        assert refusal(stream.write, 0, [1]).code is ErrorCode.INVALID_SESSION_STATUS
    with project.lake.database.read() as connection:
        assert not connection.execute(store.batch.select()).all()
    assert scene.ids() == [1]


def test_no_token_is_kept(project: Project) -> None:
    stream = Stream(Scene(project))
    with project.lake.database.read() as connection:
        (row,) = connection.execute(store.stream.select()).all()
    assert stream.token not in str(row)
    assert len(row.token_hash) == 64
    assert exactly_once.new_token().text != exactly_once.new_token().text


class ExactlyOnceMachine(RuleBasedStateMachine):
    """One stream, its writers, and what a list says it must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.service = Service.open(Path(self.directory.name), project="p")
        self.stream = Stream(Scene(self.service.project("p")))
        self.fenced: list[str] = []
        self.batches: list[list[int]] = []
        self.version = 0
        self.next_id = 0
        self.failed = False

    def teardown(self) -> None:
        if self.failed:
            self.a_new_version()
        taken = self.taken()
        assert self.stream.committed() == taken
        self.service.close()
        self.directory.cleanup()

    def taken(self) -> list[int]:
        return [number for batch in self.batches for number in batch]

    def offset(self, batch: int) -> int:
        return sum(len(each) for each in self.batches[:batch])

    def new_ids(self, count: int) -> list[int]:
        self.next_id += count
        return list(range(self.next_id - count, self.next_id))

    @initialize(count=st.integers(1, 4))
    def first_rows(self, count: int) -> None:
        self.rows(count)

    @precondition(lambda self: not self.failed)
    @rule(count=st.integers(0, 4))
    def rows(self, count: int) -> None:
        ids = self.new_ids(count)
        end = len(self.taken())
        assert self.stream.write(end, ids).exactly_once_row_offset == end + count
        if count:
            self.batches.append(ids)

    @precondition(lambda self: self.batches)
    @rule(data=st.data(), more=st.integers(-1, 1))
    def an_earlier_batch(self, data: st.DataObject, more: int) -> None:
        number = data.draw(st.integers(0, len(self.batches) - 1))
        count = len(self.batches[number]) + more
        if more:
            assert codes(refusal(self.stream.write, self.offset(number), [0] * count)) == MISMATCH
        else:
            answer = self.stream.write(self.offset(number), self.batches[number])
            assert answer.exactly_once_row_offset == self.offset(number + 1)

    @rule(offset=st.integers(0, 30))
    def a_wrong_offset(self, offset: int) -> None:
        starts = [self.offset(number) for number in range(len(self.batches) + 1)]
        if offset not in starts:
            assert codes(refusal(self.stream.write, offset, [0])) == MISMATCH

    @rule(create=st.booleans())
    def another_writer(self, create: bool) -> None:
        old = self.stream.token
        if create and not self.failed:
            self.stream.open()
        else:
            assert self.stream.claim()[1] == len(self.taken())
        self.fenced.append(old)

    @precondition(lambda self: self.fenced)
    @rule(data=st.data())
    def a_fenced_writer(self, data: st.DataObject) -> None:
        token = data.draw(st.sampled_from(self.fenced))
        offset = data.draw(st.sampled_from([0, len(self.taken())]))
        bad = data.draw(st.booleans())
        rows = BAD_ROWS if bad else pa.table({"id": [0]})
        assert codes(refusal(self.stream.send, offset, rows, token)) == FENCED

    @precondition(lambda self: not self.failed)
    @rule()
    def bad_rows(self) -> None:
        assert refusal(self.stream.send, len(self.taken()), BAD_ROWS).code is ErrorCode.SCHEMA_MISMATCH
        self.failed = True

    @precondition(lambda self: self.failed)
    @rule()
    def rows_after_failure(self) -> None:
        error = refusal(self.stream.write, len(self.taken()), [0])
        assert error.code is ErrorCode.INVALID_STREAM_STATUS

    @rule()
    def a_new_version(self) -> None:
        self.fenced.append(self.stream.token)
        self.version += 1
        self.stream.open(self.version)
        self.batches, self.failed = [], False

    @rule()
    def a_restart(self) -> None:
        self.service.close()
        self.service = Service.open(Path(self.directory.name), project="p")
        self.stream.scene.project = self.service.project("p")

    @invariant()
    def the_stream_has_what_was_taken(self) -> None:
        state = self.stream.state()
        assert state.record_count == len(self.taken())
        assert state.status is (StreamState.ERROR if self.failed else StreamState.OPEN)


def test_any_course_of_events() -> None:
    run_state_machine_as_test(
        ExactlyOnceMachine,
        settings=settings(max_examples=12, stateful_step_count=20, deadline=None),
    )
