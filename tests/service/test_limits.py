"""What read sessions and previews may cost: bounded by what they hold, and away from what others wait for."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from sqlalchemy import func, select

from maxlake.lake import partitions
from maxlake.lake.database import Database
from maxlake.lake.filters import Bounds, Filter
from maxlake.lake.filters import filter as filters
from maxlake.protocol import limits
from maxlake.protocol.columns import Column
from maxlake.protocol.enums import SplitMode
from maxlake.protocol.errors import BusyError, DamageError, ErrorCode, MaxlakeError
from maxlake.protocol.messages.read import (
    CreateReadSessionRequest,
    PreviewRequest,
    ReadSessionResponse,
    SplitOptions,
)
from maxlake.protocol.predicates.parse import parse_predicate
from maxlake.protocol.types.text import parse_type
from maxlake.service import pins, predicates, read_sessions, rows, session_expiry, store
from maxlake.service.project import Project
from maxlake.service.weighted_cache import WeightedCache
from tests.service.scene import ME, Scene

BY_OFFSET = SplitOptions(split_mode=SplitMode.ROW_OFFSET)
LATER = timedelta(days=3)


def create(made: Scene, principal: str = ME, **more: Any) -> ReadSessionResponse:
    return read_sessions.create(made.project, made.target, CreateReadSessionRequest(**more), principal)


def stored(project: Project) -> tuple[int, int, int]:
    """Return how many sessions there are, and how many, and of what size, are thought to be there."""
    held = store.read_holding
    with project.lake.database.read() as connection:
        count = connection.execute(select(func.count()).select_from(store.read_session)).scalar_one()
        sums = select(func.sum(held.c.sessions), func.sum(held.c.bytes))
        sessions, size = connection.execute(sums).one()
    return count, int(sessions or 0), int(size or 0)


class Transactions:
    """Tells whether this thread is in a transaction, and how many for writing there were."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._local = threading.local()
        self.writes = 0
        for kind in ("read", "write"):
            monkeypatch.setattr(Database, kind, self._watched(getattr(Database, kind), kind))

    @property
    def open(self) -> int:
        return getattr(self._local, "open", 0)

    def _watched(self, function: Callable[[Database], Any], kind: str) -> Callable[[Database], Any]:
        @contextmanager
        def watched(database: Database) -> Iterator[Any]:
            with function(database) as connection:
                self.writes += kind == "write"
                self._local.open = self.open + 1
                try:
                    yield connection
                finally:
                    self._local.open -= 1

        return watched


def test_a_cache_holds_what_it_may():
    cache: WeightedCache[int, int] = WeightedCache(10, lambda _, value: value)
    for number in range(1, 8):
        assert cache.get(number, lambda number=number: number) == number
        assert cache.held <= 10
    assert cache.get(7, lambda: 99) == 7
    assert cache.get(1, lambda: 2) == 2  # long forgotten
    assert cache.get(50, lambda: 50) == 50
    assert cache.held == 50  # the newest, whatever it weighs


def test_compiled_predicates_weigh_what_they_are_long(project: Project, monkeypatch: pytest.MonkeyPatch):
    made = Scene(project)
    assert predicates._compiled._capacity == predicates.COMPILED_TOKENS <= 2 * limits.MAX_PREDICATE_TOKENS
    cache = WeightedCache(500, predicates._tokens)
    monkeypatch.setattr(predicates, "_compiled", cache)
    for number in range(20):
        create(made, filter_predicate=" or ".join(f"id={number + 100 * more}" for more in range(20)))
    assert 300 < cache.held <= 500


def test_a_predicate_is_parsed_once_and_outside_transactions(
    project: Project, monkeypatch: pytest.MonkeyPatch
):
    made = Scene(project)
    made.append([1, 2, 3])
    transactions, parse, parsed = Transactions(monkeypatch), predicates._parsed, []

    def watched(text: str, columns: Any) -> Filter:
        assert not transactions.open
        parsed.append(text)
        return parse(text, columns)

    monkeypatch.setattr(predicates, "_parsed", watched)
    text = "id > 1 and id <> 777"
    create(made, filter_predicate=text)
    create(made, filter_predicate=text, required_partitions=("pt=a",), split_options=BY_OFFSET)
    assert parsed == [text] * 2


