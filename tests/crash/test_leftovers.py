"""Files that a killed server leaves behind: on disk, but seen by no reader and named by no catalog."""

import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from maxlake.failpoints import Failpoint
from maxlake.lake.durable import TEMPORARY_PREFIX
from tests.crash.lives import Home
from tests.crash.test_kill import World
from tests.lake.duckdb_reader import DuckdbReader

pytestmark = [pytest.mark.crash, pytest.mark.slow]


@pytest.fixture
def world(tmp_path: Path, rng: Random, duckdb_reader: DuckdbReader) -> World:
    return World(Home(tmp_path), rng, duckdb_reader)


def files(world: World) -> set[str]:
    """Names of all files in the data directory that hold rows, or were to."""
    return {path.name for path in (world.home.directory / "data").rglob("*") if path.is_file()}


def named_by_catalog(world: World) -> set[str]:
    with closing(sqlite3.connect(world.home.directory / "lake.sqlite")) as connection:
        paths = connection.execute("SELECT path FROM ducklake_data_file").fetchall()
    return {Path(path).name for (path,) in paths}


def staged_parts(world: World) -> int:
    with closing(sqlite3.connect(world.home.directory / "lake.sqlite")) as connection:
        return connection.execute("SELECT count(*) FROM maxlake_part").fetchone()[0]


@pytest.mark.parametrize("point", [Failpoint.AFTER_PART_SYNC, Failpoint.AFTER_DIRECTORY_SYNC])
def test_what_a_cut_upload_leaves_is_invisible(world: World, point: Failpoint) -> None:
    world.live(f"{point}:1")  # the very first part: nothing was acknowledged, nothing may be seen
    left = files(world)
    drafts = {name for name in left if name.startswith(TEMPORARY_PREFIX)}
    assert drafts if point is Failpoint.AFTER_PART_SYNC else left - drafts
    assert not world.ledger.commits
    assert not staged_parts(world)
    assert not named_by_catalog(world)
    world.finish()  # looks through a read session and through DuckDB, before and after the commits
    assert not left & named_by_catalog(world)


def test_parts_of_an_uncommitted_session_are_invisible(world: World) -> None:
    world.live(f"{Failpoint.BEFORE_COMMIT_TRANSACTION}:1")
    assert staged_parts(world)
    assert not named_by_catalog(world)
    world.finish()
    assert not staged_parts(world)
    assert named_by_catalog(world)
