import io
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import func, select

from maxlake.lake import commits, snapshots
from maxlake.protocol.enums import WriteMode
from maxlake.protocol.errors import BadRequestError, ErrorCode, MaxlakeError
from maxlake.protocol.messages.streaming import FlushResponse
from maxlake.protocol.messages.write import CreateWriteSessionRequest, StreamAddress, WriteRowsRequest
from maxlake.protocol.targets import TableTarget
from maxlake.service import maintenance, session_expiry, store, streaming, uploads, write_sessions
from maxlake.service.project import Project
from maxlake.service.service import Service
from tests.postgresql import Postgresql
from tests.service.scene import ME, Scene

STREAM = StreamAddress(session_id="default", stream_id="s1", stream_version=1)


def body(ids: list[int], to: str | None = "a", **columns: Any) -> io.BytesIO:
    table = pa.table({"id": pa.array(ids, pa.int64()), **columns})
    if to is not None:
        table = table.append_column("pt", pa.array([to] * len(ids), pa.string()))
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return io.BytesIO(sink.getvalue())


def flush(
    scene: Scene, rows: io.BytesIO, retry_id: str = "", stream: StreamAddress = STREAM
) -> FlushResponse:
    request = WriteRowsRequest(stream=stream, retry_id=retry_id)
    return streaming.write(scene.project, scene.target, request, rows)


def files(project: Project) -> list[Path]:
    return [path for path in project.lake.data.rglob("*") if path.is_file()]


def newest(project: Project) -> int:
    with project.lake.database.read() as connection:
        return snapshots.latest(connection)


def remembered(project: Project) -> int:
    with project.lake.database.read() as connection:
        return connection.execute(select(func.count()).select_from(store.flush)).scalar_one()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> list[int]:
    """Lets the flushes of as many threads as the test's parameter arrive before the first group begins."""
    barrier, sizes, run = Barrier(request.param), [], streaming._commit
    first = iter([True])

    def stored_together(*arguments: Any) -> uploads.StoredRows:
        stored = uploads.store_rows(*arguments)
        barrier.wait(20)
        return stored

    def slow_at_first(project: Project, group: Any) -> Any:
        if next(first, False):
            while len(project.flushes(group[0].table)._waiting) < request.param - len(group):
                pass
        sizes.append(len(group))
        return run(project, group)

    monkeypatch.setattr(streaming, "store_rows", stored_together)
    monkeypatch.setattr(streaming, "_commit", slow_at_first)
    return sizes


def test_rows_are_visible_when_the_answer_is_there(project: Project) -> None:
    scene = Scene(project)
    streaming.create_stream(project, scene.target, STREAM)
    first = flush(scene, body([1, 2]))
    assert scene.ids() == [1, 2]
    second = flush(scene, body([3], "b"))
    assert (scene.ids("pt=a"), scene.ids("pt=b")) == ([1, 2], [3])
    assert (first.record_count, second.record_count) == (2, 1)
    assert 0 < int(first.staging_id) < int(second.staging_id) == newest(project)
    assert first.commit_message


def test_an_upload_without_rows_changes_nothing(project: Project) -> None:
    scene = Scene(project)
    before = newest(project)
    answer = flush(scene, body([]))
    assert (answer.record_count, answer.staging_id, newest(project)) == (0, str(before), before)
    assert files(project) == []


def test_many_partitions_at_once(project: Project) -> None:
    scene = Scene(project)
    rows = body([1, 2, 3], None, pt=pa.array(["a", "b", "a"]))
    assert flush(scene, rows).record_count == 3
    assert (scene.ids("pt=a"), scene.ids("pt=b")) == ([1, 3], [2])


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (lambda: body([1], None), ErrorCode.INVALID_ARGUMENT),
        (lambda: body([1], nobody=pa.array([2])), ErrorCode.SCHEMA_MISMATCH),
        (lambda: io.BytesIO(b"no arrow"), ErrorCode.DATA_ERROR),
        (lambda: io.BytesIO(body([1]).getvalue()[:-8]), ErrorCode.DATA_ERROR),
    ],
)
def test_bad_rows_are_refused_whole_and_spoil_nothing(project: Project, rows: Any, code: ErrorCode) -> None:
    scene = Scene(project)
    with pytest.raises(MaxlakeError) as caught:
        flush(scene, rows(), "again")
    assert caught.value.code is code
    assert (scene.ids(), files(project)) == ([], [])
    flush(scene, body([1]), "again")
    assert scene.ids() == [1]


