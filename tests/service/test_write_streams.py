"""What streams tell of themselves, and what becomes of them when the table changes (wire.md §8.1, §9)."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pytest
from msgspec import UNSET

from maxlake.protocol.enums import StreamState
from maxlake.protocol.errors import ErrorCode, MaxlakeError
from maxlake.protocol.messages.read import CreateReadSessionRequest, ReadAddress, ReadRowsRequest
from maxlake.protocol.messages.write import StreamAddress, WriteRowsRequest
from maxlake.service import read_sessions, rows, uploads, write_streams
from maxlake.service.project import Project
from tests.service.scene import ME, Scene


def state(scene: Scene, address: StreamAddress) -> Any:
    return write_streams.get(scene.project, scene.target, address, ME)


def refusal(call: Any, *arguments: Any) -> MaxlakeError:
    with pytest.raises(MaxlakeError) as caught:
        call(*arguments)
    return caught.value


def declared(scene: Scene, address: StreamAddress, count: int, declared: int) -> str:
    """Upload ``count`` rows that were declared as ``declared``; return the warning."""
    sink = io.BytesIO()
    table = pa.table({"id": pa.array(range(count), pa.int64())})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    request = WriteRowsRequest(stream=address, count=declared)
    return uploads.write(
        scene.project, scene.target, request, io.BytesIO(sink.getvalue()), ME
    ).warning_message


def closing(scene: Scene, address: StreamAddress) -> str:
    return write_streams.close(scene.project, scene.target, address, ME).warning_message


def content(scene: Scene, *columns: str) -> list[tuple[Any, ...]]:
    session = read_sessions.create(scene.project, scene.target, CreateReadSessionRequest(), ME)
    address = ReadAddress(session_id=session.session_id)
    stream = rows.read(scene.project, scene.target, address, ReadRowsRequest(), ME)
    found = pa.Table.from_batches(stream.batches, stream.schema)
    return sorted(zip(*(found.column(name).to_pylist() for name in columns), strict=True), key=repr)


def test_a_stream_counts_rows_and_bytes(project: Project) -> None:
    scene = Scene(project)
    address = scene.stream(scene.session())
    scene.write(address, [1, 2])
    first = state(scene, address)
    assert (first.status, first.record_count) == (StreamState.OPEN, 2)
    scene.write(address, [3])
    second = state(scene, address)
    assert second.record_count == 3
    assert second.byte_size > first.byte_size > 0
    assert (second.access_token, second.row_offset) == (UNSET, UNSET)


@pytest.mark.parametrize(
    ("counts", "warning"),
    [
        ([(3, 3)], ""),
        ([(3, 0)], ""),
        ([(3, 2)], ""),
        ([(3, 2**64 - 1)], f"data_incomplete: expected {2**63 - 1}, received 3"),
        ([(3, 4)], "data_incomplete: expected 4, received 3"),
        ([(3, 4), (5, 5)], "data_incomplete: expected 9, received 8"),
        # What one upload has too much, or never declared, is not what another lacks.
        ([(3, 4), (5, 0)], "data_incomplete: expected 9, received 8"),
        ([(3, 4), (5, 1)], "data_incomplete: expected 9, received 8"),
    ],
)
def test_rows_that_are_missing_are_told_at_close(
    project: Project, counts: list[tuple[int, int]], warning: str
) -> None:
    scene = Scene(project)
    address = scene.stream(scene.session())
    for count, promised in counts:
        told = declared(scene, address, count, promised)
        assert told.startswith("data_incomplete") == (promised > count)
    assert closing(scene, address) == closing(scene, address) == warning


def test_a_replaced_stream_owes_nothing(project: Project) -> None:
    scene = Scene(project)
    session = scene.session()
    declared(scene, scene.stream(session), 1, 2)
    address = scene.stream(session, version=1)
    assert state(scene, address).record_count == 0
    assert closing(scene, address) == ""


@pytest.mark.parametrize(
    ("table", "code", "word"),
    [
        (pa.table({"id": ["x"]}), ErrorCode.SCHEMA_MISMATCH, "id"),
        (pa.table({"id": [1], "nobody": [2]}), ErrorCode.SCHEMA_MISMATCH, "nobody"),
        (pa.table({"id": pa.array([None], pa.int64())}), ErrorCode.DATA_ERROR, "NOT NULL"),
        (pa.table({"id": [1], "pt": ["other"]}), ErrorCode.DATA_ERROR, "pt=a"),
    ],
)
def test_a_failed_stream_says_why(project: Project, table: pa.Table, code: ErrorCode, word: str) -> None:
    scene = Scene(project, "id bigint NOT NULL")
    address = scene.stream(scene.session())
    error = refusal(scene.write_table, address, table)
    assert error.code is code
    failed = state(scene, address)
    assert (failed.status, failed.error_code) == (StreamState.ERROR, code)
    assert word in failed.error_message
    for call in (lambda: scene.write(address, [1]), lambda: scene.close(address)):
        assert refusal(call).code is ErrorCode.INVALID_STREAM_STATUS


def test_rows_for_the_schema_before_a_change_are_refused(project: Project) -> None:
    scene = Scene(project)
    session = scene.session()
    address = scene.stream(session)
    scene.write(address, [1])
    assert scene.sql("ALTER TABLE t ADD COLUMNS (n bigint DEFAULT 7);").succeeded
    error = refusal(scene.write, address, [2])
    assert (error.code, error.status_code) == (ErrorCode.SCHEMA_MISMATCH, 400)
    assert "schema version 0" in str(error)
    assert "has 1 now" in str(error)
    failed = state(scene, address)
    assert (failed.status, failed.error_code) == (StreamState.ERROR, "SCHEMA_MISMATCH")
    assert (failed.schema_version, failed.latest_schema_version) == (0, 1)
    again = scene.stream(session, version=1)
    assert state(scene, again).schema_version == 1
    scene.write(again, [3])
    scene.close(again)
    scene.commit(session)
    assert content(scene, "id", "n") == [(3, 7)]


def test_a_change_during_an_upload_is_noticed(project: Project) -> None:
    scene = Scene(project)
    address = scene.stream(scene.session())

    class Slow(io.BytesIO):
        def readinto(self, into: memoryview, /) -> int:
            if not self.tell():
                assert scene.sql("ALTER TABLE t CHANGE COLUMN id RENAME TO number;").succeeded
            return super().readinto(into)

    sink = io.BytesIO()
    table = pa.table({"id": [1]})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    request, body = WriteRowsRequest(stream=address), Slow(sink.getvalue())
    error = refusal(uploads.write, project, scene.target, request, body, ME)
    assert error.code is ErrorCode.SCHEMA_MISMATCH
    assert state(scene, address).status is StreamState.ERROR
    assert not [path for path in project.lake.data.rglob("*") if path.is_file()]


def test_the_commit_takes_no_rows_of_before_a_change(project: Project) -> None:
    scene = Scene(project)
    session = scene.session()
    old = scene.stream(session, "old")
    scene.write(old, [1])
    scene.close(old)
    assert scene.sql("ALTER TABLE t ADD COLUMNS (n bigint);").succeeded
    new = scene.stream(session, "new")
    scene.write(new, [2])
    scene.close(new)
    error = refusal(scene.commit, session)
    assert error.code is ErrorCode.SCHEMA_MISMATCH
    assert "stream old" in str(error)
    old = scene.stream(session, "old", version=1)
    scene.write(old, [3])
    scene.close(old)
    scene.commit(session)
    assert content(scene, "id") == [(2,), (3,)]


def test_a_comment_changes_no_schema(project: Project) -> None:
    scene = Scene(project)
    session = scene.session()
    address = scene.stream(session)
    assert scene.sql("ALTER TABLE t CHANGE COLUMN id COMMENT 'a number';").succeeded
    scene.write(address, [1])
    scene.close(address)
    scene.commit(session)


def test_with_schema_evolution_older_streams_are_taken(project: Project) -> None:
    scene = Scene(project, "id bigint, gone string")
    session = scene.session(enable_schema_evolution="true")
    before, across = scene.stream(session, "before"), scene.stream(session, "across")
    scene.write_table(before, pa.table({"id": [1], "gone": ["x"]}))
    scene.write_table(across, pa.table({"id": [2], "gone": ["y"]}))
    scene.close(before)
    changes = (
        "ALTER TABLE t ADD COLUMNS (n bigint NOT NULL DEFAULT 7, m string);",
        "ALTER TABLE t DROP COLUMN gone;",
        "ALTER TABLE t CHANGE COLUMN id RENAME TO number;",
    )
    for change in changes:
        assert scene.sql(change).succeeded
    scene.write_table(across, pa.table({"number": [3]}))
    scene.write_table(across, pa.table({"number": [4], "n": [8], "m": ["new"]}))
    scene.close(across)
    assert state(scene, across).schema_version == 0
    assert state(scene, across).latest_schema_version == 3
    scene.commit(session)
    found = content(scene, "number", "n", "m")
    assert found == [(1, 7, None), (2, 7, None), (3, 7, None), (4, 8, "new")]


def test_even_so_no_row_lacks_a_value_it_must_have(project: Project) -> None:
    scene = Scene(project)
    session = scene.session(enable_schema_evolution=True)
    address = scene.stream(session)
    scene.write(address, [1])
    # The table is empty, so no row stands in the way of a column without a default.
    assert scene.sql("ALTER TABLE t ADD COLUMNS (n bigint NOT NULL);").succeeded
    scene.write_table(address, pa.table({"id": [2], "n": [2]}))
    scene.close(address)
    error = refusal(scene.commit, session)
    assert error.code is ErrorCode.SCHEMA_MISMATCH
    assert "'n'" in str(error)
    address = scene.stream(session, version=1)
    scene.write_table(address, pa.table({"id": [2], "n": [2]}))
    scene.close(address)
    scene.commit(session)
    assert content(scene, "id", "n") == [(2, 2)]


@pytest.mark.parametrize("evolution", [False, True])
def test_schema_versions_a_table_never_had_are_refused(project: Project, evolution: bool) -> None:
    scene = Scene(project)
    address = scene.stream(scene.session(enable_schema_evolution=evolution))
    request = WriteRowsRequest(stream=address, schema_version=1)
    error = refusal(uploads.write, project, scene.target, request, io.BytesIO(), ME)
    assert error.code is ErrorCode.SCHEMA_MISMATCH


def test_rows_for_another_table_are_refused(project: Project) -> None:
    scene = Scene(project)
    address = scene.stream(scene.session())
    request = WriteRowsRequest(stream=address, table_id="123456")
    error = refusal(uploads.write, project, scene.target, request, io.BytesIO(), ME)
    assert error.code is ErrorCode.INVALID_ARGUMENT
    assert state(scene, address).status is StreamState.OPEN
    request = WriteRowsRequest(stream=address, table_id=state(scene, address).table_id, schema_version=0)
    uploads.write(project, scene.target, request, io.BytesIO(), ME)


def test_what_is_not_uploaded_has_its_default(project: Project) -> None:
    scene = Scene(project, "id bigint, n decimal(5,2) NOT NULL DEFAULT 1.5, s string DEFAULT 'x', m string")
    session = scene.session()
    address = scene.stream(session)
    scene.write(address, [1])
    scene.write_table(address, pa.table({"id": [2], "s": pa.array([None], pa.string())}))
    scene.close(address)
    scene.commit(session)
    found = [(number, str(n), s, m) for number, n, s, m in content(scene, "id", "n", "s", "m")]
    assert found == [(1, "1.50", "x", None), (2, "1.50", None, None)]
