import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maxlake.protocol.enums import WriteMode
from maxlake.protocol.errors import ErrorCode, MaxlakeError
from maxlake.protocol.messages.base import decode
from maxlake.protocol.messages.blocks import BlockAddress, CreateBlockSessionRequest
from maxlake.protocol.messages.write import CommitRequest, StreamAddress, WriteRowsResponse
from maxlake.service import blocks, write_commits, write_sessions
from maxlake.service.project import Project
from tests.service.scene import ME, Scene


class BlockScene(Scene):
    """A table and shorthands for block calls by one principal."""

    def blocks(self, spec: str = "pt=a", **body: Any) -> str:
        request = decode(msgspec.json.encode({"PartitionSpec": spec} | body), CreateBlockSessionRequest)
        return blocks.create(self.project, self.target, request, ME).session_id

    def block(
        self, session: str, number: int, ids: list[int], attempt: int = 0, **columns: Any
    ) -> WriteRowsResponse:
        table = pa.table({"id": pa.array(ids, pa.int64()), **columns})
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        address = BlockAddress(session_id=session, block_number=number, attempt_number=attempt)
        return blocks.write(self.project, self.target, address, io.BytesIO(sink.getvalue()), ME)

    def commit_blocks(self, session: str, *written: WriteRowsResponse | str) -> None:
        messages = tuple(each if isinstance(each, str) else each.commit_message for each in written)
        request = CommitRequest(commit_messages=messages)
        blocks.commit(self.project, self.target, session, request, ME)

    def files(self) -> list[Path]:
        return [path for path in self.project.lake.data.rglob("*") if path.is_file()]


def refused(call: Any, code: ErrorCode = ErrorCode.INVALID_ARGUMENT) -> None:
    with pytest.raises(MaxlakeError) as caught:
        call()
    assert caught.value.code is code


def test_blocks_are_visible_at_commit_in_the_order_of_their_numbers(project: Project) -> None:
    scene = BlockScene(project)
    session = scene.blocks()
    written = [scene.block(session, number, [10 * number, 10 * number + 1]) for number in (2, 0, 1)]
    assert scene.ids() == []
    assert [each.record_count for each in written] == [2, 2, 2]
    scene.commit_blocks(session, *written)
    assert scene.ids() == [0, 1, 10, 11, 20, 21]
    scene.commit_blocks(session, *written)
    scene.commit_blocks(session, "its answer got lost")
    assert scene.ids() == [0, 1, 10, 11, 20, 21]


def test_what_is_not_listed_is_gone(project: Project) -> None:
    scene = BlockScene(project)
    session = scene.blocks()
    scene.block(session, 0, [1])
    kept = scene.block(session, 0, [2], attempt=7)
    scene.block(session, 1, [3])
    scene.commit_blocks(session, kept)
    assert scene.ids() == [2]
    assert len(scene.files()) == 1


def test_a_session_looks_the_same_later(project: Project) -> None:
    scene = BlockScene(project, partitions="pt string, k bigint")
    body = {"PartitionSpec": "pt=a", "EnhanceWriteCheck": True}
    request = decode(msgspec.json.encode(body), CreateBlockSessionRequest)
    created = blocks.create(project, scene.target, request, ME)
    assert blocks.get(project, scene.target, created.session_id, ME) == created
    assert [column.name for column in created.data_schema.data_columns] == ["id"]
    assert [column.name for column in created.data_schema.partition_columns] == ["k"]
    assert (created.session_status, created.enhance_write_check) == ("NORMAL", True)
    assert created.max_block_number > 0
    scene.commit_blocks(created.session_id)
    assert blocks.get(project, scene.target, created.session_id, ME).session_status == "COMMITTED"


def test_a_repeated_attempt_is_answered_as_the_first_time(project: Project) -> None:
    scene = BlockScene(project)
    session = scene.blocks()
    first = scene.block(session, 0, [1, 2])
    assert scene.block(session, 0, [3]) == first
    scene.commit_blocks(session, first)
    assert scene.ids() == [1, 2]


def test_attempts_repeated_at_once_are_stored_once(project: Project) -> None:
    scene = BlockScene(project)
    session = scene.blocks()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: scene.block(session, 0, [1, 2]), range(4)))
    assert len(set(answers)) == 1
    assert len(scene.files()) == 1


