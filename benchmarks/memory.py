"""Memory of server and client while our client moves many times as much: ``python -m benchmarks.memory``."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.peers import RowsSetup, create_table, storage_client
from benchmarks.processes import HighWater
from maxlake.testing import local_server

OUR_API = "maxlake.storage_api_v2"
TABLE = "lineitem"
#: Rows of the batches sent again and again: small beside what is moved, as in a real stream.
BLOCK_ROWS = 131_072
BYTES_PER_ROW = 143
ACTIONS = ("write", "read")


@dataclass(frozen=True)
class Peak:
    """High-water marks, in bytes, of one direction; ``moved`` is Arrow bytes."""

    action: str
    streams: int
    codec: str
    moved: int
    seconds: float
    server: int
    client: int
    samples: int


def measure(moved: int, streams: int, codec: str, batch_rows: int = 16_384) -> list[Peak]:
    """Write and read at least ``moved`` bytes with our client; the server is fresh, the client too."""
    repeat = moved // (BLOCK_ROWS * BYTES_PER_ROW) + 1
    rows = RowsSetup(BLOCK_ROWS, 1, batch_rows, repeat)
    python = Path(sys.executable)
    peaks: list[Peak] = []
    with local_server() as server:
        create_table(server, TABLE)
        with storage_client(python, OUR_API, server, TABLE, rows) as client:
            for action in ACTIONS:
                with HighWater(server=server.pid, client=client.pid) as high:
                    took = client.perform(action, streams, codec)
                peaks.append(
                    Peak(
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


def table_of(peaks: list[Peak]) -> Table:
    table = Table(title="highest RssAnon + RssShmem, MB")
    for name in ("", "streams", "codec", "moved MB", "server", "client", "seconds", "samples"):
        table.add_column(name, justify="left" if name in ("", "codec") else "right")
    for peak in peaks:
        sizes = (f"{size / 1e6:,.0f}" for size in (peak.moved, peak.server, peak.client))
        moved, server, client = sizes
        table.add_row(
            peak.action,
            str(peak.streams),
            peak.codec,
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
    parser.add_argument("--codecs", nargs="+", default=["plain"], choices=("plain", "zstd", "lz4"))
    chosen = parser.parse_args()
    peaks: list[Peak] = []
    for streams in chosen.streams:
        for codec in chosen.codecs:
            peaks += measure(chosen.bytes, streams, codec)
    Console().print(table_of(peaks))


if __name__ == "__main__":
    main()
