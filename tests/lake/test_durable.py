"""Files are synced before their names are, and the names in every directory that leads to them."""

import os
from pathlib import Path

import pytest

from maxlake.lake import durable
from maxlake.protocol.errors import InternalError


@pytest.fixture
def synced(monkeypatch):
    """Paths in the order in which they are synced."""
    paths = list[Path]()
    real = os.fsync

    def fsync(descriptor: int) -> None:
        paths.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return paths


def test_a_file_is_synced_then_named_then_every_directory_up_to_the_data(tmp_path: Path, synced) -> None:
    final = tmp_path / "schema" / "table" / "pt=1" / "part.parquet"
    final.parent.mkdir(parents=True)  # whoever made these may not have synced them: all are synced again
    durable.temporary_path(final).write_bytes(b"rows")
    durable.publish([final], within=tmp_path)
    directories = [final.parent, final.parents[1], final.parents[2], tmp_path]
    assert synced == [durable.temporary_path(final), *directories]
    assert final.read_bytes() == b"rows"
    assert [path.name for path in final.parent.iterdir()] == [final.name]


@pytest.mark.parametrize("exists", [True, False])
def test_a_directory_is_durable_in_its_parents_whoever_made_it(tmp_path: Path, synced, exists: bool) -> None:
    wanted = tmp_path / "projects" / "demo"
    if exists:
        wanted.mkdir(parents=True)
    durable.make_directory(wanted, within=tmp_path)
    assert wanted.is_dir()
    assert synced == [wanted.parent, tmp_path]


def test_what_is_not_renamed_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InternalError):
        durable.publish([tmp_path / "part.parquet"], within=tmp_path)
    assert not list(tmp_path.iterdir())


def test_each_directory_of_an_upload_is_synced_once_after_all_files(tmp_path: Path, synced) -> None:
    finals = [tmp_path / "table" / f"pt={number}" / "part.parquet" for number in range(3)]
    for final in finals:
        final.parent.mkdir(parents=True)
        durable.temporary_path(final).write_bytes(b"rows")
    durable.publish(finals, within=tmp_path)
    assert synced[:3] == [durable.temporary_path(final) for final in finals]
    assert sorted(synced[3:]) == sorted([*(final.parent for final in finals), tmp_path / "table", tmp_path])