@pytest.mark.parametrize(
    "change",
    ["ALTER TABLE t ADD COLUMNS (more bigint);", "DROP TABLE t; CREATE TABLE t (id bigint, more bigint);"],
)
def test_a_table_that_changes_meanwhile_is_looked_at_again(
    change: str, project: Project, monkeypatch: pytest.MonkeyPatch
):
    made, understand, asked = Scene(project), read_sessions.session_predicate, []

    def changing(*arguments: Any) -> Any:
        asked.append(arguments)
        if len(asked) == 1:
            for statement in change.split(";")[:-1]:
                assert made.sql(f"{statement};").succeeded
        return understand(*arguments)

    monkeypatch.setattr(read_sessions, "session_predicate", changing)
    session = create(made, filter_predicate="id > 0")
    assert len(asked) == 2
    assert [column.name for column in session.data_schema.data_columns] == ["id", "more"]


def test_statistics_are_left_alone_where_they_cost_too_much(
    project: Project, monkeypatch: pytest.MonkeyPatch
):
    made = Scene(project)
    made.append([1, 2, 3], "pt=a")
    made.append([4, 5], "pt=b")
    assert create(made, filter_predicate="id > 100").record_count == 0  # exactly: no file is left
    monkeypatch.setattr(filters, "MAX_JUDGEMENTS", 3)
    session = create(made, filter_predicate="id > 100")
    assert (session.record_count, session.session_stats.estimated_row_count) == (-1, 5)
    session = create(made, filter_predicate="id > 100 and id > 101 and id > 102 and pt = 'b'")
    assert (session.record_count, session.session_stats.estimated_row_count) == (-1, 2)


def test_partitions_are_judged_within_reason(monkeypatch: pytest.MonkeyPatch):
    columns = [
        [Column(name=name, type=parse_type(kind))] for name, kind in (("id", "bigint"), ("pt", "string"))
    ]
    expression = parse_predicate("pt = 'a' or (id = 1 and pt = 'b')", *columns)
    assert expression is not None
    condition = Filter(expression)
    keys = [{"pt": "a"}, {"pt": "b"}, {"pt": "c"}]
    assert condition.matching_partitions(keys) == [True, True, False]
    monkeypatch.setattr(filters, "MAX_JUDGEMENTS", 10)
    assert condition.matching_partitions(keys) == [True, True, True]
    assert not condition.affords(3)
    assert not condition.may_match({"pt": Bounds("c", "c", null_count=0)})


@pytest.mark.parametrize(
    ("lists", "most"),
    [
        ({"required_partitions": "pt=a"}, limits.MAX_REQUIRED_PARTITIONS),
        ({"required_data_columns": "id"}, limits.MAX_COLUMNS),
        ({"required_partition_columns": "pt"}, limits.MAX_PARTITION_COLUMNS),
        ({"required_bucket_ids": 0}, limits.MAX_BUCKETS),
    ],
)
def test_lists_have_ends(lists: dict[str, Any], most: int, project: Project):
    made = Scene(project, clauses="CLUSTERED BY (id) INTO 2 BUCKETS")
    [(name, entry)] = lists.items()
    create(made, **{name: (entry,) * most})
    with pytest.raises(MaxlakeError, match=f"{most + 1} entries") as failed:
        create(made, **{name: (entry,) * (most + 1)})
    assert failed.value.code is ErrorCode.INVALID_ARGUMENT


def test_a_value_is_converted_once_and_outside_transactions(
    project: Project, monkeypatch: pytest.MonkeyPatch
):
    made = Scene(project, partitions="pt bigint, r string")
    transactions, convert, converted = Transactions(monkeypatch), partitions.canonical, []

    def watched(table: Any, values: Any) -> Any:
        assert not transactions.open
        converted.extend(values.items())
        return convert(table, values)

    monkeypatch.setattr(partitions, "canonical", watched)
    create(made, required_partitions=[f"pt=00{number % 3},r=x{number % 2}" for number in range(600)])
    assert sorted(converted) == [("pt", "000"), ("pt", "001"), ("pt", "002"), ("r", "x0"), ("r", "x1")]


def test_plans_are_encoded_and_decoded_outside_transactions(
    project: Project, monkeypatch: pytest.MonkeyPatch
):
    made = Scene(project)
    made.append([1, 2, 3])
    transactions, done = Transactions(monkeypatch), []
    encode, stored = msgspec.msgpack.encode, msgspec.msgpack.Decoder(read_sessions.ReadSession)

    def encoding(value: Any) -> bytes:
        if isinstance(value, read_sessions.ReadSession):
            done.append(("encoded", transactions.open))
        return encode(value)

    class Decoding:
        def decode(self, content: bytes) -> read_sessions.ReadSession:
            done.append(("decoded", transactions.open))
            return stored.decode(content)

    monkeypatch.setattr(msgspec.msgpack, "encode", encoding)
    monkeypatch.setattr(read_sessions, "_STORED", Decoding())
    session = create(made).session_id
    again = read_sessions.get(
        made.project, made.target, session, refresh_until=made.project.new_expiry(), principal=ME
    )
    assert again.session_id == session
    assert done == [("encoded", 0), ("decoded", 0)]


