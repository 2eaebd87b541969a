"""Speed of our client and of PyODPS 0.13.0 where no server limits them: ``python -m benchmarks.clients``.

The byte server sends a recorded answer and drops uploads; beside it the same with the real server.
"""

import itertools
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pyarrow as pa
from rich.table import Table

from benchmarks.lineitem import lineitem
from benchmarks.peers import Peer, RowsSetup, create_table, storage_client
from benchmarks.transfer import OURS, PYODPS, Case, Timing, compare
from maxlake.testing import LocalServer, byte_server, local_server
from tests.clients.environments import client_python

BYTES, REAL = "byte server", "maxlake serve"
CLIENTS = {
    OURS: (Path(sys.executable), "maxlake.storage_api_v2"),
    PYODPS: (client_python("0.13.0"), "odps.apis.storage_api_v2"),
}


def named(client: str, server: str) -> str:
    """Return what a client of a server is called among all peers."""
    return f"{client}, {server}"


@contextmanager
def all_peers(rows: RowsSetup) -> Iterator[dict[str, Peer]]:
    """Both clients of both servers, warmed up and checked."""
    batches = lineitem(rows.rows, rows.seed).to_batches(max_chunksize=rows.batch_rows)
    with ExitStack() as stack:
        bytes_only = stack.enter_context(byte_server(pa.Table.from_batches(batches)))
        servers = {BYTES: bytes_only, REAL: stack.enter_context(local_server())}
        peers: dict[str, Peer] = {}
        for (server_name, server), (client, (python, api)) in itertools.product(
            servers.items(), CLIENTS.items()
        ):
            table = "rows"
            if isinstance(server, LocalServer):
                table = f"rows_{client}"
                create_table(server, table)
            peer = stack.enter_context(storage_client(python, api, server, table, rows))
            peer.perform("write", 1, "plain")
            peer.perform("check", 1, "plain")
            peers[named(client, server_name)] = peer
        size = pa.ipc.get_record_batch_size
        if bytes_only.received().byte_count < len(CLIENTS) * sum(map(size, batches)):
            raise RuntimeError("some rows were not uploaded to the byte server")
        yield peers


@dataclass(frozen=True)
class Line:
    """Both clients in one case on one server: medians over the rounds, speeds in MB/s, times in seconds.

    ``ratio`` is the median of PyODPS' time to ours in the same round: above 1, ours is faster. ``limit`` is
    what one core of the server's would do: our bytes by its CPU time.
    """

    case: Case
    server: str
    ours: float
    theirs: float
    ratio: float
    our_cpu: float
    their_cpu: float
    limit: float


def summary(timings: list[Timing], byte_count: int) -> list[Line]:
    """Return a line for each server and case."""
    lines: list[Line] = []
    for server, case in itertools.product((BYTES, REAL), dict.fromkeys(t.case for t in timings)):
        ours, theirs = (
            [t for t in timings if (t.case, t.peer) == (case, named(client, server))] for client in CLIENTS
        )
        lines.append(
            Line(
                case,
                server,
                ours=byte_count / 1e6 / median(t.seconds for t in ours),
                theirs=byte_count / 1e6 / median(t.seconds for t in theirs),
                ratio=median(their.seconds / our.seconds for our, their in zip(ours, theirs, strict=True)),
                our_cpu=median(t.client_cpu for t in ours),
                their_cpu=median(t.client_cpu for t in theirs),
                limit=byte_count / 1e6 / max(0.01, median(t.server_cpu for t in ours)),
            )
        )
    return lines


def table_of(lines: Sequence[Line]) -> Table:
    """Return the lines as a table."""
    table = Table(title="MB/s; our speed in times theirs; CPU seconds of one transfer")
    for name in ("server", "", "codec"):
        table.add_column(name)
    for name in ("streams", OURS, PYODPS, f"/ {PYODPS}", f"{OURS} CPU", f"{PYODPS} CPU", "server's limit"):
        table.add_column(name, justify="right")
    for line in lines:
        table.add_row(
            line.server,
            line.case.action,
            line.case.codec,
            str(line.case.streams),
            f"{line.ours:,.0f}",
            f"{line.theirs:,.0f}",
            f"{line.ratio:.2f}",
            f"{line.our_cpu:.2f}",
            f"{line.their_cpu:.2f}",
            f"{line.limit:,.0f}",
        )
    return table


if __name__ == "__main__":
    compare("benchmarks.clients", __doc__, all_peers, summary, table_of)
