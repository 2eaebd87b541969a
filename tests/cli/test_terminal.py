"""The commands in a real terminal: what a person sees of load, preview, dump and doctor."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks.lineitem import lineitem
from maxlake.testing import local_server
from tools.terminal import terminal

pytestmark = pytest.mark.slow
ROWS = 2_000_000


def test_load_preview_dump_and_doctor(tmp_path: Path, tool: Callable[[str], Path]) -> None:
    pq.write_table(lineitem(ROWS, 1), tmp_path / "rows.parquet")
    with local_server() as server:
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ALIBABA_CLOUD_ACCESS_KEY_ID": server.access_id,
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": server.secret,
            "ODPS_PROJECT_NAME": server.project,
            "ODPS_ENDPOINT": server.endpoint,
        }
        with terminal(tool("tmux"), tmp_path, environment) as shown:
            shown.begin("maxlake load rows.parquet rows --create")
            shown.wait_for(lambda screen: "writing " in screen and "MB/s" in screen)  # while it goes on
            assert f"rows: {ROWS:,} rows in" in shown.wait_until_done()
            assert "l_shipdate" in shown.run("maxlake preview rows --limit 5 --column l_shipdate")
            assert "rows" in shown.run("maxlake dump rows out --where 'l_quantity > 49'")
            assert pq.read_table(tmp_path / "out").num_rows > 0
            examined = shown.run("maxlake doctor")
            assert "a row written and read" in examined
            assert all(line.startswith("ok") for line in examined.splitlines()[1:-1])
            shown.begin("maxlake load rows.parquet rows")
            shown.wait_for("writing ")
            shown.do("send-keys", "C-c")
            interrupted = shown.wait_until_done()
            assert "interrupted" in interrupted
            assert "nothing of it is visible" in interrupted
        odps = server.odps()
        assert odps.get_table("rows").record_num == ROWS
