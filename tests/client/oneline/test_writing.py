"""One line that writes, against the real server: everything tabular, all of it or nothing."""

import gzip
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from odps.models import Table
from pyarrow import csv

import maxlake
from maxlake.client import StorageApiArrowClient
from maxlake.client.connected import ConnectedClient
from maxlake.client.oneline import parallel_write
from maxlake.client.oneline.progress import Moved
from maxlake.protocol.errors import BadRequestError
from maxlake.testing import FaultProxy, LocalServer, fault_proxy, faults
from odps import ODPS, errors

DATA = pa.table(
    {
        "ID": pa.array([1, 2, 3, 4], pa.int64()),
        "name": ["a", None, "", 'd, "quoted"'],
        "price": [1.5, None, -2.0, 0.25],
        "day": ["mon", "mon", "tue", "wed"],
    }
)


def rows_of(table: Table, odps: ODPS, **options: Any) -> list[dict[str, Any]]:
    found = maxlake.read(table, odps=odps, **options).to_arrow()
    return found.sort_by([(name, "ascending") for name in found.column_names]).to_pylist()


def as_json(place: Path) -> Path:
    lines = map(json.dumps, DATA.to_pylist())
    (place / "rows.jsonl").write_text("\n".join(lines))
    return place / "rows.jsonl"


def as_csv(place: Path) -> Path:
    csv.write_csv(DATA, place / "rows.csv")
    return place / "rows.csv"


def as_gzip(place: Path) -> list[str]:
    text = as_csv(place).read_bytes()
    with gzip.open(place / "rows.csv.gz", "wb") as file:
        file.write(text)
    return [str(place / "rows.csv.gz")]


def as_parquet(place: Path) -> str:
    pq.write_table(DATA, place / "rows.parquet")
    return str(place / "rows.parquet")


def as_arrow(place: Path) -> Path:
    pyarrow.feather.write_feather(DATA, place / "rows.feather")
    return place / "rows.feather"


def as_directories(place: Path) -> Path:
    ds.write_dataset(DATA, place / "tree", format="parquet", partitioning=["day"], partitioning_flavor="hive")
    (place / "tree" / "_SUCCESS").touch()
    return place / "tree"


SOURCES: dict[str, Callable[[Path], Any]] = {
    "table": lambda _: DATA,
    "reader": lambda _: DATA.to_reader(),
    "batch": lambda _: DATA.to_batches()[0],
    "batches": lambda _: iter(DATA.to_batches(max_chunksize=1)),
    "tables": lambda _: [DATA.slice(0, 1), DATA.slice(1)],
    "pandas": lambda _: DATA.to_pandas(types_mapper=pd.ArrowDtype),
    "polars": lambda _: pl.DataFrame(DATA),
    "duckdb": lambda _: duckdb.from_arrow(DATA),
    "columns": lambda _: DATA.to_pydict(),
    "rows": lambda _: DATA.to_pylist(),
    "generator of rows": lambda _: (row for row in DATA.to_pylist()),
    "json": as_json,
    "csv": as_csv,
    "csv.gz": as_gzip,
    "parquet": as_parquet,
    "arrow": as_arrow,
    "directories": as_directories,
}


@pytest.fixture
def table(new_table: Callable[..., Table]) -> Table:
    return new_table("id bigint, name string, price double", "day string")


@pytest.mark.parametrize("source", SOURCES)
def test_everything_tabular_is_written(source: str, table: Table, odps: ODPS, tmp_path: Path) -> None:
    written = maxlake.write(table, SOURCES[source](tmp_path), odps=odps)
    assert written.rows == DATA.num_rows
    assert rows_of(table, odps) == [
        {"id": row["ID"], **{key: value for key, value in row.items() if key != "ID"}}
        for row in DATA.to_pylist()
    ]


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_many_partitions_in_one_call(count: int, table: Table, odps: ODPS) -> None:
    data = {"id": list(range(5 * count)), "day": [f"d{number % count}" for number in range(5 * count)]}
    assert maxlake.write(table, data, odps=odps).rows == 5 * count
    read = maxlake.read(table, ["id", "day"], odps=odps).to_arrow()
    assert len(read["day"].unique()) == count
    assert all(day == f"d{number % count}" for number, day in zip(*read.to_pydict().values(), strict=True))