def test_expired_sessions_are_forgotten_some_at_a_time(project: Project, monkeypatch: pytest.MonkeyPatch):
    made = Scene(project)
    sessions = [create(made, principal).session_id for principal in (ME, ME, "you")]
    count, held, size = stored(project)
    assert count == held == 3
    assert size > 300
    monkeypatch.setattr(pins, "FORGOTTEN_AT_ONCE", 1)
    transactions = Transactions(monkeypatch)
    session_expiry.forget(project, datetime.now(UTC) + LATER)
    assert transactions.writes >= len(sessions)
    assert stored(project) == (0, 0, 0)


@pytest.mark.parametrize(("limit", "most"), [("MAX_READ_SESSIONS", 2), ("MAX_READ_SESSION_BYTES", 2500)])
def test_a_principal_holds_so_many_sessions(
    limit: str, most: int, project: Project, monkeypatch: pytest.MonkeyPatch
):
    made = Scene(project)
    monkeypatch.setattr(pins, limit, most)
    create(made)
    create(made)
    with pytest.raises(BusyError, match="let some expire") as failed:
        create(made)
    assert failed.value.code is ErrorCode.FLOW_EXCEEDED
    count, held, size = stored(project)
    assert count == held == 2
    assert size <= 2500
    create(made, "you")
    session_expiry.forget(project, datetime.now(UTC) + LATER)
    create(made)


def test_a_count_that_fails_leaves_nothing_behind(project: Project):
    made = Scene(project)
    made.append([1, 2, 3])
    [file] = project.lake.data.rglob("*.parquet")
    content = file.read_bytes()
    file.unlink()
    with pytest.raises(DamageError):
        create(made, filter_predicate="id > 1", split_options=BY_OFFSET)
    assert stored(project) == (0, 0, 0)
    file.write_bytes(content)
    assert create(made, filter_predicate="id > 1", split_options=BY_OFFSET).record_count == 2
    assert stored(project)[:2] == (1, 1)


def test_a_count_nobody_wants_any_more_stops(project: Project):
    made = Scene(project)
    made.append([1, 2, 3])
    made.append([4, 5])
    asked: list[int] = []
    request = CreateReadSessionRequest(filter_predicate="id > 1", split_options=BY_OFFSET)

    def stopped() -> bool:
        asked.append(1)
        return len(asked) == 2

    with pytest.raises(BusyError) as failed:
        read_sessions.create(project, made.target, request, ME, stopped)
    assert failed.value.code is ErrorCode.SERVICE_UNAVAILABLE
    assert len(asked) == 2
    assert stored(project) == (0, 0, 0)


@pytest.mark.parametrize("columns", [(), ("w", "id")])
def test_a_preview_has_so_many_bytes(
    columns: tuple[str, ...], project: Project, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "MAX_PREVIEW_BYTES", 1_000_000)
    monkeypatch.setattr(limits, "PREVIEW_BATCH_BYTES", 100_000)
    made = Scene(project, "id bigint, w string", "")
    session = made.session("")
    address = made.stream(session)
    made.write_table(address, pa.table({"id": range(3000), "w": ["x" * 1000] * 3000}))
    made.close(address)
    made.commit(session)

    def previewed(**more: Any) -> list[pa.RecordBatch]:
        return list(rows.preview(project, made.target, PreviewRequest(**more)).batches)

    batches = previewed(limit=3000, columns=columns)
    assert 800_000 < sum(batch.nbytes for batch in batches) <= 1_000_000
    assert all(batch.nbytes <= 100_000 for batch in batches)
    assert sum(batch.num_rows for batch in previewed(limit=3000, columns=("id",))) == 3000
    monkeypatch.setattr(limits, "MAX_PREVIEW_BYTES", 10)
    assert sum(batch.num_rows for batch in previewed(limit=1, columns=columns)) == 1


def test_decoded_plans_weigh_their_predicates(project: Project):
    made = Scene(project)
    made.append([1, 2, 3])
    weights = []
    for text in ("id > 0", f"id > 0 or id in ({', '.join(map(str, range(9_000_000, 9_003_000)))})"):
        before = project.plans.held
        session = create(made, filter_predicate=text).session_id
        read_sessions.get(project, made.target, session, principal=ME)
        weights.append(project.plans.held - before)
    assert 0 < weights[0] < 20
    assert weights[1] > 80
