"""Parts: the Parquet files an upload leaves behind, one a partition, durable before anyone names them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from maxlake.lake import durable
from maxlake.lake.partitions import PartitionKey
from maxlake.lake.statistics import ColumnStatistics, bounded_leaves, file_statistics
from maxlake.lake.tables import Table
from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.limits import MAX_PARTITIONS_PER_WRITE
from maxlake.protocol.partitions import check_partition_value, hive_path
from maxlake.protocol.types.storage import ducklake_columns, storage_field

#: Rows of a row group: small enough to seek in, large enough to compress (design.md §3).
ROW_GROUP_ROWS = 131_072
#: Bytes of a row group before encoding, for wide rows.
ROW_GROUP_BYTES = 64 * 1024 * 1024
#: Bytes one upload may hold back over all its partitions before the largest becomes a row group.
BUFFERED_BYTES = 96 * 1024 * 1024
#: Runs of fewer rows are joined, this many at a time, while they wait.
SHORT_RUN_ROWS = 1024
SHORT_RUNS = 64
COMPRESSION = "zstd"
COMPRESSION_LEVEL = 1
#: A column chunk's dictionary may grow this large, then values are stored plainly: building the larger
#: dictionaries of columns with many values costs a fifth of the writing, and makes files larger.
DICTIONARY_BYTES = 128 * 1024


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One durable file no snapshot names yet; ``path`` is below the table's directory, sizes in bytes.

    ``bucket`` is that of all its rows, None in tables that are not clustered.
    """

    path: str
    key: PartitionKey
    record_count: int
    file_size: int
    footer_size: int
    raw_size: int
    statistics: tuple[ColumnStatistics, ...]
    bucket: int | None = None


def storage_schema(table: Table) -> pa.Schema:
    """Return the schema of a table's files: data columns, then partition columns, with field ids."""
    fields: list[pa.Field] = []
    for column in table.columns.all_columns:
        first = table.stored[column.name].field_id
        rows = ducklake_columns(column.name, column.type, column.nullable, first)
        ids = [row.column_id for row in rows]
        fields.append(storage_field(column.name, column.type, column.nullable, ids))
    return pa.schema(fields)


