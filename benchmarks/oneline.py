"""One line beside our low-level client and PyODPS 0.13.2, on one server: ``python -m benchmarks.oneline``."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from rich.table import Table

from benchmarks.peers import Peer, RowsSetup, create_table, storage_client, whole_table_client
from benchmarks.transfer import Line, compare, summary
from maxlake.testing import local_server
from tests.clients.environments import client_python

ONE_LINE, LOW_LEVEL, MAXSTORAGE, TUNNEL = "one line", "low level", "maxstorage", "tunnel"
OTHERS = (LOW_LEVEL, MAXSTORAGE, TUNNEL)


@contextmanager
def all_peers(rows: RowsSetup) -> Iterator[dict[str, Peer]]:
    """A server and four clients of it, each with a table of its own, all warmed up and checked."""
    ours, pyodps = Path(sys.executable), client_python("0.13.2")
    with ExitStack() as stack:
        server = stack.enter_context(local_server())
        peers: dict[str, Peer] = {}
        for name in (ONE_LINE, *OTHERS):
            table = f"lineitem_{len(peers)}"
            create_table(server, table)
            if name == LOW_LEVEL:
                client = storage_client(ours, "maxlake.storage_api_v2", server, table, rows)
            else:
                client = whole_table_client(ours if name == ONE_LINE else pyodps, name, server, table, rows)
            peers[name] = stack.enter_context(client)
            peers[name].perform("write", 1, "plain")
            peers[name].perform("check", 1, "plain")
        yield peers


def table_of(lines: Sequence[Line]) -> Table:
    """Return the lines as a table."""
    table = Table("", "client", title="one line's speed in times the others'")
    for name in ("streams", "MB/s", f"{ONE_LINE} / it", "client CPU s"):
        table.add_column(name, justify="right")
    for line in lines:
        table.add_row(
            line.case.action,
            line.peer,
            str(line.case.streams),
            f"{line.megabytes_per_second:,.0f}",
            f"{line.ratio:.2f}",
            f"{line.client_cpu:.2f}",
        )
    return table


if __name__ == "__main__":
    compare("benchmarks.oneline", __doc__, all_peers, partial(summary, peers=(ONE_LINE, *OTHERS)), table_of)