def test_a_repeated_upload_is_answered_as_the_first_time(project: Project) -> None:
    scene = Scene(project)
    answer = flush(scene, body([1]), "again")
    flush(scene, body([2]), "another")
    repeated = io.BytesIO(b"whatever comes a second time")
    assert flush(scene, repeated, "again") == answer
    assert repeated.read() == b""
    other = StreamAddress(session_id="default", stream_id="s2", stream_version=1)
    assert flush(scene, body([3]), "again", other) != answer
    assert scene.ids() == [1, 2, 3]


def test_a_repetition_is_recognised_after_a_restart(tmp_path: Path, database: Postgresql | None) -> None:
    url = database.url if database else None
    answers = []
    for life in range(2):
        name = f"restart{abs(hash(str(tmp_path)))}"
        service = Service.open(tmp_path, project=name, database_url=url)
        scene = Scene(service.project(name)) if life == 0 else scene_of(service.project(name))
        answers.append(flush(scene, body([1]), "again"))
        assert scene.ids() == [1]
        service.close()
    assert answers[0] == answers[1]


def scene_of(project: Project) -> Scene:
    """The scene another life of the service has made."""
    scene = object.__new__(Scene)
    scene.project, scene.target = project, TableTarget(project.name, "default", "t")
    return scene


def test_the_memory_of_uploads_is_bounded(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(project)
    for number in range(5):
        flush(scene, body([number]), f"id{number}")
    monkeypatch.setattr(session_expiry, "MAX_REMEMBERED_FLUSHES", 3)
    session_expiry.forget(project, datetime.now(UTC))
    assert remembered(project) == 3
    flush(scene, body([4]), "id4")
    assert scene.ids() == [0, 1, 2, 3, 4]
    session_expiry.forget(project, datetime.now(UTC) + timedelta(days=2))
    assert remembered(project) == 0


@pytest.mark.parametrize("held", [8], indirect=True)
def test_those_who_flush_together_share_a_version(project: Project, held: list[int]) -> None:
    scene = Scene(project)
    before = newest(project)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: flush(scene, body([number, number + 100])), range(8)))
    assert held == [1, 7]
    assert newest(project) == before + 2
    assert {answer.staging_id for answer in answers} == {str(before + 1), str(before + 2)}
    assert sorted(scene.ids()) == [*range(8), *range(100, 108)]


@pytest.mark.parametrize("held", [4], indirect=True)
def test_repetitions_in_one_group_are_stored_once(project: Project, held: list[int]) -> None:
    scene = Scene(project)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: flush(scene, body([1, 2]), "again"), range(4)))
    assert held == [1, 3]
    assert len(set(answers)) == 1
    assert scene.ids() == [1, 2]
    assert len(files(project)) == 1


@pytest.mark.parametrize("held", [6], indirect=True)
def test_one_bad_flush_fails_no_other(
    project: Project, held: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(project)
    append = commits.commit

    def spoiled(connection: Any, table: Any, parts: Any, **more: Any) -> None:
        append(connection, table, parts, **more)
        if any(part.record_count == 3 for part in parts):
            raise ValueError("nobody expected this")

    monkeypatch.setattr(commits, "commit", spoiled)

    def outcome(number: int) -> object:
        try:
            return flush(scene, body([number] * (3 if number == 4 else 1))).record_count
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(outcome, range(6)))
    assert outcomes == [1, 1, 1, 1, "nobody expected this", 1]
    assert sorted(scene.ids()) == [0, 1, 2, 3, 5]
    assert len(files(project)) == 5


