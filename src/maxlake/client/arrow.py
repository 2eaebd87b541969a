"""Record batches on top of row streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from odps.errors import DependencyNotInstalledError

from maxlake.client.errors import ClientError, MalformedAnswerError
from maxlake.client.requests import checked_compression

if TYPE_CHECKING:
    from maxlake.client.enums import Compression, Status
    from maxlake.client.responses import WriteStreamResponse
    from maxlake.client.streams import StreamReader, StreamWriter


class ArrowReader:
    """Reads record batches from ``stream_reader``, whatever compression the service chose for them.

    A batch's memory is recycled once nothing refers to the batch any more.
    """

    def __init__(self, stream_reader: StreamReader) -> None:
        self._stream = stream_reader
        self._batches: Any = None
        self._ended = False

    def read(self) -> pa.RecordBatch | None:
        """Return the next batch; ``None`` when all were read.

        Raises ``TruncatedStreamError`` if rows are missing, ``MalformedAnswerError`` if what came is
        not Arrow, ``ValueError`` if the stream was closed.
        """
        if self._ended:
            return None
        if self._stream.closed:
            raise ValueError("read of a closed reader")
        try:
            if self._batches is None:
                self._batches = pa.ipc.open_stream(self._stream)
            return self._batches.read_next_batch()
        except StopIteration:
            self._ended = True
            self._batches = None
            return None
        except ClientError:
            raise
        except (pa.ArrowException, OSError) as error:
            self._stream.close()
            raise MalformedAnswerError(
                f"the service answered 200, but its rows cannot be decoded: {error}",
                code="MalformedAnswer",
                request_id=self.get_request_id(),
                status_code=200,
            ) from error

    def get_status(self) -> Status:
        """Return ``Status.OK`` once everything was read, else ``Status.RUNNING``."""
        return self._stream.get_status()

    def get_request_id(self) -> str | None:
        """Return the request id of the answer."""
        return self._stream.get_request_id()


class ArrowWriter:
    """Writes record batches to ``stream_writer``, compressed batch by batch as ``compression`` says.

    Raises ``ValueError`` for an unknown compression, ``DependencyNotInstalledError`` if this build of
    pyarrow lacks its codec.
    """

    def __init__(self, stream_writer: StreamWriter, compression: Compression | None) -> None:
        codec = checked_compression(compression).to_compression_name()
        if codec is not None and not pa.Codec.is_available(codec):
            raise DependencyNotInstalledError(f"this pyarrow was built without the codec {codec}")
        self._stream = stream_writer
        # Compressed memory is the batch's no more; other memory the caller may use again.
        self._lent = codec is None
        self._options = pa.ipc.IpcWriteOptions(compression=codec)
        self._sink = _Sink()
        self._batches: Any = None

    def write(self, record_batch: pa.RecordBatch) -> bool:
        """Send a batch; all of one writer have the same schema (else ``ValueError``).

        Returns ``True``, or ``False`` if the writer is finished, failed or closed. Raises as
        ``StreamWriter.write`` does.
        """
        if not isinstance(record_batch, pa.RecordBatch):
            raise TypeError(f"a pyarrow.RecordBatch is needed, not {type(record_batch).__name__}")
        if not self._stream.writable():
            return False
        if self._batches is None:
            self._batches = pa.ipc.new_stream(self._sink, record_batch.schema, options=self._options)
        try:
            self._batches.write_batch(record_batch)
        except BaseException:
            if self._sink.pieces:  # nothing can follow a part of a message
                self._stream.close()
            raise
        return self._stream.write_pieces(self._sink.take(), lent=self._lent)

    def finish(self) -> tuple[str | None, bool]:
        """End the upload; return the commit message and ``True``. As ``StreamWriter.finish`` otherwise."""
        if self._batches is not None and self._stream.writable():
            self._batches.close()
            self._stream.write_pieces(self._sink.take(), lent=False)
        self._batches = None
        return self._stream.finish()

    def get_write_stream_response(self) -> WriteStreamResponse | None:
        """Return the answer's exactly-once data; ``None`` before finish, or if it held none."""
        return self._stream.get_write_stream_response()

    def get_status(self) -> Status:
        """Return ``Status.OK`` after a successful finish, else ``Status.RUNNING``."""
        return self._stream.get_status()

    def get_request_id(self) -> str | None:
        """Return the request id of the answer; ``None`` before there is one."""
        return self._stream.get_request_id()


class _Sink:
    """Where pyarrow writes: keeps the pieces of a batch, of which large ones are its own memory."""

    closed = False

    def __init__(self) -> None:
        self.pieces: list[Any] = []

    def take(self) -> list[Any]:
        """Return the pieces written since."""
        taken, self.pieces = self.pieces, []
        return taken

    def write(self, data: Any) -> int:
        self.pieces.append(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: the stream sends when it has enough."""

    def close(self) -> None:
        """Do nothing: the end of the stream is ours to say."""
