"""How fast blobs are, and what they cost in memory: ``python -m benchmarks.blobs``."""

import argparse
import hashlib
import os
import time
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from benchmarks.processes import HighWater
from maxlake.client import BlobWriteItem, ChecksumType, Compression, StorageApiClient
from maxlake.testing import LocalServer, local_server

PIECE = 1024 * 1024
#: Of the table ``id bigint, data blob``.
DATA = 1


@dataclass(frozen=True)
class Moved:
    """One way of moving blobs: bytes, seconds, and the highest marks of server and client in bytes."""

    action: str
    blobs: int
    bytes: int
    seconds: float
    server: int
    client: int
    samples: int


class Session:
    """A session to upload to, in a table of its own."""

    def __init__(self, server: LocalServer) -> None:
        odps = server.odps()
        self.server = server
        self.client = StorageApiClient(odps, odps.create_table("blobs", "id bigint, data blob"))
        self.id = self.client.create_write_session().session_id
        self.client.create_write_stream(self.id, 0)

    def watch(self) -> HighWater:
        return HighWater(server=self.server.pid, client=os.getpid())


def one_large(
    session: Session, size: int, compression: Compression = Compression.UNCOMPRESSED
) -> list[Moved]:
    """Write one blob in pieces and read it in pieces; its MD5 is compared at both ends."""
    piece, count = os.urandom(PIECE), -(-size // PIECE)
    writer = session.client.write_blob_stream(session.id, 0, column_index=DATA, compression=compression)
    with session.watch() as high:
        began = time.monotonic()
        for _ in range(count):
            writer.write(piece)
        response = writer.finish()
        wrote = _moved("write one", 1, count * PIECE, began, high)
    assert response is not None
    digest = hashlib.md5(usedforsecurity=False)
    with session.watch() as high:
        began = time.monotonic()
        reader = session.client.read_blobs([response.blob_reference], stream=True)
        while got := reader.read(PIECE):
            digest.update(got)
        read = _moved("read one", 1, count * PIECE, began, high)
    assert digest.hexdigest() == response.md5_value
    return [wrote, read]


def many_small(session: Session, count: int, size: int) -> list[Moved]:
    """Write a batch of blobs and read all of them, by one request and by several."""
    blobs = [os.urandom(size) for _ in range(count)]
    items = [BlobWriteItem(data, column_index=DATA, checksum_type=ChecksumType.CRC32) for data in blobs]
    with session.watch() as high:
        began = time.monotonic()
        references = session.client.write_blob_batch(items, session.id, 0).blob_references
        moved = [_moved("write batch", count, count * size, began, high)]
    ways = {
        "read": session.client.read_blobs,
        "read in parallel": session.client.read_blobs_parallel,
    }
    for action, read in ways.items():
        with session.watch() as high:
            began = time.monotonic()
            found = [data for data, _ in read(references)]
            moved.append(_moved(action, count, count * size, began, high))
        assert found == blobs
    return moved


def _moved(action: str, blobs: int, size: int, began: float, high: HighWater) -> Moved:
    seconds = time.monotonic() - began
    return Moved(action, blobs, size, seconds, high.bytes["server"], high.bytes["client"], high.samples)


def table_of(moved: list[Moved]) -> Table:
    table = Table(title="memory: highest RssAnon + RssShmem, MB")
    for name in ("", "blobs", "MB", "MB/s", "blobs/s", "server", "client"):
        table.add_column(name, justify="right" if name else "left")
    for each in moved:
        table.add_row(
            each.action,
            f"{each.blobs:,}",
            f"{each.bytes / 1e6:,.0f}",
            f"{each.bytes / 1e6 / each.seconds:,.0f}",
            f"{each.blobs / each.seconds:,.0f}",
            f"{each.server / 1e6:,.0f}",
            f"{each.client / 1e6:,.0f}",
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.blobs", description=__doc__)
    parser.add_argument("--bytes", type=int, default=1024**3, help="size of the one large blob")
    parser.add_argument("--count", type=int, default=10_000, help="small blobs")
    parser.add_argument("--size", type=int, default=10_000, help="bytes of a small blob")
    chosen = parser.parse_args()
    with local_server() as server:
        session = Session(server)
        moved = one_large(session, chosen.bytes) + many_small(session, chosen.count, chosen.size)
    Console().print(table_of(moved))


if __name__ == "__main__":
    main()
