"""Incremental reads: each change told once, to whoever follows the versions (wire.md §4.5)."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maxlake.protocol.errors import ErrorCode, MaxlakeError
from maxlake.protocol.messages.read import (
    CreateReadSessionRequest,
    IncrementalReadOptions,
    ReadAddress,
    ReadRowsRequest,
    ReadSessionResponse,
)
from maxlake.service import read_sessions, rows
from maxlake.service.maintenance import maintain
from maxlake.service.project import Project
from tests.budget import in_proportion
from tests.service.scene import ME, Scene


@pytest.fixture
def scene(project: Project) -> Scene:
    return Scene(project)


def create(scene: Scene, **options: object) -> ReadSessionResponse:
    request = CreateReadSessionRequest(
        incremental_read=True, incremental_read_options=IncrementalReadOptions(**options)
    )
    return read_sessions.create(scene.project, scene.target, request, ME)


def read(scene: Scene, session: ReadSessionResponse) -> pa.Table:
    address = ReadAddress(session_id=session.session_id)
    stream = rows.read(scene.project, scene.target, address, ReadRowsRequest(), ME)
    return pa.Table.from_batches(stream.batches, stream.schema)


def ids(scene: Scene, **options: object) -> list[int]:
    return read(scene, create(scene, **options))["id"].to_pylist()


def changes(scene: Scene, **options: object) -> list[tuple[int, int]]:
    """(operation, id), oldest first; 1 is an insertion, 0 a deletion."""
    table = read(scene, create(scene, mode="cdc", **options))
    return list(zip(table["__meta_op_type"].to_pylist(), table["id"].to_pylist(), strict=True))


def expire(scene: Scene) -> None:
    """Let all versions but the newest expire, and merge and delete what can be."""
    settings = replace(scene.project.settings, snapshot_retention=0)
    maintain(replace(scene.project, settings=settings), datetime.now(UTC) + timedelta(seconds=1))


def version(scene: Scene) -> int:
    request = CreateReadSessionRequest()
    return read_sessions.create(scene.project, scene.target, request, ME).latest_version


def test_a_lower_bound_is_exclusive_and_an_upper_one_inclusive(scene: Scene) -> None:
    scene.append([1])
    first = version(scene)
    scene.append([2])
    second = version(scene)
    scene.append([3])
    third = version(scene)
    assert ids(scene, start_version=first) == [2, 3]
    assert ids(scene, start_version=first, end_version=second) == [2]
    assert ids(scene, from_=second, to=third) == [3]
    assert ids(scene, start_version=third) == []
    assert ids(scene, start_version=first, end_version=first) == []


def test_without_a_lower_bound_it_is_the_table_at_the_upper(scene: Scene) -> None:
    scene.append([1])
    first = version(scene)
    scene.append([2], overwrite=True)
    assert ids(scene) == [2]
    assert ids(scene, end_version=first) == [1]


def test_rows_that_are_gone_again_were_inserted_all_the_same(scene: Scene) -> None:
    scene.append([1])
    first = version(scene)
    scene.append([2])
    scene.append([3], overwrite=True)
    assert ids(scene, start_version=first) == [2, 3]


def test_changes_are_told_in_the_order_of_their_versions(scene: Scene) -> None:
    scene.append([1, 2])
    first = version(scene)
    scene.append([3], overwrite=True)
    scene.append([4], "pt=b")
    scene.sql("ALTER TABLE t DROP PARTITION (pt='b');")
    assert changes(scene, start_version=first) == [(0, 1), (0, 2), (1, 3), (1, 4), (0, 4)]
    # Without a start: since the table was made.
    assert changes(scene, end_version=first) == [(1, 1), (1, 2)]
    assert changes(scene)[:2] == [(1, 1), (1, 2)]


def test_changes_tell_when_and_are_no_updates(scene: Scene) -> None:
    before = datetime.now(UTC).replace(tzinfo=None)
    scene.append([1])
    table = read(scene, create(scene, mode="cdc"))
    assert table.column_names == ["id", "pt", "__meta_timestamp", "__meta_op_type", "__meta_is_update"]
    assert (
        before
        <= table["__meta_timestamp"][0].as_py().to_pydatetime()
        <= datetime.now(UTC).replace(tzinfo=None)
    )
    assert table["__meta_is_update"].to_pylist() == [0]


def test_timestamps_mean_the_last_version_at_or_before(scene: Scene) -> None:
    scene.append([1])
    between = datetime.now(UTC)
    scene.append([2])
    assert ids(scene, start_time_stamp=between.isoformat()) == [2]
    assert ids(scene, end_time_stamp=between.isoformat()) == [1]
    assert ids(scene, from_=between.replace(tzinfo=None).isoformat(" ")) == [2]
    east = between.astimezone(datetime.now().astimezone().tzinfo)
    assert ids(scene, from_=east.isoformat(), to=(between + timedelta(days=1)).isoformat()) == [2]
    assert ids(scene, start_time_stamp="2000-01-01 00:00:00") == [1, 2]


def test_versions_win_over_timestamps(scene: Scene) -> None:
    scene.append([1])
    first = version(scene)
    scene.append([2])
    assert ids(scene, start_version=first, start_time_stamp="2000-01-01 00:00:00") == [2]


def test_a_session_tells_its_versions_and_where_to_go_on(scene: Scene) -> None:
    scene.append([1])
    first = version(scene)
    scene.append([2])
    session = create(scene, start_version=first)
    assert session.incremental_read_options.start_version == first
    assert session.incremental_read_options.end_version == session.latest_version
    assert ids(scene, start_version=session.latest_version) == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"mode": "everything"}, "append and cdc"),
        ({"start_time_stamp": "yesterday"}, "yyyy-mm-dd"),
        ({"start_time_stamp": "0001-01-01 00:00:00+05:00"}, "yyyy-mm-dd"),
        ({"end_time_stamp": "9999-12-31 23:00:00-05:00"}, "yyyy-mm-dd"),
        ({"from_": -5}, "positive number"),
        ({"start_version": 10**6}, "no version 1000000 yet"),
        ({"end_version": 10**6}, "no version 1000000 yet"),
        ({"end_time_stamp": "2000-01-01 00:00:00", "start_version": 3}, "after the end version"),
    ],
)
def test_ranges_that_cannot_be_are_refused(scene: Scene, options: dict[str, object], text: str) -> None:
    scene.append([1])
    scene.append([2])
    with pytest.raises(MaxlakeError, match=text) as failed:
        create(scene, **options)
    assert failed.value.status_code == 400


def test_a_quiet_table_can_be_polled_for_ever(scene: Scene) -> None:
    """Versions expire with time, what a consumer has seen of a table nobody changes does not."""
    scene.append([1])
    seen = version(scene)
    scene.sql("CREATE TABLE other (id bigint);")
    expire(scene)
    assert ids(scene, start_version=seen) == []
    assert ids(scene, end_version=seen) == [1]
    scene.append([2])
    assert ids(scene, start_version=seen) == [2]


def test_what_has_expired_is_told(scene: Scene) -> None:
    scene.append([1])
    seen = version(scene)
    scene.append([2])
    expire(scene)
    for options in ({"start_version": seen}, {"end_version": seen}, {"start_time_stamp": "2000-01-01"}):
        with pytest.raises(MaxlakeError, match="expired") as failed:
            create(scene, **options)
        assert failed.value.code is ErrorCode.VERSION_EXPIRED
    assert ids(scene, start_version=version(scene)) == []


def test_changes_since_the_beginning_expire_with_it(scene: Scene) -> None:
    """A later name of the table is not its beginning."""
    scene.append([1])
    scene.append([2], overwrite=True)
    assert changes(scene) == [(1, 1), (0, 1), (1, 2)]
    scene.sql("ALTER TABLE t RENAME TO u;")
    scene.target = replace(scene.target, table="u")
    expire(scene)
    with pytest.raises(MaxlakeError, match="expired"):
        changes(scene)


COMMITS = st.lists(
    st.tuples(st.sampled_from("ab"), st.lists(st.integers(0, 99), min_size=1, max_size=5), st.booleans()),
    min_size=1,
    max_size=6,
)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "examples", [10, pytest.param(in_proportion(100), marks=pytest.mark.slow, id="whole")]
)
def test_ranges_add_up(examples: int, project: Project) -> None:
    """Whatever ranges a consumer cuts history into: their changes are those of the whole, applied they are
    the table at each version."""

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(COMMITS, st.data())
    def run(commits: list[tuple[str, list[int], bool]], data: st.DataObject) -> None:
        scene = Scene(project)
        try:
            versions = [version(scene)]
            tables: list[Counter[int]] = [Counter()]
            partitions: dict[str, list[int]] = {}
            for key, values, overwrite in commits:
                scene.append(values, f"pt={key}", overwrite=overwrite)
                partitions[key] = values if overwrite else [*partitions.get(key, []), *values]
                versions.append(version(scene))
                tables.append(Counter(value for held in partitions.values() for value in held))
            cuts = sorted({0, len(commits), *data.draw(st.lists(st.integers(0, len(commits)), max_size=3))})
            inserted: Counter[int] = Counter()
            applied: Counter[int] = Counter()
            for start, stop in pairwise(cuts):
                bounds = {"start_version": versions[start], "end_version": versions[stop]}
                inserted.update(ids(scene, **bounds))
                for kind, value in changes(scene, **bounds):
                    applied[value] += 1 if kind else -1
                    assert applied[value] >= 0
                assert +applied == tables[stop]
                assert Counter(ids(scene, end_version=versions[stop])) == tables[stop]
            assert inserted == Counter(value for _, values, _ in commits for value in values)
        finally:
            scene.sql("DROP TABLE t;")

    run()
