"""Tables with a primary key, through sessions, blocks and streaming (wire.md §10, drift.md B.26)."""

from __future__ import annotations

import io
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from copy import copy
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import Connection

from maxlake.lake import ducklake, parts, upsert_files, upserts
from maxlake.lake.lake import Lake
from maxlake.protocol.enums import Operation, SplitMode
from maxlake.protocol.errors import ConflictError, DamageError, ErrorCode, MaxlakeError
from maxlake.protocol.limits import MAX_UPSERT_ATTEMPTS
from maxlake.protocol.messages.blocks import BlockAddress, CreateBlockSessionRequest
from maxlake.protocol.messages.read import (
    CreateReadSessionRequest,
    IncrementalReadOptions,
    ReadAddress,
    ReadRowsRequest,
    ReadSessionResponse,
    SplitOptions,
)
from maxlake.protocol.messages.write import CommitRequest, StreamAddress, WriteRowsRequest
from maxlake.service import (
    blocks,
    read_sessions,
    rows,
    streaming,
    tables,
    write_commits,
    write_sessions,
)
from maxlake.service.project import Project
from tests.service.scene import ME, Scene

COLUMNS = "id bigint, name string not null, n int, primary key (id)"
KEYED = 'TBLPROPERTIES ("transactional"="true")'


def uploaded(
    *rows_: tuple[int, str | None, int | None], operations: list[int | None] | None = None
) -> pa.Table:
    """Rows of the table, and what is to become of them if anything is said."""
    ids, names, numbers = zip(*rows_, strict=True)
    columns = {
        "id": pa.array(ids, pa.int64()),
        "name": pa.array(names, pa.string()),
        "n": pa.array(numbers, pa.int32()),
    }
    if operations is not None:
        columns["__operation"] = pa.array(operations, pa.int8())
    return pa.table(columns)


class KeyedScene(Scene):
    """A table ``t`` keyed by ``id``."""

    def __init__(self, project: Project, columns: str = COLUMNS, partitions: str = "pt string") -> None:
        super().__init__(project, columns, partitions, KEYED)

    def upsert(self, *uploads: pa.Table, spec: str = "pt=a", **flags: Any) -> None:
        session = self.session(spec, **flags)
        for number, each in enumerate(uploads):
            address = self.stream(session, str(number))
            self.write_table(address, each)
            self.close(address)
        self.commit(session)

    def open(self, **options: Any) -> ReadSessionResponse:
        return read_sessions.create(self.project, self.target, CreateReadSessionRequest(**options), ME)

    def table(self, session: ReadSessionResponse, **address: Any) -> pa.Table:
        place = ReadAddress(session_id=session.session_id, **address)
        stream = rows.read(self.project, self.target, place, ReadRowsRequest(), ME)
        return pa.Table.from_batches(stream.batches, stream.schema)

    def read(self, session: ReadSessionResponse, **address: Any) -> list[dict[str, Any]]:
        return self.table(session, **address).to_pylist()

    def names(self, **options: Any) -> dict[int, str]:
        return {row["id"]: row["name"] for row in self.read(self.open(**options))}

    def flush(self, upload: pa.Table, retry_id: str = "") -> Any:
        upload = upload.append_column("pt", pa.array(["a"] * len(upload)))
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, upload.schema) as writer:
            writer.write_table(upload)
        address = StreamAddress(session_id="default", stream_id="s", stream_version=1)
        request = WriteRowsRequest(stream=address, retry_id=retry_id)
        return streaming.write(self.project, self.target, request, io.BytesIO(sink.getvalue()))


@pytest.fixture
def scene(project: Project) -> KeyedScene:
    return KeyedScene(project)


def refused(call: Any) -> MaxlakeError:
    with pytest.raises(MaxlakeError) as caught:
        call()
    return caught.value


def unnamed_files(project: Project) -> set[Path]:
    """Files on disk that no row of the catalog names."""
    with project.lake.database.read() as connection:
        named = {
            Path(row.path).name
            for kind in (ducklake.data_file, ducklake.delete_file)
            for row in connection.execute(kind.select())
        }
    return {path for path in project.lake.data.rglob("*.parquet") if path.name not in named}


def test_uploads_without_operations_are_upserts(scene: KeyedScene) -> None:
    scene.upsert(uploaded((1, "a", 1), (2, "b", 2)))
    scene.upsert(uploaded((2, "c", 3), (3, "d", 4)))
    assert scene.names() == {1: "a", 2: "c", 3: "d"}
    assert tables.get(scene.project, "default", "t").record_count == 3