@pytest.mark.parametrize("held", [3], indirect=True)
def test_a_table_dropped_meanwhile_takes_nothing(
    project: Project, held: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(project)
    run, dropped = streaming._commit, []

    def drop_first(project: Project, group: Any) -> Any:
        if not dropped:
            dropped.append(scene.sql("DROP TABLE t;"))
            assert scene.sql("CREATE TABLE t (id bigint) PARTITIONED BY (pt string);").succeeded
        return run(project, group)

    monkeypatch.setattr(streaming, "_commit", drop_first)

    def code(number: int) -> ErrorCode | None:
        try:
            flush(scene, body([number]))
        except MaxlakeError as error:
            return error.code
        return None

    with ThreadPoolExecutor(3) as pool:
        assert set(pool.map(code, range(3))) == {ErrorCode.NO_SUCH_TABLE}
    assert scene.ids() == []
    assert files(project) == []


def test_nothing_is_lost_or_doubled_under_load(project: Project) -> None:
    scene = Scene(project)
    before = newest(project)

    def flush_ten(writer: int) -> list[str]:
        return [
            flush(scene, body([100 * writer + number]), f"{writer}-{number}").staging_id
            for number in range(10)
        ]

    with ThreadPoolExecutor(8) as pool:
        staged = list(pool.map(flush_ten, range(8)))
    assert sorted(scene.ids()) == [100 * writer + number for writer in range(8) for number in range(10)]
    assert all(ids == sorted(ids, key=int) and len(set(ids)) == 10 for ids in staged)
    assert newest(project) - before == len({each for ids in staged for each in ids}) <= 80


def test_a_flush_cut_before_its_commit_leaves_a_file_that_maintenance_collects(project: Project) -> None:
    scene = Scene(project)
    flush(scene, body([1]))
    table = streaming._table(project, scene.target)
    uploads.store_rows(project, streaming._session(table, {}), STREAM, body([2]))
    assert scene.ids() == [1]
    assert len(files(project)) == 2
    maintenance.maintain(project, datetime.now(UTC) + timedelta(hours=12))
    assert len(files(project)) == 2
    assert maintenance.maintain(project, datetime.now(UTC) + timedelta(days=2)).orphans_removed == 1
    assert scene.ids() == [1]
    assert len(files(project)) == 1


def test_the_session_has_no_properties(project: Project) -> None:
    scene = Scene(project)
    create = lambda **how: streaming.create_session(  # noqa: E731
        project, scene.target, CreateWriteSessionRequest(**how)
    )
    assert create().session_id == "default"
    for how in ({"flags": {"overwrite": "TRUE"}}, {"overwrite": True}, {"partial_partition_spec": "pt=a"}):
        with pytest.raises(MaxlakeError) as caught:
            create(**how)
        assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert streaming.get_session(project, scene.target).streams == ()
    assert streaming.get_stream(project, scene.target, STREAM).status == "OPEN"
    scene.sql("DROP TABLE t;")
    for call in (
        create,
        lambda: streaming.get_session(project, scene.target),
        lambda: flush(scene, body([1])),
    ):
        with pytest.raises(MaxlakeError) as caught:
            call()
        assert caught.value.code is ErrorCode.NO_SUCH_TABLE


def test_bad_names_and_offsets_are_refused(project: Project) -> None:
    scene = Scene(project)
    bad = StreamAddress(session_id="default", stream_id="../s", stream_version=1)
    offset = WriteRowsRequest(stream=STREAM, row_offset=0)
    long = WriteRowsRequest(stream=STREAM, retry_id="x" * 129)
    for request in (WriteRowsRequest(stream=bad), offset, long):
        with pytest.raises(MaxlakeError) as caught:
            streaming.write(project, scene.target, request, body([1]))
        assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert files(project) == []


def test_the_default_session_is_for_streaming_alone(project: Project) -> None:
    scene = Scene(project)
    form = lambda mode: write_sessions.form_of(project, scene.target, "default", mode, ME)  # noqa: E731
    for mode in (None, WriteMode.STREAMING, WriteMode.STREAMING_REALTIME):
        assert form(mode) is write_sessions.WriteForm.FLUSHES
    for mode in (WriteMode.BATCH, WriteMode.BATCH_COMPATIBLE):
        with pytest.raises(MaxlakeError) as caught:
            form(mode)
        assert caught.value.code is ErrorCode.INVALID_ARGUMENT


def test_writers_go_on_when_the_table_is_altered_and_stop_when_it_is_replaced(project: Project) -> None:
    scene = Scene(project)
    told = streaming.create_stream(project, scene.target, STREAM)
    request = WriteRowsRequest(stream=STREAM, table_id=told.table_id, schema_version=told.schema_version)
    assert scene.sql("ALTER TABLE t ADD COLUMNS (n bigint);").succeeded
    streaming.write(project, scene.target, request, body([1]))
    assert scene.ids() == [1]
    scene.sql("DROP TABLE t;")
    Scene(project)
    with pytest.raises(MaxlakeError) as caught:
        streaming.write(project, scene.target, request, body([1]))
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


@pytest.mark.parametrize("held", [3], indirect=True)
def test_rows_older_than_a_column_that_needs_values_are_refused(
    project: Project, held: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(project)
    check = streaming.schema_versions.check_values

    def altered(table: Any, parts: Any, where: str) -> None:
        check(table, parts, where)
        if parts[0].record_count == 2:
            raise BadRequestError(ErrorCode.SCHEMA_MISMATCH, "too old", where=where)

    monkeypatch.setattr(streaming.schema_versions, "check_values", altered)

    def outcome(number: int) -> object:
        try:
            return flush(scene, body([number] * (number + 1))).record_count
        except BadRequestError as error:
            return error.code

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(outcome, range(3))) == [1, ErrorCode.SCHEMA_MISMATCH, 3]
    assert sorted(scene.ids()) == [0, 2, 2, 2]
    assert len(files(project)) == 2
