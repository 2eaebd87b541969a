"""Read and write speed of our client, PyODPS 0.13.0 and pyarrow.flight: ``python -m benchmarks.transfer``."""

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, TypeVar

from rich.progress import track
from rich.table import Table

from benchmarks.peers import Peer, RowsSetup, create_table, flight_client, storage_client
from benchmarks.processes import cpu_seconds
from benchmarks.report import report
from maxlake.testing import local_server
from tests.clients.environments import client_python

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

L = TypeVar("L", bound="DataclassInstance")

CODECS = ("plain", "zstd", "lz4")
ACTIONS = ("write", "read")
#: The peer that is compared with the others, and those.
PEERS = OURS, PYODPS, FLIGHT, STORING = "maxlake", "pyodps", "flight", "storing flight"


@dataclass(frozen=True)
class Case:
    """What all peers do once in every round."""

    action: str
    codec: str
    streams: int


@dataclass(frozen=True)
class Timing:
    """One peer doing one case once; times in seconds."""

    case: Case
    peer: str
    round: int
    seconds: float
    client_cpu: float
    server_cpu: float


@contextmanager
def all_peers(rows: RowsSetup) -> Iterator[dict[str, Peer]]:
    """A server and two clients of it, two of pyarrow.flight with a client each, all warmed up and checked."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(local_server())
        peers: dict[str, Peer] = {}
        for name, python, api in (
            (OURS, Path(sys.executable), "maxlake.storage_api_v2"),
            (PYODPS, client_python("0.13.0"), "odps.apis.storage_api_v2"),
        ):
            table = f"lineitem_{len(peers)}"
            create_table(server, table)
            peers[name] = stack.enter_context(storage_client(python, api, server, table, rows))
        peers[FLIGHT] = stack.enter_context(flight_client(directory / "flight", rows))
        peers[STORING] = stack.enter_context(flight_client(directory / "storing", rows, directory))
        for peer in peers.values():
            peer.perform("write", 1, "plain")
            peer.perform("check", 1, "plain")
        yield peers


def run(peers: dict[str, Peer], cases: list[Case], rounds: int) -> list[Timing]:
    """Let the peers take turns: in each round each case, in each case each peer, another one first."""
    order = list(peers.items())
    turns = list(itertools.product(range(rounds), cases))
    timings: list[Timing] = []
    for turn, (number, case) in enumerate(track(turns, description="measuring", transient=True)):
        first = turn % len(order)
        for name, peer in order[first:] + order[:first]:
            before = cpu_seconds(peer.server_pid)
            took = peer.perform(case.action, case.streams, case.codec)
            used = cpu_seconds(peer.server_pid) - before
            timings.append(Timing(case, name, number, took["seconds"], took["cpu"], used))
    return timings


@dataclass(frozen=True)
class Line:
    """One peer in one case: medians over the rounds, times in seconds.

    ``ratio`` is the median of its time to ours in the same round: above 1, ours is faster.
    """

    case: Case
    peer: str
    megabytes_per_second: float
    ratio: float
    client_cpu: float
    server_cpu: float


def summary(timings: list[Timing], byte_count: int, peers: Sequence[str] = PEERS) -> list[Line]:
    """Return a line for each case and peer, in the order they first came in; the first peer is ours."""
    ours = {(t.case, t.round): t.seconds for t in timings if t.peer == peers[0]}
    lines: list[Line] = []
    for case in dict.fromkeys(t.case for t in timings):
        for peer in peers:
            own = [t for t in timings if t.case == case and t.peer == peer]
            lines.append(
                Line(
                    case,
                    peer,
                    byte_count / 1e6 / median(t.seconds for t in own),
                    median(t.seconds / ours[case, t.round] for t in own),
                    median(t.client_cpu for t in own),
                    median(t.server_cpu for t in own),
                )
            )
    return lines


def table_of(lines: Sequence[Line]) -> Table:
    """Return the lines as a table, one row a case."""
    table = Table(title="MB/s; our speed in times theirs; CPU seconds of a transfer of ours")
    for name in ("", "codec"):
        table.add_column(name)
    numbers = ("streams", *PEERS, *(f"/ {peer}" for peer in PEERS[1:]), "client s", "server s")
    for name in numbers:
        table.add_column(name, justify="right")
    for case in dict.fromkeys(line.case for line in lines):
        of_peer = {line.peer: line for line in lines if line.case == case}
        ours = of_peer[OURS]
        table.add_row(
            case.action,
            case.codec,
            str(case.streams),
            *(f"{of_peer[peer].megabytes_per_second:,.0f}" for peer in PEERS),
            *(f"{of_peer[peer].ratio:.2f}" for peer in PEERS[1:]),
            f"{ours.client_cpu:.2f}",
            f"{ours.server_cpu:.2f}",
        )
    return table


def arguments(program: str, description: str | None) -> argparse.Namespace:
    """Return what the command line says of the rows, the cases and the rounds."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    parser.add_argument("--rows", type=int, default=3_500_000, help="rows moved at a time (143 bytes each)")
    parser.add_argument("--batch-rows", type=int, default=16_384, help="rows of one record batch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--codecs", nargs="+", default=["plain"], choices=CODECS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where to write every timing, with the run's description")
    return parser.parse_args()


def compare(
    program: str,
    description: str | None,
    peers_of: Callable[[RowsSetup], AbstractContextManager[dict[str, Peer]]],
    summary_of: Callable[[list[Timing], int], Sequence[L]],
    table_of: Callable[[Sequence[L]], Table],
) -> None:
    """Let peers do every action with every codec and number of streams of the command line, and report."""
    chosen = arguments(program, description)
    cases = [Case(*case) for case in itertools.product(ACTIONS, chosen.codecs, chosen.streams)]
    rows, started = RowsSetup(chosen.rows, chosen.seed, chosen.batch_rows), time.monotonic()
    with peers_of(rows) as peers:
        byte_count = next(iter(peers.values())).byte_count
        timings = run(peers, cases, chosen.rounds)
    lines = summary_of(timings, byte_count)
    run_of = {"bytes": byte_count, "rounds": chosen.rounds, **asdict(rows)}
    report(table_of(lines), lines, timings, chosen.json, started, **run_of)


if __name__ == "__main__":
    compare("benchmarks.transfer", __doc__, all_peers, summary, table_of)