def test_rows_are_deleted_by_their_key_alone(scene: KeyedScene) -> None:
    scene.upsert(uploaded((1, "a", 1), (2, "b", 2)))
    operations = [None, ord("D"), ord("U")]
    scene.upsert(uploaded((1, "new", 1), (2, None, None), (3, "c", None), operations=operations))
    assert scene.names() == {1: "new", 3: "c"}


def test_streams_count_in_the_order_they_were_made(scene: KeyedScene) -> None:
    scene.upsert(uploaded((1, "first", 1), (2, "first", 1)), uploaded((1, "second", 1)))
    assert scene.names() == {1: "second", 2: "first"}


def test_overwriting_replaces_the_partition(scene: KeyedScene) -> None:
    scene.upsert(uploaded((1, "a", 1), (2, "b", 2)))
    scene.upsert(uploaded((9, "z", 1)), spec="pt=b")
    scene.upsert(uploaded((2, "c", 3), (2, "d", 3)), overwrite=True)
    assert scene.names() == {2: "d", 9: "z"}
    session = scene.session("pt=b", overwrite=True)
    scene.commit(session)
    assert scene.names() == {2: "d"}


@pytest.mark.parametrize(
    ("upload", "code"),
    [
        (uploaded((1, "a", 1), operations=[1]), ErrorCode.DATA_ERROR),
        (uploaded((1, None, 1), operations=[ord("U")]), ErrorCode.DATA_ERROR),
        (uploaded((1, None, 1)), ErrorCode.DATA_ERROR),
        (pa.table({"name": ["a"], "__operation": pa.array([ord("D")], pa.int8())}), ErrorCode.DATA_ERROR),
        (pa.table({"id": [1], "__operation": ["U"]}), ErrorCode.SCHEMA_MISMATCH),
    ],
    ids=["unknown", "not null", "not null by default", "no key", "text"],
)
def test_bad_rows_are_refused(scene: KeyedScene, upload: pa.Table, code: ErrorCode) -> None:
    assert refused(lambda: scene.upsert(upload)).code is code
    assert scene.names() == {}


def test_tables_without_a_key_know_no_operations(project: Project) -> None:
    scene = Scene(project)
    address = scene.stream(scene.session())
    upload = pa.table({"id": [1], "__operation": pa.array([ord("U")], pa.int8())})
    assert refused(lambda: scene.write_table(address, upload)).code is ErrorCode.SCHEMA_MISMATCH


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("id double, primary key (id)", "PRIMARY KEY"),
        ("id array<int>, primary key (id)", "PRIMARY KEY"),
    ],
)
def test_keys_that_cannot_be(project: Project, columns: str, told: str) -> None:
    instance = Scene(project).sql(f"CREATE TABLE u ({columns}) {KEYED};")
    assert not instance.succeeded
    assert told in str(instance)


def test_addresses_count_the_rows_that_are_left(scene: KeyedScene) -> None:
    scene.upsert(uploaded(*((number, "old", number) for number in range(200))))
    gone = [number for number in range(200) if number % 3 == 0]
    scene.upsert(uploaded(*((number, None, None) for number in gone), operations=[ord("D")] * len(gone)))
    scene.upsert(uploaded(*((number, "new", 0) for number in range(1, 50, 3))))
    by_offset = scene.open(split_options=SplitOptions(split_mode=SplitMode.ROW_OFFSET))
    everything = scene.read(by_offset)
    assert by_offset.record_count == len(everything) == 133
    for start in range(0, 133, 20):
        assert scene.read(by_offset, offset=start, count=25) == everything[start : start + 25]
    parallel = scene.open(split_options=SplitOptions(split_mode=SplitMode.PARALLELISM, split_number=7))
    assert [row for split in range(7) for row in scene.read(parallel, index=split)] == everything
    filtered = scene.open(
        split_options=SplitOptions(split_mode=SplitMode.ROW_OFFSET),
        filter_predicate="n >= 100 or name = 'new'",
    )
    wanted = [row for row in everything if row["n"] >= 100 or row["name"] == "new"]
    assert filtered.record_count == len(wanted)
    assert scene.read(filtered) == wanted
    assert scene.read(filtered, offset=30, count=9) == wanted[30:39]
    assert scene.names(filter_predicate="id = 3") == {}