@pytest.mark.parametrize("partition", ["day=mon", {"day": "mon"}])
def test_a_partition_is_replaced(table: Table, odps: ODPS, partition: Any) -> None:
    maxlake.write(table, DATA, odps=odps)
    maxlake.write(table, {"id": [9]}, partition, mode="overwrite", odps=odps)
    assert [row["id"] for row in rows_of(table, odps)] == [3, 4, 9]
    maxlake.write(table, {"id": [8], "day": ["tue"]}, mode="overwrite", odps=odps)
    assert [row["id"] for row in rows_of(table, odps)] == [4, 8, 9]


def test_a_table_is_replaced_by_nothing(new_table: Callable[..., Table], odps: ODPS) -> None:
    table = new_table("id bigint")
    maxlake.write(table, {"id": [1]}, odps=odps)
    assert maxlake.write(table, [], mode="overwrite", odps=odps).rows == 0
    assert rows_of(table, odps) == []


def test_rows_of_the_same_key_are_replaced(new_table: Callable[..., Table], odps: ODPS) -> None:
    table = new_table("id bigint not null, name string", key="primary key (id)")
    # The last row of a key counts, however many threads there are.
    many = [{"id": number % 7, "name": str(number)} for number in range(50_000)]
    maxlake.write(table, many, mode="upsert", odps=odps)
    assert rows_of(table, odps) == sorted(many[-7:], key=lambda row: row["id"])
    maxlake.write(table, {"id": [0, 1], "__operation": [ord("D"), ord("D")]}, mode="upsert", odps=odps)
    assert [row["id"] for row in rows_of(table, odps)] == [2, 3, 4, 5, 6]
    maxlake.write(table, {"id": [5]}, mode="overwrite", odps=odps)
    assert rows_of(table, odps) == [{"id": 5, "name": None}]


def test_a_mode_fits_its_table(table: Table, new_table: Callable[..., Table], odps: ODPS) -> None:
    keyed = new_table("id bigint not null", key="primary key (id)")
    with pytest.raises(ValueError, match='say mode="upsert"'):
        maxlake.write(keyed, {"id": [1]}, odps=odps)
    with pytest.raises(ValueError, match="has no primary key"):
        maxlake.write(table, DATA, mode="upsert", odps=odps)
    with pytest.raises(ValueError, match="'merge' is not a valid WriteMode"):
        maxlake.write(table, DATA, mode="merge", odps=odps)


def test_large_data_goes_through_many_streams(
    table: Table, odps: ODPS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel_write, "CLIENT_WAITING_BYTES", 100_000)
    told: list[Moved] = []
    ids = list(range(200_000))
    batches = pa.table({"id": ids, "day": ["mon"] * len(ids)}).to_batches(max_chunksize=2000)
    written = maxlake.write(table, iter(batches), threads=4, progress=told.append, odps=odps)
    assert written.rows == told[-1].rows == len(ids)
    assert sorted(maxlake.read(table, ["id"], odps=odps).to_arrow()["id"].to_pylist()) == ids


