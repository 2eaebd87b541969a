"""The access key: from the environment, or made once."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from maxlake.server.keys import AccessKey, access_key, stored_key

BOTH = {"MAXLAKE_ACCESS_ID": "a", "MAXLAKE_ACCESS_SECRET": "s"}


def test_the_environment_counts_and_nothing_is_stored(tmp_path):
    assert access_key(tmp_path, BOTH) == AccessKey("a", "s")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", BOTH)
def test_half_a_pair_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="both"):
        access_key(tmp_path, {name: "x"})


def test_processes_that_start_together_agree_on_one_key(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: stored_key(tmp_path), range(64)))
    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["access-key.json"]
    assert stat.S_IMODE((tmp_path / "access-key.json").stat().st_mode) == 0o600
    assert access_key(tmp_path, {}) == stored_key(tmp_path)


def test_keys_differ_between_roots(tmp_path):
    assert stored_key(tmp_path / "a") != stored_key(tmp_path / "b")


def test_a_damaged_key_file_is_not_replaced(tmp_path):
    (tmp_path / "access-key.json").touch(0o600)
    (tmp_path / "access-key.json").write_text("{}")
    with pytest.raises(ValueError, match="holds no access key"):
        stored_key(tmp_path)


def test_the_secret_is_not_printed():
    key = AccessKey("id", "hidden")
    assert "hidden" not in repr(key)
    assert (key.find_secret("id"), key.find_secret("other")) == ("hidden", None)


def test_a_key_file_open_to_others_or_empty_is_refused(tmp_path):
    stored_key(tmp_path)
    path = tmp_path / "access-key.json"
    path.chmod(0o640)
    with pytest.raises(ValueError, match="others"):
        stored_key(tmp_path)
    path.chmod(0o600)
    path.write_text('{"access_id": "", "secret": ""}')
    with pytest.raises(ValueError, match="empty"):
        stored_key(tmp_path)
