"""Pictures of the command line for the guide: ``python -m tools.screens``, whenever it looks otherwise."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
from rich.console import Console
from rich.text import Text

from benchmarks.lineitem import lineitem
from maxlake.testing import local_server
from tools.terminal import COLUMNS, Terminal, terminal

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
ROWS = 4_000_000
#: A picture asks no other site for its letters.
_REMOTE_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def picture(shown: Terminal, name: str) -> None:
    """Write what stands on the screen as docs/pictures/cli-NAME.svg."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(shown.screen(colours=True)), no_wrap=True, crop=True)
    drawn = console.export_svg(title=f"maxlake {name}")
    (PICTURES / f"cli-{name}.svg").write_text(_REMOTE_FONT.sub("", drawn))


def main() -> None:
    """Load, dump, preview and examine, in a real terminal and with a real service."""
    tmux = shutil.which("tmux")
    if tmux is None:
        sys.exit("tools.screens needs tmux")
    with tempfile.TemporaryDirectory() as place, local_server() as server:
        directory = Path(place)
        pq.write_table(lineitem(ROWS, 1), directory / "lineitem.parquet")
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ALIBABA_CLOUD_ACCESS_KEY_ID": server.access_id,
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": server.secret,
            "ODPS_PROJECT_NAME": server.project,
            "ODPS_ENDPOINT": server.endpoint,
        }
        with terminal(Path(tmux), directory, environment) as shown:
            shown.begin("maxlake load lineitem.parquet lineitem --create")
            shown.wait_for("MB/s")
            picture(shown, "load")
            shown.wait_until_done()
            columns = " ".join(f"--column {name}" for name in ("l_orderkey", "l_quantity", "l_shipdate"))
            shown.run(f"maxlake preview lineitem --limit 5 {columns}")
            picture(shown, "preview")
            shown.run("maxlake dump lineitem out --where 'l_quantity > 49'")
            picture(shown, "dump")
            shown.run("maxlake doctor")
            picture(shown, "doctor")


if __name__ == "__main__":
    main()