def test_messages_nobody_was_given_commit_nothing(project: Project) -> None:
    scene = BlockScene(project)
    mine, other = scene.blocks(), scene.blocks()
    message = scene.block(mine, 0, [1]).commit_message
    foreign = scene.block(other, 0, [2]).commit_message
    told = msgspec.json.decode(message)
    assert told["BlockNumber"] == told["AttemptNumber"] == 0
    assert told["WriterStats"] == {"RecordNum": 1}
    forged = msgspec.json.encode(told | {"Proof": "guessed"}).decode()
    more = msgspec.json.encode(told | {"WriterStats": {"RecordNum": 2}}).decode()
    for bad in (foreign, forged, more, "", "{}"):
        refused(lambda bad=bad: scene.commit_blocks(mine, message, bad))
    refused(lambda: scene.commit_blocks(mine, message, message))
    refused(lambda: scene.commit_blocks(mine, message, scene.block(mine, 0, [3], attempt=1)))
    refused(lambda: blocks.commit(project, scene.target, mine, CommitRequest(), ME))
    assert scene.ids() == []
    scene.commit_blocks(mine, message)
    assert scene.ids() == [1]


def test_overwrite(project: Project) -> None:
    scene = BlockScene(project)
    scene.append([1], "pt=a")
    scene.append([2], "pt=b")
    session = scene.blocks(Overwrite="TRUE")
    scene.commit_blocks(session, scene.block(session, 0, [3]))
    assert (scene.ids("pt=a"), scene.ids("pt=b")) == ([3], [2])
    scene.commit_blocks(scene.blocks(Overwrite=True))
    assert scene.ids() == [2]


def test_limits_of_dynamic_partitions(project: Project) -> None:
    scene = BlockScene(project)
    dynamic = lambda **options: scene.blocks("", DynamicPartitionOptions=options)  # noqa: E731
    session = dynamic(InvalidStrategy="Exception", InvalidLimit=-1, DynamicPartitionLimit=2)
    one = scene.block(session, 0, [1, 2], pt=pa.array(["a", "b"]))
    two = scene.block(session, 1, [3], pt=pa.array(["c"]))
    refused(lambda: scene.block(session, 2, [4, 5, 6], pt=pa.array(["a", "b", "c"])))
    refused(lambda: scene.commit_blocks(session, one, two))
    scene.commit_blocks(session, one)
    assert scene.ids() == [1, 2]
    session = dynamic(DynamicPartitionLimit=-1)
    scene.commit_blocks(session, scene.block(session, 0, [7, 8, 9], pt=pa.array(["a", "b", "c"])))
    assert len(scene.ids()) == 5
    for bad in ({"DynamicPartitionLimit": -2}, {"InvalidStrategy": "Skip"}):
        refused(lambda bad=bad: dynamic(**bad))
    session = scene.blocks("pt=z", DynamicPartitionOptions={"DynamicPartitionLimit": 0})
    scene.commit_blocks(session, scene.block(session, 0, [10]))
    assert scene.ids("pt=z") == [10]


def test_bad_rows_leave_their_attempt_free(project: Project) -> None:
    scene = BlockScene(project)
    session = scene.blocks()
    refused(lambda: scene.block(session, 0, [1], nobody=pa.array([1])), ErrorCode.SCHEMA_MISMATCH)
    assert scene.files() == []
    scene.commit_blocks(session, scene.block(session, 0, [1]))
    assert scene.ids() == [1]


def test_numbers_out_of_bounds_are_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = BlockScene(project)
    session = scene.blocks()
    refused(lambda: scene.block(session, blocks.MAX_BLOCKS, [1]))
    refused(lambda: scene.block(session, 0, [1], attempt=2**63))
    monkeypatch.setattr(blocks, "MAX_BLOCK_ATTEMPTS", 1)
    last = scene.block(session, blocks.MAX_BLOCKS - 1, [1], attempt=2**63 - 1)
    refused(lambda: scene.block(session, 0, [1]))
    scene.commit_blocks(session, last)
    assert scene.ids() == [1]


def test_abort_and_its_end(project: Project) -> None:
    scene = BlockScene(project)
    session = scene.blocks()
    written = scene.block(session, 0, [1])
    write_sessions.abort(project, scene.target, session, ME)
    assert scene.files() == []
    refused(lambda: scene.commit_blocks(session, written), ErrorCode.INVALID_SESSION_STATUS)
    refused(lambda: scene.block(session, 1, [2]), ErrorCode.INVALID_SESSION_STATUS)
    refused(lambda: blocks.get(project, scene.target, session, ME), ErrorCode.NO_SUCH_OBJECT)


