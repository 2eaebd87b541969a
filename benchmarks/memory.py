"""Memory of server and client while our client moves many times as much: ``python -m benchmarks.memory``."""

import argparse
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.oneline import LOW_LEVEL, ONE_LINE
from benchmarks.peers import Peer, RowsSetup, create_table, storage_client, whole_table_client
from benchmarks.processes import HighWater
from maxlake.testing import LocalServer, local_server

OUR_API = "maxlake.storage_api_v2"
TABLE = "lineitem"
#: Rows of the batches sent again and again: small beside what is moved, as in a real stream.
BLOCK_ROWS = 131_072
BYTES_PER_ROW = 143
ACTIONS = ("write", "read")


@dataclass(frozen=True)
class Peak:
    """High-water marks, in bytes, of one direction; ``moved`` is Arrow bytes."""

    peer: str
    action: str
    streams: int
    codec: str
    moved: int
    seconds: float
    server: int
    client: int
    samples: int


def measure(
    moved: int, streams: int, codec: str, batch_rows: int = 16_384, peer: str = LOW_LEVEL
) -> list[Peak]:
    """Write and read at least ``moved`` bytes with our client; the server is fresh, the client too."""
    repeat = moved // (BLOCK_ROWS * BYTES_PER_ROW) + 1
    rows = RowsSetup(BLOCK_ROWS, 1, batch_rows, repeat)
    peaks: list[Peak] = []
    with local_server() as server:
        create_table(server, TABLE)
        with _client(peer, server, rows) as client:
            for action in ACTIONS:
                with HighWater(server=server.pid, client=client.pid) as high:
                    took = client.perform(action, streams, codec)
                peaks.append(
                    Peak(
                        peer,
                        action,
                        streams,
                        codec,
                        client.byte_count,
                        took["seconds"],
                        high.bytes["server"],
                        high.bytes["client"],
                        high.samples,
                    )
                )
    return peaks


def _client(peer: str, server: LocalServer, rows: RowsSetup) -> AbstractContextManager[Peer]:
    python = Path(sys.executable)
    if peer == LOW_LEVEL:
        return storage_client(python, OUR_API, server, TABLE, rows)
    return whole_table_client(python, peer, server, TABLE, rows)


def table_of(peaks: list[Peak]) -> Table:
    table = Table(title="highest RssAnon + RssShmem, MB")
    for name in ("client", "", "codec"):
        table.add_column(name)
    for name in ("streams", "moved MB", "server's", "client's", "seconds", "samples"):
        table.add_column(name, justify="right")
    for peak in peaks:
        sizes = (f"{size / 1e6:,.0f}" for size in (peak.moved, peak.server, peak.client))
        moved, server, client = sizes
        table.add_row(
            peak.peer,
            peak.action,
            peak.codec,
            str(peak.streams),
            moved,
            server,
            client,
            f"{peak.seconds:.1f}",
            str(peak.samples),
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--bytes", type=int, default=2_000_000_000, help="Arrow bytes to move each way")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--clients", nargs="+", default=[LOW_LEVEL], choices=(LOW_LEVEL, ONE_LINE))
    parser.add_argument("--codecs", nargs="+", default=["plain"], choices=("plain", "zstd", "lz4"))
    chosen = parser.parse_args()
    peaks: list[Peak] = []
    for peer, streams, codec in product(chosen.clients, chosen.streams, chosen.codecs):
        peaks += measure(chosen.bytes, streams, codec, peer=peer)
    Console().print(table_of(peaks))


if __name__ == "__main__":
    main()
