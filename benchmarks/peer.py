"""One client in its own process, told by its standard input what to move; answers what that took.

Run as a script, by the interpreter of the client's environment. Our client and PyODPS 0.13.0 have the
same interface: one class drives both. Times begin here, after the interpreter, its imports and the data.
"""

import importlib
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
from lineitem import lineitem

#: The codecs' names in the clients' enumeration and in Arrow.
CODECS = {"plain": ("UNCOMPRESSED", None), "zstd": ("ZSTD", "zstd"), "lz4": ("LZ4_FRAME", "lz4")}


class Rows:
    """What is moved: ``repeat`` times the same batches."""

    def __init__(self, rows, seed, batch_rows, repeat):
        self.batches = lineitem(rows, seed).to_batches(max_chunksize=batch_rows)
        self.repeat = repeat

    @property
    def row_count(self):
        return sum(batch.num_rows for batch in self.batches) * self.repeat

    @property
    def nbytes(self):
        return sum(batch.nbytes for batch in self.batches) * self.repeat

    def share(self, stream, streams):
        """The batches of one of ``streams`` consecutive shares."""
        every = len(self.batches) * self.repeat
        for position in range(every * stream // streams, every * (stream + 1) // streams):
            yield self.batches[position % len(self.batches)]


class StoragePeer:
    """A client of the Storage API, ours or PyODPS'."""

    def __init__(self, api, endpoint, key, project, table, batch_rows):
        from odps import ODPS

        self.api = importlib.import_module(api)
        odps = ODPS(*key, project, endpoint=endpoint)
        self.client = self.api.StorageApiArrowClient(odps, odps.get_table(table))
        self.batch_rows = batch_rows

    def write(self, rows, streams, codec):
        client, compression = self.client, self.api.Compression[CODECS[codec][0]]
        session = client.create_write_session(flags={"overwrite": "true"}).session_id

        def upload(stream):
            client.create_write_stream(session, stream_id=stream)
            writer = client.write_rows_arrow(session, stream_id=stream, compression=compression)
            for batch in rows.share(stream, streams):
                if not writer.write(batch):
                    raise RuntimeError("the writer takes no more rows")
            _, succeeded = writer.finish()
            if not succeeded:
                raise RuntimeError("the upload failed")
            client.close_write_stream(session, stream_id=stream)

        in_parallel(upload, streams)
        client.commit_write_session(session)

    def read(self, streams, codec, take):
        mode = self.api.SplitOptions.SplitMode.PARALLELISM
        options = self.api.SplitOptions(split_mode=mode, split_number=streams)
        session = self.client.create_read_session(split_options=options)

        def download(split):
            reader = self.client.read_rows_arrow(
                session.session_id,
                split_index=split,
                max_batch_rows=self.batch_rows,
                compression=self.api.Compression[CODECS[codec][0]],
            )
            while (batch := reader.read()) is not None:
                take(batch)

        in_parallel(download, session.splits_count)


class ServicePeer:
    """Whoever moves a whole table by means of his own; he sees to splits and streams himself."""

    def __init__(self, endpoint, key, project, table):
        from odps import ODPS

        self.odps = ODPS(*key, project, endpoint=endpoint)
        self.table = self.odps.get_table(table)


class OneLinePeer(ServicePeer):
    """``maxlake.read`` and ``maxlake.write``."""

    def write(self, rows, streams, codec):
        import maxlake

        batches = pa.RecordBatchReader.from_batches(rows.batches[0].schema, rows.share(0, 1))
        maxlake.write(self.table, batches, mode="overwrite", odps=self.odps, threads=streams)

    def read(self, streams, codec, take):
        import maxlake

        for batch in maxlake.read(self.table, odps=self.odps, threads=streams):
            take(batch)


class TunnelPeer(ServicePeer):
    """PyODPS' own ``open_reader`` and ``open_writer``, through the tunnel, with Arrow batches."""

    def write(self, rows, streams, codec):
        with self.table.open_writer(arrow=True, overwrite=True) as writer:
            for batch in rows.share(0, 1):
                writer.write(batch)

    def read(self, streams, codec, take):
        with self.table.open_reader(arrow=True) as reader:
            for batch in reader:
                take(batch)


class MaxStoragePeer(ServicePeer):
    """``odps.maxstorage`` of PyODPS 0.13.2."""

    def __init__(self, **where):
        import pyarrow.compute  # noqa: F401 - odps.maxstorage uses it without importing it
        from odps.maxstorage import MaxStorageClient

        super().__init__(**where)
        self.client = MaxStorageClient(self.odps)

    def write(self, rows, streams, codec):
        session = self.client.create_table_write_session(self.table, overwrite=True)

        def upload(stream):
            writer = session.open_arrow_writer(str(stream))
            for batch in rows.share(stream, streams):
                writer.write_batch(batch)
            writer.close()

        in_parallel(upload, streams)
        session.commit()

    def read(self, streams, codec, take):
        session = self.client.create_table_read_session(self.table)

        def download(split):
            reader = session.open_arrow_reader(split)
            for batch in reader:
                take(batch)
            reader.close()

        with ThreadPoolExecutor(streams) as pool:
            list(pool.map(download, session.splits))


class FlightPeer:
    """pyarrow.flight's own client. Its server stores nothing: there are no sessions and no commit."""

    def __init__(self, location):
        from pyarrow import flight

        self.flight = flight
        self.client = flight.connect(location)
        self.written = 0

    def write(self, rows, streams, codec):
        options = pa.ipc.IpcWriteOptions(compression=CODECS[codec][1])

        def upload(stream):
            descriptor = self.flight.FlightDescriptor.for_path(f"{streams}/{stream}")
            writer, _ = self.client.do_put(
                descriptor, rows.batches[0].schema, self.flight.FlightCallOptions(write_options=options)
            )
            with writer:
                for batch in rows.share(stream, streams):
                    writer.write_batch(batch)

        in_parallel(upload, streams)

    def read(self, streams, codec, take):
        def download(stream):
            ticket = self.flight.Ticket(f"{streams}/{stream} {CODECS[codec][1] or ''}")
            for chunk in self.client.do_get(ticket):
                take(chunk.data)

        in_parallel(download, streams)


KINDS = {
    "storage": StoragePeer,
    "one line": OneLinePeer,
    "tunnel": TunnelPeer,
    "maxstorage": MaxStoragePeer,
    "flight": FlightPeer,
}


def in_parallel(work, streams):
    if streams == 1:
        work(0)
        return
    with ThreadPoolExecutor(streams) as pool:
        list(pool.map(work, range(streams)))


def perform(peer, rows, action, streams, codec):
    """Move the rows once; return what came, which only ``check`` keeps."""
    kept, counts = [], []
    if action == "write":
        peer.write(rows, streams, codec)
        return
    if action == "check":
        peer.read(1, codec, kept.append)
        if not pa.Table.from_batches(kept).equals(pa.Table.from_batches(list(rows.share(0, 1)))):
            raise RuntimeError("what was read is not what was written")
        return
    peer.read(streams, codec, lambda batch: counts.append(batch.num_rows))
    if sum(counts) != rows.row_count:
        raise RuntimeError(f"{sum(counts)} rows were read, {rows.row_count} written")


def main():
    setup = json.loads(sys.argv[1])
    rows = Rows(**setup["rows"])
    peer = KINDS[setup["kind"]](**setup["peer"])
    print(json.dumps({"rows": rows.row_count, "bytes": rows.nbytes}), flush=True)
    for line in sys.stdin:
        started, cpu = time.perf_counter(), time.process_time()
        perform(peer, rows, **json.loads(line))
        took = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}
        print(json.dumps(took), flush=True)


if __name__ == "__main__":
    main()
