"""Uploads: what they leave behind, what they hold in memory, what their files look like."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maxlake.lake import definitions, parts
from maxlake.lake.buckets import bucket_numbers
from maxlake.lake.database import Database
from maxlake.lake.lake import Lake
from maxlake.lake.parts import Part, Upload, storage_schema
from maxlake.lake.tables import Table, TableOptions
from maxlake.protocol.columns import Column, TableSchema
from maxlake.protocol.errors import BadRequestError
from maxlake.protocol.types.text import parse_type

MIB = 1024 * 1024
UNCLUSTERED = TableOptions()
_numbers = count()


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    opened = Lake.open(Database.sqlite(tmp_path / "lake.sqlite"), tmp_path / "data")
    yield opened
    opened.close()


def make_table(
    lake: Lake, keys: tuple[str, ...] = (), options: TableOptions = UNCLUSTERED, **types: str
) -> Table:
    columns = {name: Column(name, parse_type(text)) for name, text in types.items()}
    data = tuple(column for name, column in columns.items() if name not in keys)
    schema = TableSchema(data, tuple(columns[key] for key in keys))
    with lake.database.write() as connection:
        return definitions.create_table(connection, "default", f"t{next(_numbers)}", schema, options, "me")


def rows(table: Table, **columns: list[object]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(columns, schema=storage_schema(table))


def files(lake: Lake) -> list[str]:
    return sorted(path.name for path in lake.data.rglob("*.parquet"))


# -- what is left behind ----------------------------------------------------------------------------


def start_and_fail(lake: Lake, table: Table, monkeypatch, before: Callable[[], None]) -> None:
    monkeypatch.setattr(parts, "BUFFERED_BYTES", 0)
    with Upload(lake.data, table, "u") as upload:
        upload.write(rows(table, a=[1, 2], k=["x", "y"]))
        assert len(files(lake)) == 2
        before()
        raise ValueError("first")


def test_a_failed_upload_leaves_nothing_though_its_files_cannot_be_ended(lake: Lake, monkeypatch) -> None:
    table = make_table(lake, ("k",), a="bigint", k="string")

    def full(self: pq.ParquetWriter) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(ValueError, match="first"):
        start_and_fail(lake, table, monkeypatch, lambda: monkeypatch.setattr(pq.ParquetWriter, "close", full))
    assert files(lake) == []


def test_what_cannot_be_removed_does_not_hide_the_first_error(lake: Lake, monkeypatch) -> None:
    table = make_table(lake, ("k",), a="bigint", k="string")
    real = Path.unlink

    def unlink(self: Path, missing_ok: bool = False) -> None:
        if "k=x" in str(self):
            raise PermissionError(13, "Permission denied", str(self))
        real(self, missing_ok=missing_ok)

    with pytest.raises(ValueError, match="first") as failed:
        start_and_fail(lake, table, monkeypatch, lambda: monkeypatch.setattr(Path, "unlink", unlink))
    assert "left behind" in failed.value.__notes__[0]
    assert len(files(lake)) == 1  # k=y went all the same


def test_finished_parts_stay_until_they_are_discarded(lake: Lake) -> None:
    table = make_table(lake, a="bigint")
    upload = Upload(lake.data, table, "u")

    def finish_and_fail() -> None:
        with upload:
            upload.write(rows(table, a=[1]))
            upload.finish()
            raise RuntimeError("the connection was lost while COMMIT was answered")

    with pytest.raises(RuntimeError):
        finish_and_fail()
    assert files(lake) == ["u.parquet"]
    upload.discard()
    assert files(lake) == []


# -- what is held in memory -------------------------------------------------------------------------


def test_a_rare_partition_does_not_hold_the_rows_of_the_others(lake: Lake, monkeypatch) -> None:
    table = make_table(lake, ("k",), a="string", k="string")
    monkeypatch.setattr(parts, "BUFFERED_BYTES", 4 * MIB)
    before = pa.total_allocated_bytes()
    with Upload(lake.data, table, "u") as upload:
        for number in range(40):
            upload.write(rows(table, a=[f"{number:01000}"] * 1000, k=["common"] * 999 + ["rare"]))
            assert pa.total_allocated_bytes() - before < 16 * MIB
        written = upload.finish()
    assert {part.key: part.record_count for part in written} == {("common",): 39_960, ("rare",): 40}


def test_a_slice_of_a_large_batch_counts_as_the_whole_of_it(lake: Lake, monkeypatch) -> None:
    table = make_table(lake, a="string")
    monkeypatch.setattr(parts, "BUFFERED_BYTES", 4 * MIB)
    monkeypatch.setattr(parts, "GATHERED_BYTES", 4 * MIB)
    before = pa.total_allocated_bytes()
    with Upload(lake.data, table, "u") as upload:
        for number in range(40):
            upload.write(rows(table, a=[f"{number:01000}"] * 1000).slice(0, 1))
            assert pa.total_allocated_bytes() - before < 16 * MIB
        (part,) = upload.finish()
    assert part.record_count == 40


def test_many_short_runs_keep_their_order(lake: Lake) -> None:
    table = make_table(lake, ("k",), a="bigint", k="bigint")
    with Upload(lake.data, table, "u") as upload:
        for first in range(0, 2000, 10):
            numbers = list(range(first, first + 10))
            upload.write(rows(table, a=numbers, k=[number % 3 for number in numbers]))
            if first == 1000:
                upload.write(rows(table, a=[-1] * 3000, k=[0] * 3000))
        written = upload.finish()
    for part in written:
        read = pq.read_table(lake.data / table.path / part.path)["a"].to_pylist()
        wanted = [number for number in range(2000) if number % 3 == int(part.key[0])]
        if part.key == ("0",):
            place = sum(number < 1010 for number in wanted)
            wanted[place:place] = [-1] * 3000
        assert read == wanted


def test_rows_gathered_for_many_buckets_are_bounded(lake: Lake, monkeypatch) -> None:
    table = make_table(lake, options=clustered("a", buckets=4096), a="string")
    monkeypatch.setattr(parts, "BUFFERED_BYTES", 4 * MIB)
    monkeypatch.setattr(parts, "GATHERED_BYTES", 2 * MIB)
    before = pa.total_allocated_bytes()
    with Upload(lake.data, table, "u") as upload:
        for number in range(40):
            upload.write(rows(table, a=[f"{number % 4:01000}"] * 1000))
            assert pa.total_allocated_bytes() - before < 16 * MIB
        written = upload.finish()
    assert sum(part.record_count for part in written) == 40_000


def test_files_are_opened_when_they_are_written(lake: Lake) -> None:
    table = make_table(lake, options=clustered("a", buckets=500), a="bigint")
    with Upload(lake.data, table, "u") as upload:
        upload.write(rows(table, a=list(range(100_000))))
        assert files(lake) == []  # all of it fits into memory
        assert len(upload.finish()) == len(files(lake)) == 500


# -- buckets ----------------------------------------------------------------------------------------


def clustered(*columns: str, buckets: int) -> TableOptions:
    return TableOptions(clustered_by=columns, buckets=buckets)


def read(lake: Lake, table: Table, part: Part) -> pa.RecordBatch:
    (batch,) = pq.ParquetFile(lake.data / table.path / part.path).read().combine_chunks().to_batches()
    return batch


uploaded_rows = st.lists(
    st.tuples(
        st.none() | st.integers(-5, 5),
        st.none() | st.sampled_from(["", "x", "y", "数"]),
        st.sampled_from(["x", "y", "z z"]),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    uploaded_rows,
    st.lists(st.integers(1, 30), max_size=6),
    st.integers(1, 9),
    st.sampled_from([(), ("k",)]),
    st.sampled_from([("a",), ("S", "A")]),
    st.sampled_from([1, 200]),
)
def test_every_row_lands_once_in_a_file_of_its_partition_and_bucket(
    lake: Lake,
    found: list[tuple[int | None, str | None, str]],
    cuts: list[int],
    buckets: int,
    keys: tuple[str, ...],
    columns: tuple[str, ...],
    gathered: int,
) -> None:
    options = clustered(*columns, buckets=buckets)
    table = make_table(lake, keys, options, n="bigint", a="int", s="string", k="string")
    a, s, k = (list(column) for column in zip(*found, strict=True))
    batch = rows(table, n=list(range(len(found))), a=a, s=s, k=k)
    with pytest.MonkeyPatch.context() as patched, Upload(lake.data, table, "u") as upload:
        patched.setattr(parts, "GATHERED_ROWS", gathered)
        for cut in cuts:
            upload.write(batch.slice(0, cut))
            batch = batch.slice(cut) if cut < batch.num_rows else batch.slice(0, 0)
        upload.write(batch)
        written = upload.finish()
    assert upload.record_count == len(found)
    numbers: list[int] = []
    for part in written:
        stored = read(lake, table, part)
        here = stored["n"].to_pylist()
        assert here == sorted(here)
        numbers += here
        assert set(bucket_numbers(stored, [c.lower() for c in columns], buckets).to_pylist()) == {part.bucket}
        assert {(value,) if keys else () for value in stored["k"].to_pylist()} == {part.key}
        assert [stored[c].to_pylist() for c in "ask"] == [[column[n] for n in here] for column in (a, s, k)]
    assert sorted(numbers) == list(range(len(found)))
    assert len({(part.key, part.bucket) for part in written}) == len(written)


def test_the_bucket_ends_the_name_and_the_upload_begins_it(lake: Lake) -> None:
    table = make_table(lake, ("k",), clustered("a", buckets=4096), a="bigint", k="string")
    with Upload(lake.data, table, "u") as upload:
        upload.write(rows(table, a=[42], k=["x"]))
        (part,) = upload.finish()
    assert (part.path, part.bucket) == ("k=x/u-b03037.parquet", 3037)


def test_unclustered_parts_have_no_bucket(lake: Lake) -> None:
    table = make_table(lake, ("k",), a="bigint", k="string")
    with Upload(lake.data, table, "u") as upload:
        upload.write(rows(table, a=[42], k=["x"]))
        (part,) = upload.finish()
    assert (part.path, part.bucket) == ("k=x/u.parquet", None)


def test_many_short_batches_for_many_buckets_keep_their_order(lake: Lake, monkeypatch) -> None:
    monkeypatch.setattr(parts, "BUFFERED_BYTES", 256 * 1024)
    table = make_table(lake, options=clustered("a", buckets=40), n="bigint", a="bigint")
    with Upload(lake.data, table, "u") as upload:
        for first in range(0, 60_000, 100):
            numbers = list(range(first, first + 100))
            upload.write(rows(table, n=numbers, a=[number % 97 for number in numbers]))
        written = upload.finish()
    everything: list[int] = []
    for part in written:
        numbers = pq.read_table(lake.data / table.path / part.path)["n"].to_pylist()
        assert numbers == sorted(numbers)
        assert len(numbers) == part.record_count
        everything += numbers
    assert sorted(everything) == list(range(60_000))


# -- limits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "value"), [("MAX_PARTITIONS_PER_WRITE", 3), ("MAX_FILES_PER_WRITE", 15)])
def test_an_upload_has_a_limit_of_partitions_and_files(
    lake: Lake, monkeypatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(parts, limit, value)
    table = make_table(lake, ("k",), clustered("a", buckets=4), a="bigint", k="string")

    def upload_partitions(count: int) -> list[Part]:
        with Upload(lake.data, table, f"u{count}") as upload:
            for key in range(count):
                upload.write(rows(table, a=list(range(100)), k=[str(key)] * 100))
            return upload.finish()

    assert len(upload_partitions(3)) == 12
    with pytest.raises(BadRequestError, match="send the other partitions"):
        upload_partitions(4)
    assert len(files(lake)) == 12


# -- row groups -------------------------------------------------------------------------------------


def row_groups(lake: Lake, table: Table, *batches: pa.RecordBatch) -> list[int]:
    with Upload(lake.data, table, "u") as upload:
        for batch in batches:
            upload.write(batch)
        (part,) = upload.finish()
    footer = pq.read_metadata(lake.data / table.path / part.path)
    return [footer.row_group(index).num_rows for index in range(footer.num_row_groups)]


def test_row_groups_are_full_but_for_the_last(lake: Lake) -> None:
    table = make_table(lake, a="bigint")
    batches = [rows(table, a=list(range(50_000))) for _ in range(6)]
    assert row_groups(lake, table, *batches) == [131_072, 131_072, 300_000 - 2 * 131_072]


def test_row_groups_of_wide_rows_hold_fewer_of_them(lake: Lake, monkeypatch) -> None:
    table = make_table(lake, a="string")
    monkeypatch.setattr(parts, "ROW_GROUP_BYTES", MIB)
    groups = row_groups(lake, table, rows(table, a=["x" * 1024] * 5000))
    assert sum(groups) == 5000
    assert len(set(groups[:-1])) == 1
    assert 900 < groups[0] <= 1024
