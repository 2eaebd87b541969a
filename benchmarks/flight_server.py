"""pyarrow.flight's own server, in its own process: rows come from and go into its memory, nowhere else."""

import sys
from pathlib import Path
from threading import Lock

import pyarrow as pa
from pyarrow import flight


class MemoryServer(flight.FlightServerBase):
    """Keeps what was put under a name; a ticket is that name and the codec to answer in."""

    def __init__(self) -> None:
        super().__init__("grpc://127.0.0.1:0")
        self._lock = Lock()
        self._batches: dict[str, tuple[pa.Schema, list[pa.RecordBatch]]] = {}

    def do_put(
        self,
        _context: flight.ServerCallContext,
        descriptor: flight.FlightDescriptor,
        reader: flight.MetadataRecordBatchReader,
        _writer: flight.FlightMetadataWriter,
    ) -> None:
        batches = [chunk.data for chunk in reader]
        with self._lock:
            self._batches[descriptor.path[0].decode()] = reader.schema, batches

    def do_get(self, _context: flight.ServerCallContext, ticket: flight.Ticket) -> flight.FlightDataStream:
        name, _, codec = ticket.ticket.decode().partition(" ")
        with self._lock:
            schema, batches = self._batches[name]
        rows = pa.RecordBatchReader.from_batches(schema, batches)
        return flight.RecordBatchStream(rows, options=pa.ipc.IpcWriteOptions(compression=codec or None))


def main(ready_file: str) -> None:
    server = MemoryServer()
    waiting = Path(f"{ready_file}.new")
    waiting.write_text(f"grpc://127.0.0.1:{server.port}")
    waiting.rename(ready_file)
    server.serve()


if __name__ == "__main__":
    main(sys.argv[1])