def test_streams_and_blocks_do_not_mix(project: Project) -> None:
    scene = BlockScene(project)
    form = lambda session, mode=None: write_sessions.form_of(  # noqa: E731
        project, scene.target, session, mode, ME
    )
    taking_blocks, taking_streams = scene.blocks(), scene.session()
    assert form(taking_blocks) is form(taking_blocks, WriteMode.BATCH_COMPATIBLE)
    assert form(taking_blocks) is write_sessions.WriteForm.BLOCKS
    assert form(taking_streams) is form(taking_streams, WriteMode.BATCH) is write_sessions.WriteForm.STREAMS
    refused(lambda: form(taking_blocks, WriteMode.BATCH))
    refused(lambda: form(taking_streams, WriteMode.BATCH_COMPATIBLE))
    refused(lambda: form(taking_streams, WriteMode.STREAMING))
    refused(lambda: scene.block(taking_streams, 0, [1]))
    refused(lambda: scene.commit_blocks(taking_streams))
    request = CommitRequest(commit_messages=())
    refused(lambda: write_commits.commit(project, scene.target, taking_streams, request, ME))
    refused(lambda: form("nobody"), ErrorCode.NO_SUCH_OBJECT)
    assert scene.files() == []


def test_quota_is_free(project: Project) -> None:
    scene = BlockScene(project)
    session = scene.blocks()
    address = StreamAddress(session_id=session, stream_id="block-0-attempt-0", stream_version=1)
    assert blocks.reserve(project, scene.target, address, ME).quota_token
    write_sessions.abort(project, scene.target, session, ME)
    refused(lambda: blocks.reserve(project, scene.target, address, ME), ErrorCode.INVALID_SESSION_STATUS)


NUMBERS = st.integers(0, 3)
WRITES = st.lists(st.tuples(NUMBERS, st.integers(0, 2), st.integers(0, 3)), max_size=12)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), writes=WRITES, overwrite=st.booleans())
def test_model(project: Project, data: st.DataObject, writes: list[Any], overwrite: bool) -> None:
    """Whatever is attempted, repeated and listed: exactly the listed attempts are there, by block number."""
    scene = object.__new__(BlockScene)
    scene.project = project
    scene.sql("DROP TABLE IF EXISTS t;")
    BlockScene.__init__(scene, project)
    scene.append([-1])
    session = scene.blocks(Overwrite=overwrite)
    model: dict[tuple[int, int], tuple[list[int], str]] = {}
    for position, (number, attempt, count) in enumerate(writes):
        ids = [100 * position + row for row in range(count)]
        answer = scene.block(session, number, ids, attempt)
        first, message = model.setdefault((number, attempt), (ids, answer.commit_message))
        assert (answer.record_count, answer.commit_message) == (len(first), message)
    attempts = {number: [a for n, a in model if n == number] for number, _ in model}
    listed = {
        number: data.draw(st.sampled_from(choices), label=f"attempt at block {number}")
        for number, choices in attempts.items()
        if data.draw(st.booleans(), label=f"block {number} is listed")
    }
    order = data.draw(st.permutations(sorted(listed)), label="order")
    scene.commit_blocks(session, *(model[number, listed[number]][1] for number in order))
    want = [] if overwrite else [-1]
    for number in sorted(listed):
        want += model[number, listed[number]][0]
    assert scene.ids() == want


def test_blocks_of_another_schema_version_are_refused(project: Project) -> None:
    scene = BlockScene(project)
    strict, lenient = scene.blocks(), scene.blocks(Flags={"enable_schema_evolution": "true"})
    written = [scene.block(session, 0, [number]) for number, session in enumerate((strict, lenient))]
    assert scene.sql("ALTER TABLE t ADD COLUMNS (n bigint);").succeeded
    refused(lambda: scene.commit_blocks(strict, written[0]), ErrorCode.SCHEMA_MISMATCH)
    scene.commit_blocks(strict, scene.block(strict, 0, [2], attempt=1))
    scene.commit_blocks(lenient, written[1])
    assert sorted(scene.ids()) == [1, 2]
