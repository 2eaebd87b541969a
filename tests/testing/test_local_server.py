"""The server that tests start."""

from __future__ import annotations

import os

import pytest

from maxlake.testing import ServerDiedError, local_server


def test_it_serves_and_leaves_nothing():
    with local_server(project="shop") as server:
        assert server.odps().exist_project("shop")
        assert server.root.is_dir()
        pid = server.pid
    assert not server.root.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_root_of_ones_own_is_kept(tmp_path):
    with local_server(tmp_path / "data") as server:
        assert server.root == tmp_path / "data"
    assert server.root.is_dir()


def test_kill_and_restart():
    with local_server() as server:
        server.kill()
        with pytest.raises(ServerDiedError):
            _ = server.pid
        server.restart()
        assert server.odps().exist_project("demo")


def test_a_failure_is_noted_with_the_servers_log():
    with pytest.raises(KeyError) as caught, local_server():
        raise KeyError("mine")
    assert "maxlake serves project demo" in "".join(caught.value.__notes__)


def test_a_server_that_does_not_start_says_why(tmp_path):
    with (
        pytest.raises(ServerDiedError, match="no-such-option"),
        local_server(tmp_path, arguments=("--no-such-option",)),
    ):
        pass