BAD: dict[str, tuple[Any, str]] = {
    "unknown column": ({"id": [1], "nam": ["x"], "day": ["mon"]}, "has no column nam; it has: id, name"),
    "no partition": ({"id": [1]}, "no value for the partition column day"),
    "a column twice": (pa.table([[1], [2], ["mon"]], ["id", "ID", "day"]), "occur twice"),
    "too large": ({"id": [1, 2**63], "day": ["mon"] * 2}, "column id: "),
    "too large for Arrow's type": (pa.table({"id": [0.0, 1e300], "day": ["mon"] * 2}), "column id, row 1"),
    "fraction in a row": ([{"id": 1, "day": "mon"}, {"id": 1.5, "day": "mon"}], "column id, row 1"),
    "fraction": ({"id": [1.0, 2.5], "day": ["mon"] * 2}, "column id, row 1"),
    "text for a number": ({"id": ["1"], "day": ["mon"]}, "Arrow string does not go into bigint"),
    "texts among numbers": ([{"id": 1, "day": "mon"}, {"id": "x", "day": "mon"}], "column id: .*'x'"),
    "more columns later": ([{"id": 1, "day": "mon"}, {"id": 1, "dya": "mon"}], "row 1 has columns that"),
    "another schema later": ([DATA, DATA.select(["ID"])], "another schema than the first"),
    "no rows at all": (5, "rows cannot be taken from int"),
    "texts": (iter(["a"]), "must give batches, tables or rows"),
    "absent file": ("absent.parquet", "no file at absent.parquet"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_does_not_fit_is_refused_and_nothing_kept(what: str, table: Table, odps: ODPS) -> None:
    data, message = BAD[what]
    with pytest.raises((ValueError, TypeError, BadRequestError, FileNotFoundError), match=message):
        maxlake.write(table, data, odps=odps)
    assert rows_of(table, odps) == []


def test_an_error_far_down_names_its_row(table: Table, odps: ODPS) -> None:
    ids = [float(number) for number in range(30_000)]
    ids[25_000] = 0.5
    batches = pa.table({"id": ids, "day": ["mon"] * len(ids)}).to_batches(max_chunksize=10_000)
    with pytest.raises(BadRequestError, match="row 5000") as raised:
        maxlake.write(table, iter(batches), odps=odps)
    assert "Rows are counted from row 20000 of what is written." in raised.value.__notes__


@pytest.mark.parametrize("error", [KeyError("mine"), KeyboardInterrupt()])
def test_a_source_that_fails_aborts_the_session(error: BaseException, table: Table, odps: ODPS) -> None:
    def batches() -> Iterator[pa.Table]:
        yield DATA
        yield DATA
        raise error

    with pytest.raises(type(error)) as raised:
        maxlake.write(table, batches(), odps=odps)
    assert any("was aborted: nothing of it is visible" in note for note in raised.value.__notes__)
    assert rows_of(table, odps) == []


@pytest.fixture
def broken(shared_server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ODPS, FaultProxy]]:
    """An entry object whose calls go through a proxy that breaks some."""
    monkeypatch.setattr(ConnectedClient, "retry_seconds", 2.0)
    with fault_proxy(shared_server.endpoint) as proxy:
        place = {"endpoint": proxy.endpoint, "tunnel_endpoint": proxy.endpoint, "overwrite_global": False}
        yield ODPS(shared_server.access_id, shared_server.secret, shared_server.project, **place), proxy


WRITES = faults.action("TableWrite")


def test_an_upload_that_fails_aborts_the_session(table: Table, broken: tuple[ODPS, FaultProxy]) -> None:
    odps, proxy = broken
    unreachable = proxy.inject(faults.when(WRITES, faults.unreachable))
    with unreachable, pytest.raises(errors.ODPSError) as raised:
        maxlake.write(table.name, DATA, odps=odps)
    assert any("was aborted" in note for note in raised.value.__notes__)
    assert maxlake.read(table.name, odps=odps).to_arrow().num_rows == 0


def test_an_upload_that_breaks_is_sent_again(table: Table, broken: tuple[ODPS, FaultProxy]) -> None:
    odps, proxy = broken
    with proxy.inject(faults.when(faults.first(2, WRITES), faults.lose_answer)):
        assert maxlake.write(table.name, DATA, odps=odps).rows == DATA.num_rows
    assert maxlake.read(table.name, odps=odps).to_arrow().num_rows == DATA.num_rows


#: Writes for ever, and says when it has begun.
PROGRAM = """
    import sys
    import maxlake
    def rows():
        number = 0
        while True:
            yield {"id": number, "day": "mon"}
            number += 1
            if number == 100_000:
                print("begun", flush=True)
    maxlake.write(sys.argv[1], rows())
"""


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_a_program_that_ends_leaves_nothing(
    how: signal.Signals, shared_server: LocalServer, table: Table, odps: ODPS
) -> None:
    environment = {
        **os.environ,
        "ALIBABA_CLOUD_ACCESS_KEY_ID": shared_server.access_id,
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": shared_server.secret,
        "ODPS_PROJECT_NAME": shared_server.project,
        "ODPS_ENDPOINT": shared_server.endpoint,
    }
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), table.name]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        assert program.stdout.readline() == "begun\n"
        program.send_signal(how)
        begun = time.monotonic()
        program.wait(30)
        said = program.stderr.read()
    if how is signal.SIGINT:
        assert "KeyboardInterrupt" in said
        assert "was aborted: nothing of it is visible" in said
        assert time.monotonic() - begun < 10
    assert rows_of(table, odps) == []


def test_interrupted_after_the_commit_the_error_says_that_rows_may_be_visible(
    table: Table, odps: ODPS, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = StorageApiArrowClient.commit_write_session

    def interrupted(self: StorageApiArrowClient, *arguments: Any) -> None:
        commit(self, *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(StorageApiArrowClient, "commit_write_session", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        maxlake.write(table, DATA, odps=odps)
    assert "may be visible" in caught.value.__notes__[0]
    assert len(rows_of(table, odps)) == DATA.num_rows
