"""Batches written by several streams of one session at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, count
from typing import TYPE_CHECKING

from maxlake.client.oneline.handover import Handover, HandoverStoppedError
from maxlake.client.oneline.workers import Workers
from maxlake.protocol.limits import CLIENT_WAITING_BYTES

if TYPE_CHECKING:
    import pyarrow as pa

    from maxlake.client.enums import Compression
    from maxlake.client.storage_api_arrow import StorageApiArrowClient

#: A batch, and which row of the whole its first is.
_Numbered = tuple["pa.RecordBatch", int]


class ParallelWrite:
    """Sends batches through up to ``streams`` streams, each ``prepare``d in the thread that sends it.

    The client's memory bounds what waits for the service. Another stream is opened when much waits for those
    there are, since each makes files of its own, and after one that is full. What breaks is sent again; what
    goes wrong for good in any stream ends ``write``.
    """

    def __init__(
        self,
        client: StorageApiArrowClient,
        session_id: str,
        prepare: Callable[[pa.RecordBatch, int], pa.RecordBatch],
        *,
        streams: int,
        compression: Compression | None,
    ) -> None:
        self._client = client
        self._session_id = session_id
        self._prepare = prepare
        self._compression = compression
        self._streams = streams
        self._stream_ids = count()
        self._handover: Handover[_Numbered] = Handover(client.memory)
        self._enough = min(CLIENT_WAITING_BYTES, client.max_memory // 2)
        self._versions: dict[str, int] = {}

    @property
    def written(self) -> tuple[list[str], list[int]]:
        """Ids and versions of the streams to be committed."""
        return list(self._versions), list(self._versions.values())

    def write(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Send all ``batches`` and close the streams; the rows are stored, and to be committed."""
        workers = Workers("maxlake-write", self._work)
        try:
            row = 0
            for batch in batches:
                self._handover.put((batch, row), batch.nbytes)
                row += batch.num_rows
                if not workers or (len(workers) < self._streams and self._handover.waiting >= self._enough):
                    workers.add()
            self._handover.end()
            workers.join()
        except HandoverStoppedError:
            pass
        finally:
            self._handover.stop()
            workers.leave()
        if self._handover.error is not None:
            raise self._handover.error

    def _work(self) -> None:
        try:
            batches = self._prepared()
            while (batch := next(batches, None)) is not None:
                self._send(chain([batch], batches))
        except HandoverStoppedError:
            pass
        except BaseException as error:  # noqa: BLE001 - it is raised to whoever writes
            self._handover.stop(error)

    def _prepared(self) -> Iterator[pa.RecordBatch]:
        while (taken := self._handover.take()) is not None:
            _, (batch, row) = taken
            yield self._prepare(batch, row)

    def _send(self, batches: Iterator[pa.RecordBatch]) -> None:
        """Send ``batches`` through a stream of their own, until it is full."""
        stream = next(self._stream_ids)
        with self._client.upload_stream(self._session_id, stream, compression=self._compression) as upload:
            for batch in batches:
                upload.write(batch)
                if upload.is_full:
                    break
        self._versions[upload.stream_id] = upload.stream_version