def test_a_session_shows_what_was_there_when_it_began(scene: KeyedScene) -> None:
    scene.upsert(uploaded(*((number, "old", number) for number in range(10))))
    session = scene.open()
    before = scene.read(session)
    scene.upsert(uploaded((1, None, None), (2, "new", 2), operations=[ord("D"), None]))
    assert scene.read(session) == before


@pytest.mark.parametrize("mode", ["append", "cdc"])
def test_changes(scene: KeyedScene, mode: str) -> None:
    scene.upsert(uploaded((1, "a", 1), (2, "b", 2), (3, "c", 3)))
    start = scene.open().latest_version
    scene.upsert(uploaded((1, "new", 1), (2, None, None), (4, "d", 4), operations=[None, ord("D"), None]))
    options = IncrementalReadOptions(mode=mode, start_version=start)
    found = scene.read(scene.open(incremental_read=True, incremental_read_options=options))
    if mode == "append":
        assert sorted(row["name"] for row in found) == ["d", "new"]
        return
    told = {(row["name"], row["__meta_op_type"], row["__meta_is_update"]) for row in found}
    assert told == {("a", 0, 1), ("new", 1, 1), ("b", 0, 0), ("d", 1, 0)}


def test_blocks(scene: KeyedScene) -> None:
    scene.upsert(uploaded((1, "a", 1)))
    request = CreateBlockSessionRequest(partial_partition_spec="pt=a")
    session = blocks.create(scene.project, scene.target, request, ME).session_id
    messages = []
    for number, name in enumerate(["x", "y"]):
        address = BlockAddress(session_id=session, block_number=number, attempt_number=0)
        sink = io.BytesIO()
        upload = uploaded((1, name, 1), (10 + number, name, 1))
        with pa.ipc.new_stream(sink, upload.schema) as writer:
            writer.write_table(upload)
        written = blocks.write(scene.project, scene.target, address, io.BytesIO(sink.getvalue()), ME)
        messages.append(written.commit_message)
    commit = CommitRequest(commit_messages=tuple(reversed(messages)))
    blocks.commit(scene.project, scene.target, session, commit, ME)
    assert scene.names() == {1: "y", 10: "x", 11: "y"}


def test_streamed_rows_replace_others_at_once(scene: KeyedScene) -> None:
    first = scene.flush(uploaded((1, "a", 1), (2, "b", 2)), "one")
    second = scene.flush(uploaded((1, "c", 1), (2, None, None), operations=[ord("U"), ord("D")]), "two")
    assert scene.names() == {1: "c"}
    assert scene.flush(uploaded((1, "a", 1), (2, "b", 2)), "one") == first
    assert int(second.staging_id) > int(first.staging_id)
    assert scene.names() == {1: "c"}


def test_concurrent_upserts_lose_nothing(scene: KeyedScene) -> None:
    """Each writer adds keys of its own and raises one that all share: none is lost, and one value is last."""

    def write(writer: int) -> None:
        for turn in range(4):
            upload = uploaded((writer * 100 + turn + 1, "own", turn), (0, f"{writer}.{turn}", turn))
            scene.flush(upload) if writer % 2 else scene.upsert(upload)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(write, writer) for writer in range(4)]:
            done.result()
    names = scene.names()
    assert sorted(names) == sorted(
        [0, *(writer * 100 + turn + 1 for writer in range(4) for turn in range(4))]
    )
    assert names[0].endswith(".3")


