"""Read sessions: whatever the mode and the address, the rows of one snapshot, each once, in one order."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from maxlake.protocol import limits
from maxlake.protocol.enums import SplitMode
from maxlake.protocol.errors import BadRequestError
from maxlake.protocol.messages.read import (
    CreateReadSessionRequest,
    ReadAddress,
    ReadRowsRequest,
    ReadSessionResponse,
    SplitOptions,
)
from maxlake.service import read_sessions, rows
from maxlake.service.project import Project
from tests.budget import in_proportion
from tests.service.scene import ME, Scene

#: Shrinking would take minutes; a failing example is small as it is.
PHASES = [phase for phase in Phase if phase is not Phase.shrink]
BUCKETS = 3
ROWS = st.lists(st.integers(-50, 50), min_size=1, max_size=30)


@dataclass(frozen=True)
class Commit:
    """Rows for some partitions; with ``overwrite`` they replace what these held."""

    rows: dict[str, list[int]]
    overwrite: bool


COMMITS = st.lists(
    st.builds(Commit, st.dictionaries(st.sampled_from("abc"), ROWS, min_size=1), st.booleans()), max_size=5
)


@contextmanager
def scene(project: Project, *, partitioned: bool, clustered: bool) -> Iterator[Scene]:
    clause = f"CLUSTERED BY (id) INTO {BUCKETS} BUCKETS" if clustered else ""
    made = Scene(project, "id bigint", "pt string" if partitioned else "", clause)
    try:
        yield made
    finally:
        made.sql("DROP TABLE t;")


def write(made: Scene, commit: Commit, model: list[tuple[int, str]], *, partitioned: bool) -> None:
    pairs = [(value, key) for key, values in commit.rows.items() for value in values]
    if not partitioned:
        pairs = [(value, "") for value, _ in pairs]
    if commit.overwrite:
        replaced = {key for _, key in pairs}
        model[:] = [pair for pair in model if pair[1] not in replaced]
    model.extend(pairs)
    columns = {"id": [value for value, _ in pairs]} | (
        {"pt": [key for _, key in pairs]} if partitioned else {}
    )
    session = made.session("", overwrite=commit.overwrite)
    address = made.stream(session)
    made.write_table(address, pa.table(columns))
    made.close(address)
    made.commit(session)


class Reader:
    """Reads of one scene, as (id, partition) pairs."""

    def __init__(self, made: Scene) -> None:
        self.scene = made

    def create(self, mode: SplitMode, number: int, **more: object) -> ReadSessionResponse:
        options = SplitOptions(split_mode=mode, split_number=number, cross_partition=bool(number % 2))
        request = CreateReadSessionRequest(split_options=options, **more)
        return read_sessions.create(self.scene.project, self.scene.target, request, ME)

    def read(self, session: str, skip: int = 0, **address: int | None) -> list[tuple[int, str]]:
        stream = rows.read(
            self.scene.project,
            self.scene.target,
            ReadAddress(session_id=session, **address),
            ReadRowsRequest(skip_row_num=skip, max_batch_rows=7),
            ME,
        )
        batches = list(stream.batches)
        assert all(0 < batch.num_rows <= 7 for batch in batches)
        table = pa.Table.from_batches(batches, stream.schema)
        keys = table["pt"].to_pylist() if "pt" in table.column_names else [""] * table.num_rows
        return list(zip(table["id"].to_pylist(), keys, strict=True))

    def splits(self, session: ReadSessionResponse) -> list[list[tuple[int, str]]]:
        return [self.read(session.session_id, index=index) for index in range(session.splits_count)]


def check_addresses(
    reader: Reader, session: str, expected: list[tuple[int, str]], data: st.DataObject, index: int | None
) -> None:
    """Offset, Count and SkipRowNum select within what Index, or nothing, addresses."""
    offset = data.draw(st.integers(0, len(expected) + 3), label="offset")
    count = data.draw(st.none() | st.integers(0, len(expected) + 3), label="count")
    skip = data.draw(st.integers(0, 5), label="skip")
    stop = None if count is None else offset + count
    got = reader.read(session, skip, index=index, offset=offset, count=count)
    assert got == expected[offset:stop][skip:]


def check_session(reader: Reader, model: list[tuple[int, str]], data: st.DataObject, predicate: str) -> None:
    offsets = reader.create(SplitMode.ROW_OFFSET, 0, filter_predicate=predicate)
    order = reader.read(offsets.session_id)
    assert sorted(order) == sorted(model)
    assert (offsets.record_count, offsets.splits_count) == (len(model), 0)
    assert reader.read(offsets.session_id) == order
    check_addresses(reader, offsets.session_id, order, data, None)
    number = data.draw(st.integers(1, 600), label="split number")
    for mode in (SplitMode.SIZE, SplitMode.PARALLELISM):
        session = reader.create(mode, number, filter_predicate=predicate)
        unknown = {-1, 0} if not model else {-1}  # 0 if pruning left no file
        assert session.record_count in (unknown if predicate else {len(model)})
        pieces = reader.splits(session)
        assert [row for piece in pieces for row in piece] == order
        if mode is SplitMode.PARALLELISM:
            assert session.splits_count in (0, number)
        check_addresses(reader, session.session_id, order, data, None)
        if pieces:
            index = data.draw(st.integers(0, len(pieces) - 1), label="index")
            check_addresses(reader, session.session_id, pieces[index], data, index)


def check_buckets(reader: Reader, model: list[tuple[int, str]], data: st.DataObject) -> None:
    session = reader.create(SplitMode.BUCKET, 0)
    assert session.split_bucket_id == tuple(range(BUCKETS))
    pieces = reader.splits(session)
    assert sorted(row for piece in pieces for row in piece) == sorted(model)
    ids = [{value for value, _ in piece} for piece in pieces]
    assert sum(map(len, ids)) == len(set.union(*ids))  # a value is in one bucket
    bucket = data.draw(st.integers(0, BUCKETS - 1), label="bucket")
    one = reader.create(SplitMode.PARALLELISM, 1, required_bucket_ids=(str(bucket),))
    assert sorted(reader.read(one.session_id)) == sorted(pieces[bucket])


@pytest.mark.timeout(900)
@pytest.mark.parametrize("examples", [4, pytest.param(in_proportion(60), marks=pytest.mark.slow, id="whole")])
@pytest.mark.parametrize(("partitioned", "clustered"), [(False, False), (True, False), (True, True)])
def test_splits_and_addresses_are_the_snapshot(
    examples: int, partitioned: bool, clustered: bool, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MIN_SPLIT_SIZE", 1)

    @settings(max_examples=examples, phases=PHASES, suppress_health_check=list(HealthCheck))
    @given(st.data(), COMMITS)
    def run(data: st.DataObject, commits: list[Commit]) -> None:
        with scene(project, partitioned=partitioned, clustered=clustered) as made:
            model: list[tuple[int, str]] = []
            for commit in commits:
                write(made, commit, model, partitioned=partitioned)
            reader = Reader(made)
            early = reader.create(SplitMode.ROW_OFFSET, 0)
            before = reader.read(early.session_id)
            check_session(reader, model, data, "")
            check_session(reader, [row for row in model if -9 <= row[0] < 20], data, "id >= -9 AND 20 > id")
            if clustered:
                check_buckets(reader, model, data)
            write(made, Commit({"a": [1000]}, overwrite=True), model, partitioned=partitioned)
            assert reader.read(early.session_id) == before

    run()


@pytest.mark.parametrize("bucket", ["3", "-1", "x", "\uff19", "9" * 5000])
def test_what_is_no_bucket_is_refused(bucket: str, project: Project) -> None:
    with (
        scene(project, partitioned=False, clustered=True) as made,
        pytest.raises(BadRequestError, match="is no bucket"),
    ):
        Reader(made).create(SplitMode.SIZE, 0, required_bucket_ids=(bucket,))
