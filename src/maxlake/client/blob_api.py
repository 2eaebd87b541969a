"""The documented calls on blobs, and reading many of them at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maxlake.client import builders, parsers
from maxlake.client.blob_layers import DownloadFile, payload_of
from maxlake.client.blob_reader import BlobDataIterator, BlobStreamReader
from maxlake.client.blob_writer import BlobStreamWriter
from maxlake.client.connected import ConnectedClient, require
from maxlake.client.parallel_blobs import Blob, read_in_order
from maxlake.client.requests import ReadBlobRequest, WriteBlobRequest, checked_compression
from maxlake.client.responses import WriteBlobResponse
from maxlake.client.upload_writer import UploadWriter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from maxlake.client.blob_items import BlobWriteItem
    from maxlake.client.enums import Compression


class BlobApi(ConnectedClient):
    """Blobs of a table; reading needs their references alone."""

    def write_blob_stream(
        self,
        session_id: str,
        stream_id: str | int,
        stream_version: int = 0,
        partition_values: list[str] | None = None,
        column_index: int = 0,
        compression: Compression | None = None,
    ) -> BlobStreamWriter:
        """Return a writer of one blob; the request begins with its first write.

        ``partition_values`` are texts such as ``pt=1``, ``column_index`` counts the table's columns from 0.
        The reference that ``finish`` returns is to be written into a row of the table.
        """
        self._require_table("write_blob_stream")
        require(session_id=session_id, stream_id=stream_id, stream_version=stream_version)
        blob = WriteBlobRequest(session_id, stream_id, stream_version, partition_values, column_index)
        chosen = checked_compression(compression)
        request = builders.write_blob(self._target, blob, chosen)
        deadline = self._deadline()
        return BlobStreamWriter(lambda: self._upload(request, deadline), chosen)

    def write_blob_batch(
        self,
        items: list[BlobWriteItem],
        session_id: str | None = None,
        stream_id: str | int | None = None,
        stream_version: int = 0,
        partition_values: list[str] | None = None,
        column_index: int = 0,
    ) -> WriteBlobResponse:
        """Upload many blobs in one request, all of them or none; references come in the order of ``items``.

        ``partition_values`` and ``column_index`` are for items that have none.
        """
        self._require_table("write_blob_batch")
        require(session_id=session_id, stream_id=stream_id, stream_version=stream_version)
        batch = WriteBlobRequest(session_id, stream_id, stream_version, partition_values, column_index)
        request = builders.write_blob_batch(self._target, batch)
        deadline = self._deadline()
        writer = UploadWriter(lambda: self._upload(request, deadline))
        try:
            for item in items:
                item.or_default(partition_values or [], column_index).write_frame_to(writer)
            response = writer.complete(parsers.written_blobs)
        finally:
            writer.close()
        return response or WriteBlobResponse()

    def read_blobs(
        self,
        blob_references: Sequence[str | bytes] | None = None,
        compression: Compression | None = None,
        stream: bool = False,
    ) -> BlobDataIterator | BlobStreamReader:
        """Read blobs by their references, in that order: as uploads returned them, or from rows.

        Returns an iterator over ``(data, mime_type)``; with ``stream``, a reader that holds no blob whole.
        The service need not compress as asked.
        """
        iterator = self._iterate(blob_references, compression)
        return BlobStreamReader(iterator) if stream else iterator

    def read_blobs_parallel(
        self,
        blob_references: Sequence[str | bytes],
        max_workers: int = 4,
        compression: Compression | None = None,
    ) -> Iterator[Blob]:
        """Yield ``(data, mime_type)`` of many blobs, in order, read by several requests at once.

        Blobs that came before their turn are held within ``max_memory``, beyond it one of each worker.
        """
        if max_workers < 1:
            raise ValueError(f"max_workers must be at least 1, not {max_workers}")
        return read_in_order(
            lambda references: self._iterate(references, compression),
            list(blob_references),
            max_workers,
            self.memory,
        )

    def _iterate(
        self, references: Sequence[str | bytes] | None, compression: Compression | None
    ) -> BlobDataIterator:
        blobs = ReadBlobRequest(references)
        download = self._download(
            builders.read_blobs(blobs, checked_compression(compression)), self._deadline()
        )
        payload = payload_of(DownloadFile(download), download.headers.get("content-encoding"))
        return BlobDataIterator.of_payload(payload, len(blobs.blob_references))
