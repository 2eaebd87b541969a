"""How fast blobs are, and what they cost in memory: ``python -m benchmarks.blobs``."""

import argparse
import hashlib
import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.processes import HighWater
from maxlake.client import BlobWriteItem, ChecksumType, Compression, StorageApiClient
from maxlake.testing import LocalServer, local_server
from tests.clients.environments import client_python

PEER = Path(__file__).parent / "blob_peer.py"
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


def by_pyodps(server: LocalServer, size: int, count: int, small: int) -> dict[str, float]:
    """Let PyODPS 0.13.2 do the same with the same server; return its seconds by action."""
    key, project = [server.access_id, server.secret], server.project
    setup = {"endpoint": server.endpoint, "key": key, "project": project}
    command = [
        client_python("0.13.2"),
        PEER,
        json.dumps(setup | {"bytes": size, "count": count, "size": small}),
    ]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def by_plain_files(size: int, count: int, small: int) -> dict[str, float]:
    """Write and read as many bytes as plain files, synced: what the disk takes. Seconds by action."""
    with tempfile.TemporaryDirectory() as directory:
        one, many = Path(directory) / "one", [Path(directory) / f"{number}" for number in range(count)]
        piece, data = os.urandom(PIECE), os.urandom(small)
        took: dict[str, float] = {}
        began = time.monotonic()
        with one.open("wb") as file:
            for _ in range(-(-size // PIECE)):
                file.write(piece)
            os.fsync(file.fileno())
        took["write one"] = time.monotonic() - began
        began = time.monotonic()
        with one.open("rb") as file:
            while file.read(PIECE):
                pass
        took["read one"] = time.monotonic() - began
        began = time.monotonic()
        for path in many:
            path.write_bytes(data)
        os.sync()
        took["write batch"] = time.monotonic() - began
        began = time.monotonic()
        for path in many:
            path.read_bytes()
        took["read"] = time.monotonic() - began
    return took


def table_of(moved: list[Moved], pyodps: dict[str, float], plain: dict[str, float]) -> Table:
    table = Table(title="speed in times theirs; memory: highest RssAnon + RssShmem, MB")
    for name in ("", "blobs", "MB", "MB/s", "blobs/s", "/ pyodps", "/ plain", "server", "client"):
        table.add_column(name, justify="right" if name else "left")
    for each in moved:
        table.add_row(
            each.action,
            f"{each.blobs:,}",
            f"{each.bytes / 1e6:,.0f}",
            f"{each.bytes / 1e6 / each.seconds:,.0f}",
            f"{each.blobs / each.seconds:,.0f}",
            *(_ratio(theirs, each) for theirs in (pyodps, plain)),
            f"{each.server / 1e6:,.0f}",
            f"{each.client / 1e6:,.0f}",
        )
    return table


def _ratio(seconds: dict[str, float], ours: Moved) -> str:
    theirs = seconds.get(ours.action.removesuffix(" in parallel"))
    return f"{theirs / ours.seconds:.2f}" if theirs else ""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.blobs", description=__doc__)
    parser.add_argument("--bytes", type=int, default=1024**3, help="size of the one large blob")
    parser.add_argument("--count", type=int, default=10_000, help="small blobs")
    parser.add_argument("--size", type=int, default=10_000, help="bytes of a small blob")
    chosen = parser.parse_args()
    with local_server() as server:
        session = Session(server)
        moved = one_large(session, chosen.bytes) + many_small(session, chosen.count, chosen.size)
        pyodps = by_pyodps(server, chosen.bytes, chosen.count, chosen.size)
    plain = by_plain_files(chosen.bytes, chosen.count, chosen.size)
    Console(width=110).print(table_of(moved, pyodps, plain))


if __name__ == "__main__":
    main()
