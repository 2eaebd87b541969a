"""One line that reads, against the real server."""

import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from random import Random
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from odps.models import Table

import maxlake
from maxlake.client.connected import ODPS
from maxlake.client.oneline import reading
from maxlake.client.oneline.progress import Moved
from maxlake.client.oneline.reading import partition_text
from maxlake.protocol.errors import BadRequestError
from maxlake.testing import LocalServer, fault_proxy, faults
from odps import errors

ROWS = 60_000
DAYS = ("mon", "tue", "wed")
IDS = list(range(ROWS))
#: Makes the table so large that it can have many splits: the service cuts none below a megabyte.
WIDTH = 250


@pytest.fixture(scope="module")
def events(shared_server: LocalServer) -> Table:
    """A table of ROWS rows in three partitions."""
    odps = shared_server.odps()
    odps.execute_sql("create table events (id bigint, name string) partitioned by (day string)")
    table = odps.get_table("events")
    for number, day in enumerate(DAYS):
        ids = IDS[ROWS * number // 3 : ROWS * (number + 1) // 3]
        maxlake.write(
            table, {"id": ids, "name": [f"{each:{WIDTH}}" for each in ids]}, {"day": day}, odps=odps
        )
    return table


@pytest.fixture
def many_splits(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Options with which a small table has many splits."""
    monkeypatch.setattr(reading, "_LEAST_SPLIT", 1)
    return {"max_memory": 1_000_000, "threads": 4}


def ids(batches: Any) -> list[int]:
    return [each for batch in batches for each in batch["id"].to_pylist()]


def test_all_rows_in_the_order_of_the_session(events: Table, odps: ODPS, many_splits: dict[str, Any]) -> None:
    rows = maxlake.read("events", odps=odps, **many_splits)
    assert (rows.row_count, rows.schema.names) == (ROWS, ["id", "name", "day"])
    assert len(rows.splits) > 10
    found = ids(rows)
    assert found == ids(rows)
    assert found == [each for split in rows.splits for each in ids(split)]
    assert sorted(found) == IDS
    assert sorted(ids(maxlake.read(events, ordered=False, odps=odps, **many_splits))) == IDS


def test_columns_are_given_as_asked_for(events: Table, odps: ODPS) -> None:
    table = maxlake.read("events", ["day", "ID"], odps=odps).to_arrow()
    assert table.schema.names == ["day", "id"]
    assert dict(table.group_by("day").aggregate([([], "count_all")]).to_pylist()[0])["count_all"] == ROWS // 3
    days = maxlake.read("events", ["day"], odps=odps).to_arrow()
    assert set(days["day"].to_pylist()) == set(DAYS)
    for wrong in ([], "id"):
        with pytest.raises(ValueError, match="columns must be a list"):
            maxlake.read("events", wrong, odps=odps)
    with pytest.raises(BadRequestError):
        maxlake.read("events", ["nam"], odps=odps)


@pytest.mark.parametrize("partitions", ["day=tue", {"day": "tue"}, ["day=tue"], [{"day": "tue"}, "day=sun"]])
def test_partitions_are_chosen(events: Table, odps: ODPS, partitions: Any) -> None:
    table = maxlake.read("events", partitions=partitions, odps=odps).to_arrow()
    assert set(table["day"].to_pylist()) == {"tue"}
    assert table.num_rows == ROWS // 3


def test_rows_are_chosen_by_a_condition(events: Table, odps: ODPS) -> None:
    rows = maxlake.read("events", where="id % 1000 = 7 and name like '%7'", odps=odps)
    assert rows.row_count is None
    assert sorted(ids(rows)) == list(range(7, ROWS, 1000))
    with pytest.raises(errors.ODPSError):
        maxlake.read("events", where="no_such = 1", odps=odps)


def test_only_what_is_new(new_table: Callable[..., Table], odps: ODPS) -> None:
    table = new_table("id bigint")
    maxlake.write(table, {"id": [1]}, odps=odps)
    version = maxlake.read(table, odps=odps).version
    assert ids(maxlake.read(table, since=version, odps=odps)) == []
    maxlake.write(table, {"id": [2]}, odps=odps)
    assert ids(maxlake.read(table, since=version, odps=odps)) == [2]
    for since in (datetime(2020, 1, 1), datetime(2020, 1, 1, tzinfo=UTC), "2020-01-01 00:00:00"):
        assert sorted(ids(maxlake.read(table, since=since, odps=odps))) == [1, 2]


@pytest.mark.parametrize("ordered", [True, False])
def test_a_read_goes_on_at_the_same_row(
    events: Table, odps: ODPS, many_splits: dict[str, Any], ordered: bool, rng: Random
) -> None:
    had: list[int] = []
    state = None
    for part in range(5):
        rows = maxlake.read("events", ["id"], state=state, ordered=ordered, odps=odps, **many_splits)
        for number, batch in enumerate(rows):
            had += batch["id"].to_pylist()
            if part < 4 and rng.random() < 0.1 * number:
                break
        state = json.loads(json.dumps(rows.state()))
    assert sorted(had) == IDS
    if ordered:
        assert had == [each for split in rows.splits for each in ids(split)]
    rest = maxlake.read("events", ["id"], state=state, odps=odps)
    assert rest.to_arrow() == rows.schema.empty_table()
    with pytest.raises(ValueError, match="has chosen its rows"):
        maxlake.read("events", where="id = 1", state=state, odps=odps)


def test_a_split_is_read_by_another_process(events: Table, odps: ODPS, many_splits: dict[str, Any]) -> None:
    rows = maxlake.read("events", odps=odps, **many_splits)
    code = "import pickle, sys; print(sum(b.num_rows for b in pickle.load(sys.stdin.buffer)))"
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(rows.splits[-1]), capture_output=True, check=True
    )
    assert int(done.stdout) == sum(batch.num_rows for batch in rows.splits[-1])
    assert ids(pickle.loads(pickle.dumps(rows))) == ids(rows)


def test_whoever_stops_early_leaves_no_thread(events: Table, odps: ODPS, many_splits: dict[str, Any]) -> None:
    def readers() -> list[str]:
        return [each.name for each in threading.enumerate() if each.name.startswith("maxlake-read")]

    batches = iter(maxlake.read("events", odps=odps, **many_splits))
    next(batches)
    assert readers()
    batches.close()
    assert readers() == []


def test_everyone_takes_the_stream(events: Table, odps: ODPS) -> None:
    rows = maxlake.read("events", odps=odps)
    assert pa.table(rows).num_rows == ROWS
    assert pa.RecordBatchReader.from_stream(rows).read_all().num_rows == ROWS
    assert pl.DataFrame(rows).shape == (ROWS, 3)
    assert duckdb.sql("select count(*), max(id) from rows").fetchall() == [(ROWS, ROWS - 1)]
    assert rows.to_reader().schema == rows.schema


def test_an_empty_result_has_its_columns(events: Table, odps: ODPS) -> None:
    for rows in (
        maxlake.read("events", where="id < 0", odps=odps),
        maxlake.read("events", partitions="day=sun", odps=odps),
    ):
        assert rows.to_arrow().schema.names == ["id", "name", "day"]
        assert list(rows.to_pandas().columns) == ["id", "name", "day"]
        assert rows.to_polars().shape == (0, 3)


def test_a_result_of_sql(events: Table, odps: ODPS) -> None:
    instance = odps.execute_sql("select day, count(*) as n from events group by day")
    assert sorted(maxlake.read(instance).to_polars().rows()) == [(day, ROWS // 3) for day in sorted(DAYS)]
    assert maxlake.read(instance, ["n"]).to_arrow().schema.names == ["n"]


def test_what_breaks_is_raised_and_not_the_end(shared_server: LocalServer, events: Table) -> None:
    with fault_proxy(shared_server.endpoint) as proxy:
        key = (shared_server.access_id, shared_server.secret)
        place = {"endpoint": proxy.endpoint, "tunnel_endpoint": proxy.endpoint, "overwrite_global": False}
        odps = ODPS(*key, shared_server.project, **place)
        rows = maxlake.read("events", odps=odps)
        rows.session.client.retry_seconds = 0
        assert len(ids(rows)) == ROWS
        with proxy.inject(faults.when(faults.action("TableRead"), faults.cut(100_000))):
            with pytest.raises(errors.ODPSError):
                ids(rows)
            with pytest.raises(errors.ODPSError):
                rows.to_arrow()
            with pytest.raises(pa.ArrowException, match=r"(?i)connection"):
                pa.table(rows)


def test_progress_is_told(events: Table, odps: ODPS, capsys: pytest.CaptureFixture[str]) -> None:
    told: list[Moved] = []
    rows = maxlake.read("events", odps=odps, progress=told.append)
    table = rows.to_arrow()
    assert [each.rows for each in told] == sorted({each.rows for each in told})
    assert (told[-1].rows, told[-1].total_rows) == (ROWS, ROWS)
    assert told[-1].bytes >= table.nbytes * 0.9
    assert pickle.loads(pickle.dumps(rows)).row_count == ROWS
    # Not a terminal: nothing is shown.
    assert maxlake.read("events", odps=odps, progress=True).to_arrow().num_rows == ROWS
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("options", [{"threads": 0}, {"max_memory": 0}])
def test_bad_options_are_refused(odps: ODPS, options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        maxlake.read("events", odps=odps, **options)
    with pytest.raises(ValueError, match="must be positive"):
        maxlake.write("events", {}, odps=odps, **options)


@pytest.mark.parametrize("value", [None, float("nan"), 1.5, True, datetime(2024, 2, 29)])
def test_a_partition_is_a_value(value: object) -> None:
    with pytest.raises(TypeError, match="day="):
        partition_text({"day": value})
    assert partition_text({"day": "mon", "n": 7, "d": date(2024, 2, 29)}) == "day=mon,n=7,d=2024-02-29"


def test_since_is_an_instant_the_service_knows(events: Table, odps: ODPS) -> None:
    with pytest.raises(ValueError, match="whole seconds"):
        maxlake.read(events, since=datetime(2024, 2, 29, 12, 0, 0, 1), odps=odps)
    with pytest.raises(ValueError, match="no version"):
        _ = maxlake.read(odps.execute_sql("select 1 as one"), odps=odps).version