def test_an_upsert_that_never_comes_first_is_a_conflict(
    scene: KeyedScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.upsert(uploaded((1, "a", 1)))
    session = scene.session()
    address = scene.stream(session)
    scene.write_table(address, uploaded((1, "mine", 1)))
    scene.close(address)
    attempts = []

    def outrun(*_: object) -> bool:
        attempts.append(1)
        return False

    monkeypatch.setattr(upserts.Upsert, "apply", outrun)
    with pytest.raises(ConflictError) as caught:
        scene.commit(session)
    assert caught.value.code is ErrorCode.COMMIT_CONFLICT
    assert len(attempts) == MAX_UPSERT_ATTEMPTS
    monkeypatch.undo()
    assert scene.names() == {1: "a"}
    scene.commit(session)
    scene.commit(session)
    assert scene.names() == {1: "mine"}


def test_only_files_of_the_table_are_left(scene: KeyedScene) -> None:
    for number in range(3):
        scene.upsert(uploaded((1, f"{number}", 1), (number + 10, "x", 1)))
        scene.flush(uploaded((2, f"{number}", 1)))
    assert not unnamed_files(scene.project)


def test_older_rows_follow_the_table(scene: KeyedScene) -> None:
    scene.upsert(uploaded((1, "a", 1), (2, "b", 2)))
    assert scene.sql("ALTER TABLE t ADD COLUMNS (more bigint DEFAULT 7);").succeeded
    assert scene.sql("ALTER TABLE t CHANGE COLUMN id key_id bigint;").succeeded
    upload = pa.table({"key_id": [1], "name": ["c"], "more": [8]})
    session = scene.session()
    address = scene.stream(session)
    scene.write_table(address, upload)
    scene.close(address)
    scene.commit(session)
    found = {row["key_id"]: (row["name"], row["more"]) for row in scene.read(scene.open())}
    assert found == {1: ("c", 8), 2: ("b", 7)}


@pytest.mark.parametrize("end", ["commit", "abort", "newer version", "written again"])
@pytest.mark.parametrize("computed", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("overwrite", [False, True], ids=["", "overwrite"])
def test_a_session_that_changes_while_it_is_committed(
    scene: KeyedScene, monkeypatch: pytest.MonkeyPatch, end: str, computed: bool, overwrite: bool
) -> None:
    """Another machine does it, and removes the uploaded files before they are read here, or after that."""
    scene.upsert(uploaded((1, "a", 1)))
    session = scene.session(overwrite=overwrite)
    address = scene.stream(session)
    scene.write_table(address, uploaded((1, "mine", 1)))
    scene.close(address)
    prepare = upserts.prepare
    other = replace(scene.project, lake=Lake(scene.project.lake.database, scene.project.lake.data))

    def changed_meanwhile(*arguments: Any) -> upserts.Upsert | None:
        monkeypatch.undo()
        monkeypatch.setattr(other.lake, "upserting", lambda _: nullcontext())
        found = prepare(*arguments) if computed else None
        if end == "commit":
            write_commits.commit(other, scene.target, session, CommitRequest(), ME)
        elif end == "abort":
            write_sessions.abort(other, scene.target, session, ME)
        else:
            newer = scene.stream(session, version=1)
        if end == "written again":
            scene.write_table(newer, uploaded((1, "again", 1)))
            scene.close(newer)
        return found if computed else prepare(*arguments)

    monkeypatch.setattr(upserts, "prepare", changed_meanwhile)
    refusal = {"abort": ErrorCode.INVALID_SESSION_STATUS, "newer version": ErrorCode.INVALID_STREAM_STATUS}
    if end in refusal:
        assert refused(lambda: scene.commit(session)).code is refusal[end]
    else:
        scene.commit(session)
    assert scene.names() == {1: {"commit": "mine", "written again": "again"}.get(end, "a")}
    assert not any("-commit-" in path.name for path in unnamed_files(scene.project))


def test_a_session_may_write_more_partitions_than_one_upload(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "MAX_PARTITIONS_PER_WRITE", 2)
    monkeypatch.setattr(upsert_files, "PARTS_AT_ONCE", 2)
    scene = KeyedScene(project)
    uploads = [
        uploaded((1, name, 1), (2, name, 1)).append_column("pt", pa.array([f"{name}1", f"{name}2"]))
        for name in "xyz"
    ]
    for _ in range(2):
        scene.upsert(*uploads, spec="")
        assert len(scene.read(scene.open())) == 6


@pytest.mark.parametrize(
    ("kind", "arrow", "values"),
    [
        ("tinyint", pa.int8(), [-128, 0, 127]),
        ("bigint", pa.int64(), [-(2**63) + 1, 0, 2**63 - 1]),
        ("boolean", pa.bool_(), [False, True]),
        ("decimal(5,2)", pa.decimal128(5, 2), [Decimal("-999.99"), Decimal("0.01"), Decimal("999.99")]),
        ("decimal(38,18)", pa.decimal128(38, 18), [Decimal(-(10**19)), Decimal("1e-18"), Decimal(10**19)]),
        ("string", pa.string(), ["", "a", "ä€🎉"]),
        ("char(4)", pa.string(), ["a", "a b", "b"]),
        ("varchar(9)", pa.string(), ["A", "a", "a "]),
        ("date", pa.date32(), [date(1, 1, 1), date(1970, 1, 1), date(9999, 12, 31)]),
        ("datetime", pa.timestamp("ms"), [-(10**13), 0, 10**14]),
        ("timestamp", pa.timestamp("ns"), [-(9 * 10**18) - 2, -(9 * 10**18) - 1, 9 * 10**18 + 1]),
        ("timestamp_ntz", pa.timestamp("ns"), [-(9 * 10**18) - 2, -(9 * 10**18) - 1, 9 * 10**18 + 1]),
    ],
)
def test_keys_of_every_type(project: Project, kind: str, arrow: pa.DataType, values: list[object]) -> None:
    """Alone, and in a key of two columns; the first value is updated, the last deleted."""
    scene = KeyedScene(project, f"k {kind}, id int, n int, primary key (k, id)")

    def uploads(*rows_: tuple[object, int, int, Operation]) -> pa.Table:
        keys, ids, numbers, operations = zip(*rows_, strict=True)
        columns = {
            "k": pa.array(keys, arrow),
            "id": pa.array(ids, pa.int32()),
            "n": pa.array(numbers, pa.int32()),
            "__operation": pa.array([each.value for each in operations], pa.int8()),
        }
        return pa.table(columns)

    first, *_, last = values
    scene.upsert(uploads(*((value, 7, 0, Operation.UPSERT) for value in values)))
    scene.upsert(uploads((first, 7, 1, Operation.UPSERT), (last, 7, 2, Operation.UPSERT)))
    scene.upsert(uploads((last, 8, 3, Operation.UPSERT), (last, 7, 4, Operation.DELETE)))
    found = scene.table(scene.open())
    shown = found["k"].cast(pa.int64() if pa.types.is_timestamp(arrow) else arrow)
    wanted = {(first, 7, 1), *((value, 7, 0) for value in values[1:-1]), (last, 8, 3)}
    assert set(zip(*(each.to_pylist() for each in (shown, found["id"], found["n"])), strict=True)) == wanted
    assert found.num_rows == len(wanted)


def test_uploaded_files_that_are_lost_are_told(scene: KeyedScene) -> None:
    scene.upsert(uploaded((1, "a", 1)))
    session = scene.session()
    address = scene.stream(session)
    scene.write_table(address, uploaded((1, "mine", 1)))
    scene.close(address)
    (part,) = scene.project.lake.data.rglob(f"{session}-*.parquet")
    part.unlink()
    assert isinstance(refused(lambda: scene.commit(session)), DamageError)
    assert scene.names() == {1: "a"}


def test_upserts_of_several_processes_take_turns(scene: KeyedScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes long is not overtaken again and again by others."""
    scene.upsert(uploaded((1, "a", 1)))
    other = copy(scene)
    other.project = replace(scene.project, lake=Lake(scene.project.lake.database, scene.project.lake.data))
    apply, attempts = upserts.Upsert.apply, Counter[int]()

    def counted(upsert: upserts.Upsert, connection: Connection) -> bool:
        attempts[id(upsert.lake)] += 1
        return apply(upsert, connection)

    monkeypatch.setattr(upserts.Upsert, "apply", counted)
    with ThreadPoolExecutor(2) as pool:
        quick = pool.submit(lambda: [other.flush(uploaded((1, f"{turn}", 1))) for turn in range(6)])
        slow = pool.submit(lambda: [scene.upsert(uploaded((2, "b", 2), (1, "mine", 1))) for _ in range(3)])
        quick.result()
        slow.result()
    assert attempts == {id(other.project.lake): 6, id(scene.project.lake): 3}
    assert scene.names().keys() == {1, 2}


def test_an_upload_that_is_repeated_elsewhere_meanwhile(
    scene: KeyedScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It changes no file, so that only the answer tells."""
    scene.upsert(uploaded((1, "a", 1)))
    nobody = uploaded((99, None, None), operations=[ord("D")])
    lake = Lake(scene.project.lake.database, scene.project.lake.data)
    monkeypatch.setattr(lake, "upserting", lambda _: nullcontext())
    other = copy(scene)
    other.project = replace(scene.project, lake=lake, _flushes={})
    prepare, answers = upserts.prepare, list[Any]()

    def repeated_meanwhile(*arguments: Any) -> upserts.Upsert | None:
        found = prepare(*arguments)
        if not answers:
            answers.append(None)
            answers[0] = other.flush(nobody, "one")
        return found

    monkeypatch.setattr(upserts, "prepare", repeated_meanwhile)
    assert scene.flush(nobody, "one") == answers[0]
