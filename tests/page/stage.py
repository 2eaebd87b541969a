"""What a scene acts on: one table of its own, seen through the client under test."""

import contextlib
import io
from pathlib import Path

import pyarrow as pa
import v2_client
from behaviours import failed, same

from odps import errors
from odps.apis.storage_api_v2 import BlobWriteItem, SplitOptions, StorageApiArrowClient

#: As the document names it. Each scene begins with a new one.
TABLE = "your_table"


class Stage:
    """The table of one scene, and what its example has printed so far."""

    #: What the set-up of every section is given, by the names it has for it.
    CONNECTION = ("your_access_id", "your_secret_access_key", "your_project", "your_endpoint")

    def __init__(self, server):
        given = (server.access_id, server.secret, server.project, server.endpoint)
        self.connection = dict(zip(self.CONNECTION, given, strict=True))
        self.odps = server.odps()
        self.printed = ""

    @property
    def client(self):
        """A client of our own: the example makes its own, too."""
        return StorageApiArrowClient(self.odps, self.odps.get_table(TABLE))

    def table(self, columns="id bigint, name string", partitions="", clause=""):
        """Make the table anew."""
        partitioned = f"PARTITIONED BY ({partitions})" if partitions else ""
        self.odps.run_sql(f"DROP TABLE IF EXISTS {TABLE}")  # done when answered; else CREATE fails
        self.odps.execute_sql(f"CREATE TABLE {TABLE} ({columns}) {partitioned} {clause}")

    def write(self, *batches, partition=None):
        """Upload and commit."""
        v2_client.write(self.client, *batches, partition=partition)

    def session(self, *streams):
        """A new write session with open streams; its id."""
        session = self.client.create_write_session().session_id
        for stream in streams:
            self.client.create_write_stream(session, stream_id=stream)
        return session

    def upload(self, session, stream, *batches, **how):
        """Create a stream, upload to it, and close it."""
        v2_client.upload(self.client, session, stream, *batches, **how)

    def send(self, session, stream, *batches, **how):
        """Upload to an open stream."""
        v2_client.send(self.client, session, stream, *batches, **how)

    def commit(self, session, *streams):
        """Close streams and commit."""
        for stream in streams:
            self.client.close_write_stream(session, stream_id=stream)
        self.client.commit_write_session(session)

    def spoil(self, session, stream, data):
        """Upload what the service must refuse; the stream is in error then."""
        writer = self.client.write_rows_stream(session, stream_id=stream)
        with contextlib.suppress(errors.ODPSError):
            writer.write(data)
            writer.finish()
        same(self.client.get_write_stream(session, str(stream), 0).status, "ERROR")

    def aborted(self, session):
        """Assert that a write session is gone, and its rows with it."""
        failed(lambda: self.client.get_write_session(session), "NoSuchObject", "aborted", status=404)

    def batches(self, session):
        """The batches of the first split of a read session."""
        return list(iter(self.client.read_rows_arrow(session, split_index=0).read, None))

    def parallel_session(self, splits):
        """A read session of so many splits; its id."""
        options = SplitOptions(split_mode=v2_client.PARALLELISM, split_number=splits)
        return self.client.create_read_session(split_options=options).session_id

    def rows(self):
        """The table's rows, as lists of values, in order."""
        table = v2_client.read(self.client)
        return sorted(list(row.values()) for row in table.to_pylist()) if table.num_rows else []

    def blobs(self, *contents, session=None):
        """Upload blobs, each `(data, mime_type)`; their references."""
        items = [BlobWriteItem(data, mime_type=mime_type) for data, mime_type in contents]
        response = self.client.write_blob_batch(items, session or self.session(0), stream_id=0)
        return response.blob_references

    def read_blobs(self, references):
        return list(self.client.read_blobs(references))

    @staticmethod
    def stream_of(*batches):
        """The batches as the bytes of an Arrow IPC stream."""
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, batches[0].schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        return sink.getvalue()

    @staticmethod
    def file(name, data):
        """Write a file into the example's directory."""
        Path(name).write_bytes(data)
