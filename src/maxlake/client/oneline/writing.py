"""``maxlake.write``: rows into a table in one line, all of them or none."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from maxlake.client.errors import ClientError
from maxlake.client.oneline.connect import client_of
from maxlake.client.oneline.fitting import Fitting
from maxlake.client.oneline.parallel_write import ParallelWrite
from maxlake.client.oneline.progress import ProgressChoice, progress_of
from maxlake.client.oneline.reading import Partition, partition_text
from maxlake.client.oneline.sources import source_of
from maxlake.client.oneline.table_schema import TableSchema
from maxlake.protocol.limits import CLIENT_MAX_MEMORY, CLIENT_STOP_SECONDS, CLIENT_THREADS
from maxlake.protocol.partitions import parse_partition_spec, resolve

if TYPE_CHECKING:
    import pyarrow as pa
    from odps.models import Table

    from maxlake.client.enums import Compression
    from maxlake.client.storage_api_arrow import StorageApiArrowClient
    from odps import ODPS


class WriteMode(StrEnum):
    """What becomes of the rows that are there.

    ``APPEND`` leaves them. ``OVERWRITE`` replaces the named partition, those that receive rows, or a table
    without partitions. ``UPSERT`` replaces rows of the same primary key.
    """

    APPEND = "append"
    OVERWRITE = "overwrite"
    UPSERT = "upsert"


@dataclass(frozen=True)
class Written:
    """What was committed: rows, their bytes in Arrow, seconds it took, and by which session."""

    rows: int
    bytes: int
    seconds: float
    session_id: str


def write(
    table: str | Table,
    data: Any,
    partition: Partition | None = None,
    mode: WriteMode | str = WriteMode.APPEND,
    *,
    odps: ODPS | None = None,
    threads: int = CLIENT_THREADS,
    max_memory: int = CLIENT_MAX_MEMORY,
    progress: ProgressChoice = False,
    compression: Compression | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Written:
    """Write ``data`` to ``table``, a name or PyODPS' object, and commit it: all rows are visible, or none.

    ``data`` is a frame of pandas or polars, an Arrow table or anything with Arrow's C stream, a path or paths
    of Parquet, CSV, JSON or Arrow files or of directories of them, a mapping of columns, or an iterable of
    batches or rows. Columns go by name; values are converted without loss or refused. ``partition`` names all
    partition columns, as ``"day=mon"`` or a mapping, or some or none: the rows have the others.

    Rows go through up to ``threads`` streams at once, upserts through one, since of several rows of a key the
    last counts; they may have the column ``__operation``. About ``max_memory`` bytes wait for the service.
    ``progress`` shows a bar on a terminal if true, or is called with a ``Moved`` for every batch. Once
    ``cancelled()``, asked before every batch and before the commit, the write ends by ``CancelledError``.

    Raises ``ValueError``, ``TypeError`` or ``BadRequestError`` for what does not fit the table, and the
    errors of the client. Whatever is raised, Ctrl-C too, the session is aborted and nothing is visible; where
    it was being committed already, a note of the error says that rows may be.
    """
    if threads < 1 or max_memory < 1:
        raise ValueError(f"threads and max_memory must be positive, not {threads} and {max_memory}")
    mode = WriteMode(mode)
    client = client_of(table, odps)
    client.max_memory = max_memory
    schema = TableSchema.of(client.table)
    _check_mode(mode, schema)
    spec = "" if partition is None else partition_text(partition)
    fixed = resolve(parse_partition_spec(spec), list(schema.partition_columns), complete=False)
    source = source_of(data, schema.columns)
    fitting = Fitting(schema, source.schema, fixed)
    flags = {"overwrite": True} if mode is WriteMode.OVERWRITE else None
    begun = time.monotonic()
    session_id = client.create_write_session(spec, flags).session_id
    with _aborting(client, session_id), progress_of(progress, "writing", source.row_count) as watched:

        def go_on() -> None:
            if cancelled():
                raise CancelledError

        def prepare(batch: pa.RecordBatch, row: int) -> pa.RecordBatch:
            go_on()
            fitted = fitting.fit(batch, row)
            watched.advance(batch.num_rows, batch.nbytes)
            return fitted

        most = 1 if schema.primary_key else threads
        streams = ParallelWrite(client, session_id, prepare, streams=most, compression=compression)
        streams.write(source.small_batches())
        go_on()
        client.commit_write_session(session_id, *streams.written)
    moved = watched.moved
    return Written(moved.rows, moved.bytes, time.monotonic() - begun, session_id)


def _check_mode(mode: WriteMode, table: TableSchema) -> None:
    if mode is WriteMode.UPSERT and not table.primary_key:
        raise ValueError(
            f"{table.table} has no primary key, by which rows could be replaced: append or overwrite"
        )
    if mode is WriteMode.APPEND and table.primary_key:
        raise ValueError(
            f"{table.table} has the primary key {', '.join(table.primary_key)}, so rows may replace others: "
            'say mode="upsert"'
        )


@contextmanager
def _aborting(client: StorageApiArrowClient, session_id: str) -> Generator[None]:
    """Abort the session if the body fails, and say so in a note of its error."""
    try:
        yield
    except BaseException as error:
        client.retry_seconds = min(client.retry_seconds, CLIENT_STOP_SECONDS)
        try:
            client.abort_write_session(session_id)
        except ClientError as refused:
            error.add_note(
                f"Write session {session_id} could not be aborted; if it was being committed, its rows may "
                f"be visible: look at the table before you write again. {refused}"
            )
        else:
            error.add_note(f"Write session {session_id} was aborted: nothing of it is visible.")
        raise
