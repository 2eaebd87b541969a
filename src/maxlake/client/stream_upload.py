"""The upload of one stream that survives: what broke is sent again, under a higher version of the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maxlake.client.arrow import ArrowWriter
from maxlake.client.errors import TruncatedStreamError
from maxlake.client.streams import StreamWriter
from maxlake.protocol.limits import CLIENT_STREAM_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    import pyarrow as pa

    from maxlake.client.enums import Compression
    from maxlake.client.responses import CloseWriteStreamResponse
    from maxlake.client.upload import Upload
    from maxlake.client.upload_spool import UploadSpool

#: In a warning it says that rows are missing (wire.md §9.4).
_INCOMPLETE = "data_incomplete"


class StreamUpload:
    """Writes batches to one stream of a write session, and closes it. Made by ``client.upload_stream``.

    Nobody knows what became of rows whose connection broke. So they are all sent again under the next version
    of the stream, which discards what lower ones had (wire.md §9.1): each row is stored once. To commit
    just these rows, name the stream by ``stream_id`` and, after ``finish``, ``stream_version``.

    For one thread; other streams may be written by others. Leaving the ``with`` block finishes, leaving it by
    an exception aborts. Raises the errors of the client once they do not pass within ``retry_seconds``, and
    ``UploadNotKeptError`` for an upload that broke when it was too large to be kept.
    """

    def __init__(
        self,
        begin: Callable[[int], Upload],
        close: Callable[[int], CloseWriteStreamResponse],
        spool: UploadSpool,
        stream_id: str | int,
        stream_version: int,
        compression: Compression | None,
    ) -> None:
        self.stream_id = str(stream_id)
        #: The version that has the rows; final when the upload is finished.
        self.stream_version = stream_version
        #: Rows given to ``write``.
        self.row_count = 0
        self._begin = begin
        self._close = close
        self._spool = spool
        self._next_version = stream_version
        self._bytes = StreamWriter.of_rows_stored_once(self._begin_version, spool)
        self._writer = ArrowWriter(self._bytes, compression)
        self._finished = False

    @property
    def is_full(self) -> bool:
        """Whether another stream should have the next rows: what breaks is sent again from its start."""
        return self._spool.size >= CLIENT_STREAM_BYTES

    def write(self, batch: pa.RecordBatch) -> None:
        """Send the next rows; all batches have the same schema (else ``ValueError``)."""
        if not self._writer.write(batch):
            raise ValueError(f"the upload of stream {self.stream_id} has ended: it takes no more rows")
        self.row_count += batch.num_rows

    def finish(self) -> None:
        """Wait until all rows are stored, and close the stream. May be repeated."""
        if self._finished:
            return
        if self.row_count:
            _, succeeded = self._writer.finish()
            if not succeeded:
                raise ValueError(f"the upload of stream {self.stream_id} has failed or was aborted")
        warning = self._close(self.stream_version).warning_message or ""
        if _INCOMPLETE in warning:
            raise TruncatedStreamError(
                f"rows of stream {self.stream_id} are missing in the service: {warning}; "
                "do not commit it, write them to another",
                code="DataIncomplete",
            )
        self._finished = True

    def abort(self) -> None:
        """Drop what is under way. The stream stays open in its session, and is not to be committed."""
        self._bytes.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self.abort()

    def _begin_version(self) -> Upload:
        self.stream_version = self._next_version
        self._next_version += 1
        return self._begin(self.stream_version)
