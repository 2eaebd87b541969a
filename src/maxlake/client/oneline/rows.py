"""The rows of one read session: iterated, or turned into what the caller works with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from maxlake.client.arrow import ArrowReader
from maxlake.client.oneline import targets
from maxlake.client.oneline.parallel_read import read_splits
from maxlake.client.oneline.parquet_dump import ParquetDump
from maxlake.client.oneline.progress import ProgressChoice, progress_of
from maxlake.client.oneline.read_position import ReadPosition
from maxlake.protocol.limits import CLIENT_READ_BATCH, MAX_BATCH_ROWS

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import duckdb
    import pandas as pd
    import polars as pl

    from maxlake.client.enums import Compression
    from maxlake.client.oneline.targets import PandasTypes
    from maxlake.client.storage_api_arrow import StorageApiArrowClient


class ReadSession(msgspec.Struct, frozen=True):
    """A read session, and which of its columns are wanted: all that another process needs to read from it.

    ``row_count`` is ``None`` where the service does not count, ``schema`` that of all batches, ``version``
    the table's version that is read: the next ``since``.
    """

    client: StorageApiArrowClient
    session_id: str
    splits_count: int
    row_count: int | None
    version: int | None
    schema: pa.Schema
    compression: Compression | None = None

    def read(self, split: int, skip: int = 0) -> Generator[pa.RecordBatch]:
        """Yield the batches of a split after its first ``skip`` rows."""
        stream = self.client.read_rows_stream(
            self.session_id,
            split,
            max_batch_rows=MAX_BATCH_ROWS,
            max_batch_raw_size=CLIENT_READ_BATCH,
            skip_row_num=skip,
            data_columns=self.schema.names,
            compression=self.compression,
        )
        with closing(stream):
            reader = ArrowReader(stream)
            while (batch := reader.read()) is not None:
                if batch.num_rows:
                    yield batch if batch.schema.equals(self.schema) else batch.cast(self.schema)


class _ArrowStream(ABC):
    """What holds batches of one schema, for everyone who takes Arrow's C streams."""

    schema: pa.Schema

    @abstractmethod
    def __iter__(self) -> Iterator[pa.RecordBatch]: ...

    def to_reader(self) -> pa.RecordBatchReader:
        """Return Arrow's reader of the batches, which come as they are asked for."""
        return pa.RecordBatchReader.from_batches(self.schema, iter(self))

    def to_arrow(self) -> pa.Table:
        """Return all rows as a table."""
        return pa.Table.from_batches(iter(self), self.schema)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.to_reader().__arrow_c_stream__(requested_schema)


class Split(_ArrowStream):
    """One split of a session, to be read by whatever process it is pickled to."""

    def __init__(self, session: ReadSession, index: int) -> None:
        self.session = session
        self.index = index
        self.schema = session.schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self.session.read(self.index)


class Rows(_ArrowStream):
    """The rows of a table at one version, or of a query's result; made by ``maxlake.read``.

    Every iteration reads the session anew, through several connections, and holds about ``max_memory`` bytes
    of batches ahead. Also for everyone who takes an Arrow C stream. Can be pickled. Errors are those of the
    client, raised where a batch is asked for.
    """

    def __init__(
        self,
        session: ReadSession,
        position: ReadPosition,
        *,
        threads: int,
        ordered: bool,
        progress: ProgressChoice,
    ) -> None:
        self.session = session
        self.schema = session.schema
        self._begin = position
        self._position = position
        self._threads = threads
        self._ordered = ordered
        self._progress = progress

    @property
    def row_count(self) -> int | None:
        """Rows of the whole session; ``None`` where the service does not count, as under a filter."""
        return self.session.row_count

    @property
    def version(self) -> int:
        """The table's version: the ``since`` for what comes after it.

        Raises ``ValueError`` where there is none, as of a query's result.
        """
        if self.session.version is None:
            raise ValueError("the service told no version of these rows: nothing can be read since it")
        return self.session.version

    @property
    def splits(self) -> list[Split]:
        """The splits, each to be read by another process or machine."""
        return [Split(self.session, index) for index in range(self.session.splits_count)]

    def state(self) -> dict[str, Any]:
        """Return where the latest iteration stands, for ``maxlake.read(…, state=)`` of any process.

        Every row of a batch that was handed out counts as read, no other. As long as the session can be
        refreshed (a day after it has expired), reading goes on with the same rows.
        """
        return self._position.state()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        position = self._position = self._begin.copy()
        left = position.left(self.session.splits_count)
        skip = dict(position.rows)
        total = None if self.row_count is None or skip or position.first else self.row_count
        batches = read_splits(
            left,
            lambda split: self.session.read(split, skip.get(split, 0)),
            threads=self._threads,
            memory=self.session.client.memory,
            ordered=self._ordered,
        )
        with progress_of(self._progress, "reading", total) as progress, closing(batches):
            for split, batch in batches:
                if batch is None:
                    position.finish(split)
                    continue
                position.advance(split, batch.num_rows)
                progress.advance(batch.num_rows, batch.nbytes)
                yield batch

    def to_pandas(self, types: PandasTypes | str = "arrow") -> pd.DataFrame:
        """Return all rows as a pandas frame.

        With ``types="arrow"`` columns are pandas' Arrow types, which hold every value. ``"numpy"`` gives the
        classic types; what they cannot hold (NULL among integers or booleans, NULL beside NaN) is a
        ``ValueError`` that names the column.
        """
        return targets.to_pandas(self.to_arrow(), targets.PandasTypes(types))

    def to_polars(self) -> pl.DataFrame:
        """Return all rows as a polars frame. Maps become lists of structs with ``key`` and ``value``."""
        return targets.to_polars(self.to_arrow())

    def to_duckdb(self, connection: duckdb.DuckDBPyConnection | None = None) -> duckdb.DuckDBPyRelation:
        """Return a relation over all rows in ``connection``, by default DuckDB's own."""
        return targets.to_duckdb(self.to_arrow(), connection)

    def to_parquet(self, directory: str | Path) -> list[Path]:
        """Write a Parquet file a split into ``directory``, which must be empty or absent; return the files.

        Each file is complete or absent. Memory stays within ``max_memory`` and a row group a file.
        """
        left = self._begin.left(self.session.splits_count)
        total = self.row_count if len(left) == self.session.splits_count else None
        with progress_of(self._progress, "reading", total) as progress:
            memory = self.session.client.max_memory // self._threads
            dump = ParquetDump(Path(directory), self.schema, memory, progress)
            parts = {split: self.session.read(split, self._begin.rows.get(split, 0)) for split in left}
            return dump.write(parts, self._threads)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out who is told about progress: that is of this process."""
        return {**vars(self), "_progress": False}
