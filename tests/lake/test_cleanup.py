"""Expiry and cleanup: what a kept version or a pin names stays, the rest goes from catalog and disk."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from sqlalchemy import func, insert, select

from maxlake.lake import (
    cleanup,
    definitions,
    ducklake,
    evolution,
    file_details,
    orphans,
    snapshot_expiry,
    snapshots,
)
from maxlake.lake.cleanup import FILES_AT_ONCE, Pin
from maxlake.lake.database import metadata
from maxlake.lake.files import ListedFile
from maxlake.lake.lake import Lake
from maxlake.protocol.columns import Column
from maxlake.protocol.types.text import parse_type
from tests.lake.duckdb_reader import DuckdbReader
from tests.lake.merging import NAME, Place
from tests.lake.test_conformance import Catalogs, DuckdbView
from tests.postgresql import Postgresql


@pytest.fixture
def catalog(database: Postgresql | None) -> Iterator[tuple[Place, DuckdbView]]:
    with Catalogs(database).new_lake() as (lake, view):
        yield Place(lake), view


@pytest.fixture
def place(catalog: tuple[Place, DuckdbView]) -> Place:
    return catalog[0]


def rows_of(lake: Lake, kind) -> int:
    with lake.database.read() as connection:
        return connection.execute(select(func.count()).select_from(kind)).scalar_one()


def replace_all(place: Place, times: int) -> list[int]:
    """Write the only row anew so many times; return the versions."""
    versions: list[int] = []
    for number in range(times):
        place.append([number], replaced=["a"])
        versions.append(place.latest)
    return versions


def test_versions_go_oldest_first_and_never_the_newest(place: Place) -> None:
    versions = replace_all(place, 3)
    assert place.expire(versions[1]) == versions[1]
    assert (place.oldest, place.ids(versions[1]), place.ids()) == (versions[1], [1], [2])
    place.expire(place.latest)
    assert place.oldest == place.latest
    assert place.expire() == 0
    assert rows_of(place.lake, ducklake.snapshot_changes) == 1


def test_many_versions_go_in_several_transactions(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_expiry, "SNAPSHOTS_AT_ONCE", 2)
    replace_all(place, 6)
    assert place.expire() == place.latest
    assert place.ids() == [5]


def test_a_version_is_kept_as_long_after_its_successor(place: Place) -> None:
    first, second = replace_all(place, 2)
    with place.lake.database.read() as connection:
        snapshot = ducklake.snapshot
        times = dict(connection.execute(select(snapshot.c.snapshot_id, snapshot.c.snapshot_time)).all())
        before = times[second] - timedelta(microseconds=1)
        assert snapshot_expiry.oldest_to_keep(connection, before) == first
        assert snapshot_expiry.oldest_to_keep(connection, times[second]) == second
        assert snapshot_expiry.oldest_to_keep(connection, datetime(1990, 1, 1, tzinfo=UTC)) == 0
        assert snapshot_expiry.oldest_to_keep(connection, datetime.now(UTC) + timedelta(days=9)) == second
        assert snapshot_expiry.count_before(connection, first) == first


def test_files_go_with_the_last_version_that_has_them(place: Place) -> None:
    versions = replace_all(place, 3)
    assert place.clean() == []
    place.expire(versions[1])
    (gone,) = place.clean()
    assert gone.path not in place.files()
    assert place.ids(versions[1]) == [1]
    place.expire()
    assert len(place.clean()) == 1
    assert len(place.files()) == 1
    for kind in (
        ducklake.data_file,
        ducklake.file_partition_value,
        metadata.tables["maxlake_file"],
    ):
        assert rows_of(place.lake, kind) == 1
    assert rows_of(place.lake, ducklake.file_column_stats) == 3
    for kind in (ducklake.files_scheduled_for_deletion, file_details.removal):
        assert rows_of(place.lake, kind) == 0
    assert place.ids() == [2]


@pytest.mark.parametrize("which", range(4))
def test_a_pin_holds_the_files_of_its_version_and_no_others(place: Place, which: int) -> None:
    versions = replace_all(place, 5)
    plans = [place.plan(version) for version in versions]
    place.expire()
    place.clean(Pin(place.table.table_id, versions[which], versions[which]))
    assert {file.path for file in (*plans[which].files, *plans[-1].files)} == place.files()
    place.clean(Pin(place.table.table_id + 1, versions[which], versions[which]))
    assert {file.path for file in plans[-1].files} == place.files()


def test_a_pin_holds_all_files_of_its_range(place: Place) -> None:
    versions = replace_all(place, 5)
    plans = [place.plan(version) for version in versions]
    place.expire()
    place.clean(Pin(place.table.table_id, versions[1], versions[2]))
    assert {file.path for plan in (plans[1], plans[2], plans[4]) for file in plan.files} == place.files()


def test_many_files_go(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanup, "FILES_AT_ONCE", 3)
    replace_all(place, 8)
    place.expire()
    assert len(place.clean()) == 7
    assert len(place.files()) == 1
    assert FILES_AT_ONCE <= 500  # one IN (…)


def test_two_runs_at_once_remove_a_file_once(place: Place) -> None:
    replace_all(place, 3)
    place.expire()
    with place.lake.database.read() as connection:
        unneeded = cleanup.unneeded(connection, place.oldest, [])
    assert len(cleanup.remove(place.lake, unneeded)) == 2
    assert cleanup.remove(place.lake, unneeded) == []
    assert rows_of(place.lake, ducklake.files_scheduled_for_deletion) == 0


def test_what_another_program_scheduled_waits_for_older_pins(place: Place) -> None:
    first, _ = replace_all(place, 2)
    (file,) = place.plan(first).files
    with place.lake.database.write() as connection:
        connection.execute(
            insert(ducklake.files_scheduled_for_deletion).values(
                data_file_id=0, path=file.path, path_is_relative=True, schedule_start=datetime.now(UTC)
            )
        )
    later = replace_all(place, 1)[0]
    with place.lake.database.read() as connection:
        assert cleanup.left_scheduled(connection, [Pin(1, first, first), Pin(2, later, later)]) == []
        assert cleanup.left_scheduled(connection, [Pin(2, later, later)]) == [file.path]
        assert cleanup.left_scheduled(connection, []) == [file.path]


def test_lists_kept_in_memory_stay_right(place: Place) -> None:
    """A second process, say: its list is older than what was merged, expired and removed meanwhile."""
    other = Lake(place.lake.database, place.lake.data)
    numbers = count()

    def listed() -> list[ListedFile]:
        with other.database.read() as connection:
            return list(other.file_lists.at(connection, place.table, snapshots.latest(connection)))

    for _ in range(3):
        for _ in range(5):
            place.append([next(numbers)])
        place.append([next(numbers)], "b", replaced=["b"])
        assert [entry.file for entry in listed()] == list(place.plan().files)
        place.compact()
        place.expire()
        place.clean()
        assert [entry.file for entry in listed()] == list(place.plan().files)


def test_definitions_go_with_the_last_version_that_has_them(
    catalog: tuple[Place, DuckdbView], duckdb_reader: DuckdbReader
) -> None:
    place, view = catalog
    lake = place.lake

    def change(function, *arguments, **options) -> None:
        with lake.database.write() as connection:
            function(connection, *arguments, **options)

    place.append([1])
    change(evolution.add_columns, place.table, [Column("n", parse_type("int"))])
    change(evolution.change_column, place.table, "text", new_name="words")
    change(definitions.create_schema, "s")
    change(definitions.drop_schema, "s")
    columns = rows_of(lake, ducklake.column)
    snapshot_expiry.forget_definitions(lake.database)
    assert rows_of(lake, ducklake.column) == columns
    place.expire()
    snapshot_expiry.forget_definitions(lake.database)
    assert rows_of(lake, ducklake.column) == 4
    assert rows_of(lake, ducklake.schema) == 2
    assert place.ids() == [1]
    theirs = duckdb_reader.rows(view.catalog, "default", NAME, view.options)
    assert set(theirs.column_names) == {"id", "words", "n", "pt"}

    change(definitions.drop_table, place.table)
    place.expire()
    snapshot_expiry.forget_definitions(lake.database)
    assert rows_of(lake, ducklake.table) == 1  # its file is still to go
    place.clean()
    snapshot_expiry.forget_definitions(lake.database)
    for kind in (ducklake.table, ducklake.column, ducklake.table_stats, ducklake.partition_column):
        assert rows_of(lake, kind) == 0
    place.create()
    place.append([2])
    assert duckdb_reader.rows(view.catalog, "default", NAME, view.options).num_rows == 1


def test_a_renamed_table_stays(place: Place) -> None:
    place.append([1])
    with place.lake.database.write() as connection:
        evolution.rename_table(connection, place.table, "other")
    with place.lake.database.write() as connection:
        evolution.rename_table(connection, evolution.tables.get(connection, "default", "other"), NAME)
    place.expire()
    place.clean()
    snapshot_expiry.forget_definitions(place.lake.database)
    assert rows_of(place.lake, ducklake.table) == 1
    assert place.ids() == [1]


def test_a_field_id_is_never_used_twice(place: Place) -> None:
    def change(function, *arguments, **options) -> None:
        with place.lake.database.write() as connection:
            function(connection, place.table, *arguments, **options)

    change(evolution.add_columns, [Column("gone", parse_type("int"))])
    used = place.table.stored["gone"].field_id
    change(evolution.drop_columns, ["gone"])
    place.expire()
    snapshot_expiry.forget_definitions(place.lake.database)
    change(evolution.add_columns, [Column("new", parse_type("int"))])
    assert place.table.stored["new"].field_id > used


def test_files_older_than_the_catalog_are_not_its_own(place: Place) -> None:
    with place.lake.database.read() as connection:
        made = orphans.catalog_age(connection)
    assert made is not None and datetime.now(UTC) - made < timedelta(minutes=5)
    place.append([1])
    found = orphans.files_between(place.lake.data, made, datetime.now(UTC) + timedelta(seconds=1))
    assert [len(files) for files in found] == [1]
    later = datetime.now(UTC) + timedelta(seconds=1)
    assert not list(orphans.files_between(place.lake.data, later, later + timedelta(days=1)))