class _PartWriter:
    """One file being written."""

    def __init__(self, path: Path, schema: pa.Schema, bounded: list[str]) -> None:
        self.path = path
        self.buffered: list[pa.RecordBatch] = []
        self._short: list[pa.RecordBatch] = []
        self.buffered_rows = self.buffered_bytes = 0
        self.record_count = self.raw_size = 0
        self._footers: list[pq.FileMetaData] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(
            durable.temporary_path(path),
            schema,
            compression=COMPRESSION,
            compression_level=COMPRESSION_LEVEL,
            dictionary_pagesize_limit=DICTIONARY_BYTES,
            # Integers up to 18 digits decode several times as fast as byte strings.
            store_decimal_as_integer=True,
            write_statistics=bounded,
            write_page_checksum=True,
            metadata_collector=self._footers,
        )

    def append(self, batch: pa.RecordBatch) -> None:
        if batch.num_rows < SHORT_RUN_ROWS:
            self._short.append(batch)
            if len(self._short) == SHORT_RUNS:
                self._join_short()
        else:
            self._join_short()
            self.buffered.append(batch)
        self.buffered_rows += batch.num_rows
        self.buffered_bytes += batch.get_total_buffer_size()
        self.raw_size += batch.nbytes
        if self.buffered_rows >= ROW_GROUP_ROWS or self.buffered_bytes >= ROW_GROUP_BYTES:
            self._write_full_groups()

    def _join_short(self) -> None:
        """Short runs cost more in objects than in rows."""
        if self._short:
            self.buffered.append(pa.concat_batches(self._short))
        self._short = []

    def _write_full_groups(self) -> None:
        """Write the row groups that are complete by rows or bytes, and keep the rows after them."""
        self._join_short()
        table = pa.Table.from_batches(self.buffered)
        rows = min(ROW_GROUP_ROWS, max(1, table.num_rows * ROW_GROUP_BYTES // max(table.nbytes, 1)))
        # Few rows may hold many bytes: slices of a batch hold all of it.
        full = table.num_rows // rows * rows or table.num_rows
        self._write(table.slice(0, full), rows)
        self._hold(table.slice(full).to_batches())

    def flush(self) -> None:
        """Write all that is held back."""
        self._join_short()
        if self.buffered:
            self._write(pa.Table.from_batches(self.buffered), ROW_GROUP_ROWS)
        self._hold([])

    def _write(self, table: pa.Table, rows_per_group: int) -> None:
        if table.num_rows:
            self._writer.write_table(table, row_group_size=rows_per_group)
            self.record_count += table.num_rows

    def _hold(self, batches: list[pa.RecordBatch]) -> None:
        self.buffered = batches
        self.buffered_rows = sum(batch.num_rows for batch in batches)
        self.buffered_bytes = sum(batch.get_total_buffer_size() for batch in batches)

    def end(self) -> None:
        """Write the rest and the footer."""
        self.flush()
        self._writer.close()

    @property
    def footer(self) -> pq.FileMetaData:
        return self._footers[0]

    def discard(self) -> None:
        # What is thrown away need not be complete: on a full disk its end cannot be written.
        with suppress(OSError, pa.ArrowException):
            self._writer.close()
        durable.temporary_path(self.path).unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


class Upload:
    """Writes the batches of one upload as parts.

    A context manager: what fails before :meth:`finish` has returned leaves nothing behind. After that the
    parts may be named by a transaction whose outcome is unknown, and only :meth:`discard` removes them.

    ``name`` is unique to the upload (session, stream, version, sequence) and begins every file name, so
    that a file nobody refers to tells whose it was.
    """

    def __init__(self, data: Path, table: Table, name: str) -> None:
        self._data = data
        self._directory = data / table.path
        self._table = table
        self._name = name
        self._schema = storage_schema(table)
        self._bounded = bounded_leaves(self._schema)
        self._writers: dict[PartitionKey, _PartWriter] = {}
        self._finished = False
        self.record_count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or self._finished:
            return
        try:
            self.discard()
        except OSError as left:  # the caller is told what went wrong first
            error.add_note(f"files of the upload were left behind: {left}")

    def write(self, batch: pa.RecordBatch) -> None:
        """Add a batch of the table's storage schema; rows go to their partitions in order.

        Raises ``InvalidArgument`` for partition values that cannot be, or for too many partitions.
        """
        for key, rows in _by_partition(batch, self._table.partition_keys):
            writer = self._writers.get(key)
            if writer is None:
                writer = self._writers[key] = self._open(key)
            writer.append(rows)
        self.record_count += batch.num_rows
        while sum(writer.buffered_bytes for writer in self._writers.values()) > BUFFERED_BYTES:
            max(self._writers.values(), key=lambda writer: writer.buffered_bytes).flush()

    def _open(self, key: PartitionKey) -> _PartWriter:
        if len(self._writers) >= MAX_PARTITIONS_PER_WRITE:
            raise invalid_argument(
                f"one upload may write {MAX_PARTITIONS_PER_WRITE} partitions; send the others in another",
                where=self._table.full_name,
            )
        return _PartWriter(self._directory / self._path(key), self._schema, self._bounded)

    def _path(self, key: PartitionKey) -> str:
        directory = hive_path(self._values(key))
        name = f"{self._name}.parquet"
        return f"{directory}/{name}" if directory else name

    def _values(self, key: PartitionKey) -> Mapping[str, str]:
        return dict(zip(self._table.partition_keys, key, strict=True))

    def finish(self) -> list[Part]:
        """Make every part durable and return them."""
        for writer in self._writers.values():
            writer.end()
        durable.publish([writer.path for writer in self._writers.values()], within=self._data)
        parts = [self._part(key, writer) for key, writer in self._writers.items()]
        self._finished = True
        return parts

    def _part(self, key: PartitionKey, writer: _PartWriter) -> Part:
        return Part(
            path=self._path(key),
            key=key,
            record_count=writer.record_count,
            file_size=writer.path.stat().st_size,
            footer_size=_footer_size(writer.path),
            raw_size=writer.raw_size,
            statistics=tuple(file_statistics(writer.footer, self._schema)),
        )

    def discard(self) -> None:
        """Remove every file of this upload; for callers who know that no transaction named them."""
        with ExitStack() as every:
            for writer in self._writers.values():
                every.callback(writer.discard)


def _footer_size(path: Path) -> int:
    """Return the length a Parquet file states for its footer in its last eight bytes."""
    with path.open("rb") as file:
        file.seek(-8, os.SEEK_END)
        return int.from_bytes(file.read(4), "little")


def _by_partition(
    batch: pa.RecordBatch, keys: tuple[str, ...]
) -> Iterator[tuple[PartitionKey, pa.RecordBatch]]:
    """Cut a batch into runs of one partition each; rows of a partition keep their order.

    Several runs are copies each: a short one that waits for more must not hold the memory of the others.
    """
    if not keys or not batch.num_rows:
        yield (), batch
        return
    ends = _run_ends(batch, keys)
    if len(ends) == 1:
        yield _partition_key(batch, 0, keys), batch
        return
    order = pc.sort_indices(batch, sort_keys=[(key, "ascending") for key in keys])
    start = 0
    for end in _run_ends(batch.select(keys).take(order), keys):
        rows = batch.take(order.slice(start, end - start))
        yield _partition_key(rows, 0, keys), rows
        start = end


def _run_ends(batch: pa.RecordBatch, keys: tuple[str, ...]) -> list[int]:
    ends: set[int] = set()
    for key in keys:
        ends.update(pc.run_end_encode(batch.column(key)).run_ends.to_pylist())
    return sorted(ends)


def _partition_key(batch: pa.RecordBatch, row: int, keys: tuple[str, ...]) -> PartitionKey:
    values: list[str] = []
    for key in keys:
        value = batch.column(key)[row].as_py()
        if value is None or value == "":
            raise invalid_argument(f"partition column {key!r} is null or empty in an uploaded row")
        values.append(check_partition_value(str(value), key))
    return tuple(values)
