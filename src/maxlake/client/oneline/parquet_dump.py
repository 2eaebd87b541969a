"""Splits as Parquet files, several written at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, suppress
from queue import SimpleQueue
from threading import Event
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from maxlake.client.oneline.workers import Workers

if TYPE_CHECKING:
    from pathlib import Path

    from maxlake.client.oneline.progress import Progress

#: A row group larger than this gains nothing.
_MOST_ROW_GROUP = 64 * 1024 * 1024


class ParquetDump:
    """Writes files into ``directory``, made if absent; each appears when it is complete.

    A row group is made of about ``memory`` bytes of rows. Raises ``FileExistsError`` if there is something.
    """

    def __init__(self, directory: Path, schema: pa.Schema, memory: int, progress: Progress) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise FileExistsError(f"{directory} is not empty; name another directory, or empty it")
        self._directory = directory
        self._schema = schema
        self._memory = min(memory, _MOST_ROW_GROUP)
        self._progress = progress
        self._stopped = Event()

    def write(self, parts: Mapping[int, Generator[pa.RecordBatch]], threads: int) -> list[Path]:
        """Write a file of each part, named by its number, one without rows if there are none."""
        if not parts:
            return [self._write(0, _nothing())]
        waiting = deque(parts.items())
        results: SimpleQueue[Path | BaseException] = SimpleQueue()

        def work() -> None:
            with suppress(IndexError):
                while not self._stopped.is_set():
                    number, batches = waiting.popleft()
                    try:
                        results.put(self._write(number, batches))
                    except BaseException as error:  # noqa: BLE001 - it is raised to whoever dumps
                        results.put(error)

        workers = Workers("maxlake-dump", work)
        try:
            for _ in range(min(threads, len(parts))):
                workers.add()
            return sorted(_raised(results.get()) for _ in parts)
        finally:
            self._stopped.set()
            workers.leave()

    def _write(self, number: int, batches: Generator[pa.RecordBatch]) -> Path:
        path = self._directory / f"part-{number:05}.parquet"
        unfinished = path.with_suffix(".unfinished")
        try:
            with closing(batches), pq.ParquetWriter(unfinished, self._schema, compression="zstd") as writer:
                for table in self._row_groups(batches):
                    writer.write_table(table)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        return path

    def _row_groups(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
        group: list[pa.RecordBatch] = []
        size = 0
        for batch in batches:
            if self._stopped.is_set():
                raise InterruptedError("another file could not be written")
            self._progress.advance(batch.num_rows, batch.nbytes)
            group.append(batch)
            size += batch.nbytes
            if size >= self._memory:
                yield pa.Table.from_batches(group, self._schema)
                group, size = [], 0
        if group:
            yield pa.Table.from_batches(group, self._schema)


def _raised(result: Path | BaseException) -> Path:
    if isinstance(result, BaseException):
        raise result
    return result


def _nothing() -> Generator[pa.RecordBatch]:
    yield from ()
