"""``maxlake sessions``: what is open, beside the server that has it."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa

from maxlake.client import StorageApiArrowClient
from maxlake.testing import local_server

PROJECT = "shop"


def sessions(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "maxlake.cli", "sessions", "--root", str(root), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_open_sessions_are_listed_and_others_are_not(tmp_path: Path) -> None:
    with local_server(tmp_path, PROJECT) as server:
        odps = server.odps()
        client = StorageApiArrowClient(odps, odps.create_table("t", "id bigint"))
        ended = client.create_write_session().session_id
        client.abort_write_session(ended)
        writing = client.create_write_session().session_id
        client.create_write_stream(writing, 0)
        writer = client.write_rows_arrow(writing, 0)
        writer.write(pa.record_batch({"id": [1, 2, 3]}))
        writer.finish()
        reading = client.create_read_session().session_id
        done = sessions(tmp_path, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        found = {entry["session_id"]: entry for entry in map(json.loads, done.stdout.splitlines())}
        assert found.keys() == {reading, writing}
        assert {name: found[writing][name] for name in ("kind", "table", "streams", "rows", "expired")} == {
            "kind": "write",
            "table": "default.t",
            "streams": 1,
            "rows": 3,
            "expired": False,
        }
        assert (found[reading]["kind"], found[reading]["rows"]) == ("read", None)
        server.expire(reading)
        shown = sessions(tmp_path, "--project", PROJECT).stdout
    assert "2 sessions" in shown
    assert "expired" in shown


def test_a_directory_that_is_not_served_is_refused(tmp_path: Path) -> None:
    done = sessions(tmp_path)
    assert done.returncode == 1
    assert "no directory that maxlake serves" in done.stderr
