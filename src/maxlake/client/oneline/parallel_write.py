"""Batches written by several streams of one session at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from threading import Thread
from typing import TYPE_CHECKING

from maxlake.client.arrow import ArrowWriter
from maxlake.client.oneline.handover import Handover, HandoverStoppedError
from maxlake.protocol.limits import CLIENT_STOP_SECONDS, CLIENT_STREAM_BYTES

if TYPE_CHECKING:
    import pyarrow as pa

    from maxlake.client.enums import Compression
    from maxlake.client.storage_api_arrow import StorageApiArrowClient

#: A batch, and which row of the whole its first is.
_Numbered = tuple["pa.RecordBatch", int]


class ParallelWrite:
    """Sends batches through up to ``streams`` streams, each ``prepare``d in the thread that sends it.

    About ``max_memory`` bytes wait for the service. Another stream is opened when much waits for those there
    are: each makes files of its own. What goes wrong in any stream ends ``write``.
    """

    def __init__(
        self,
        client: StorageApiArrowClient,
        session_id: str,
        prepare: Callable[[pa.RecordBatch, int], pa.RecordBatch],
        *,
        streams: int,
        max_memory: int,
        compression: Compression | None,
    ) -> None:
        self._client = client
        self._session_id = session_id
        self._prepare = prepare
        self._compression = compression
        self._handover: Handover[_Numbered] = Handover(max_memory)
        self._streams = streams
        self._enough = min(CLIENT_STREAM_BYTES, max_memory // 2)

    def write(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Send all ``batches`` and close the streams; the rows are stored, and to be committed."""
        workers: list[Thread] = []
        try:
            row = 0
            for batch in batches:
                self._handover.put((batch, row), batch.nbytes)
                row += batch.num_rows
                if not workers or (len(workers) < self._streams and self._handover.waiting >= self._enough):
                    workers.append(self._started(len(workers)))
            self._handover.end()
            for worker in workers:
                worker.join()
        except HandoverStoppedError:
            pass
        finally:
            self._handover.stop()
            for worker in workers:
                worker.join(CLIENT_STOP_SECONDS)
        if self._handover.error is not None:
            raise self._handover.error

    def _started(self, stream: int) -> Thread:
        worker = Thread(target=self._work, args=(stream,), name=f"maxlake-write-{stream}", daemon=True)
        worker.start()
        return worker

    def _work(self, stream: int) -> None:
        try:
            batches = self._prepared()
            first = next(batches, None)
            if first is not None:
                self._send(stream, first, batches)
        except HandoverStoppedError:
            pass
        except BaseException as error:  # noqa: BLE001 - it is raised to whoever writes
            self._handover.stop(error)

    def _prepared(self) -> Iterator[pa.RecordBatch]:
        while (taken := self._handover.take()) is not None:
            _, (batch, row) = taken
            yield self._prepare(batch, row)

    def _send(self, stream: int, first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> None:
        self._client.create_write_stream(self._session_id, stream)
        with closing(self._client.write_rows_stream(self._session_id, stream)) as body:
            writer = ArrowWriter(body, self._compression)
            writer.write(first)
            for batch in rest:
                writer.write(batch)
            writer.finish()
        self._client.close_write_stream(self._session_id, stream)
