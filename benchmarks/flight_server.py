"""pyarrow.flight's own server, in its own process: rows come from and go into its memory, or its files."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import flight

from maxlake.lake.parts import COMPRESSION, COMPRESSION_LEVEL, DICTIONARY_BYTES, ROW_GROUP_ROWS


class Store(Protocol):
    """Where a server keeps what was put under a name."""

    def put(self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None: ...

    def get(self, name: str) -> pa.RecordBatchReader: ...


class Memory:
    """Keeps the batches themselves."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._batches: dict[str, tuple[pa.Schema, list[pa.RecordBatch]]] = {}

    def put(self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        came = list(batches)
        with self._lock:
            self._batches[name] = schema, came

    def get(self, name: str) -> pa.RecordBatchReader:
        with self._lock:
            return pa.RecordBatchReader.from_batches(*self._batches[name])


class Files:
    """Keeps Parquet files, written as ours are and synced before the answer."""

    BATCH_ROWS = 16_384

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _path(self, name: str) -> Path:
        return self._directory / f"{name.replace('/', '-')}.parquet"

    def put(self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        path = self._path(name)
        with path.open("wb") as file:
            with pq.ParquetWriter(
                file,
                schema,
                compression=COMPRESSION,
                compression_level=COMPRESSION_LEVEL,
                dictionary_pagesize_limit=DICTIONARY_BYTES,
                store_decimal_as_integer=True,
                write_page_checksum=True,
            ) as writer:
                held: list[pa.RecordBatch] = []
                for batch in batches:
                    held.append(batch)
                    if sum(each.num_rows for each in held) >= ROW_GROUP_ROWS:
                        writer.write_table(pa.Table.from_batches(held), ROW_GROUP_ROWS)
                        held = []
                writer.write_table(pa.Table.from_batches(held, schema), ROW_GROUP_ROWS)
            file.flush()
            os.fsync(file.fileno())

    def get(self, name: str) -> pa.RecordBatchReader:
        file = pq.ParquetFile(self._path(name))
        return pa.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches(self.BATCH_ROWS))


class Server(flight.FlightServerBase):
    """Puts and gets what a store keeps; a ticket is a name and the codec to answer in."""

    def __init__(self, store: Store) -> None:
        super().__init__("grpc://127.0.0.1:0")
        self._store = store

    def do_put(
        self,
        _context: flight.ServerCallContext,
        descriptor: flight.FlightDescriptor,
        reader: flight.MetadataRecordBatchReader,
        _writer: flight.FlightMetadataWriter,
    ) -> None:
        self._store.put(descriptor.path[0].decode(), reader.schema, (chunk.data for chunk in reader))

    def do_get(self, _context: flight.ServerCallContext, ticket: flight.Ticket) -> flight.FlightDataStream:
        name, _, codec = ticket.ticket.decode().partition(" ")
        options = pa.ipc.IpcWriteOptions(compression=codec or None)
        return flight.RecordBatchStream(self._store.get(name), options=options)


def main(ready_file: str, directory: str | None = None) -> None:
    """Serve out of memory, or out of a directory; write the address into a file."""
    server = Server(Memory() if directory is None else Files(Path(directory)))
    waiting = Path(f"{ready_file}.new")
    waiting.write_text(f"grpc://127.0.0.1:{server.port}")
    waiting.rename(ready_file)
    server.serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
