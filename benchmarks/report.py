"""What a run of calls found: a table on the terminal, and every timing in a file."""

import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

#: Columns of text the tables need, also where the output is no terminal.
WIDTH = 150


def report(
    table: Table,
    lines: Sequence["DataclassInstance"],
    turns: Sequence["DataclassInstance"],
    path: Path | None,
    started: float,
    **chosen: object,
) -> None:
    """Print the table and where it was measured; write both and all timings to ``path`` if there is one."""
    run = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[1], 1),
        "processor": platform.machine(),
        "python": platform.python_version(),
        "pyarrow": version("pyarrow"),
        "duckdb": version("duckdb"),
        **chosen,
        "seconds": round(time.monotonic() - started),
    }
    console = Console(width=max(WIDTH, Console().width))
    console.print(table)
    console.print(", ".join(f"{name} {value}" for name, value in run.items()))
    if path is not None:
        result = {
            "run": run,
            "summary": [asdict(line) for line in lines],
            "timings": [asdict(turn) for turn in turns],
        }
        path.write_text(json.dumps(result, indent=2) + "\n")
