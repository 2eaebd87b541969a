"""Parts: the Parquet files an upload leaves behind, one a partition and bucket, durable once named."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from threading import BoundedSemaphore
from types import TracebackType
from typing import Self

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from maxlake.lake import durable
from maxlake.lake.blob_uses import BlobUse, BlobUses
from maxlake.lake.partitions import PartitionKey
from maxlake.lake.routing import Router, Target
from maxlake.lake.row_numbers import is_internal
from maxlake.lake.statistics import ColumnStatistics, bounded_leaves, file_statistics
from maxlake.lake.tables import Table
from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.limits import MAX_FILES_PER_WRITE, MAX_PARTITIONS_PER_WRITE
from maxlake.protocol.partitions import hive_path
from maxlake.protocol.types.storage import ducklake_columns, field_id, storage_field

#: Rows of a row group: small enough to seek in, large enough to compress (design.md §3).
ROW_GROUP_ROWS = 131_072
#: Bytes of a row group before encoding, for wide rows.
ROW_GROUP_BYTES = 64 * 1024 * 1024
#: Bytes one upload may hold back over all its files before the largest becomes a row group.
BUFFERED_BYTES = 96 * 1024 * 1024
#: Runs of fewer rows and bytes are joined, this many at a time, while they wait.
SHORT_RUN_ROWS = 1024
SHORT_RUN_BYTES = 256 * 1024
SHORT_RUNS = 64
#: Bytes each column of a waiting batch costs beside its values.
ARRAY_BYTES = 768
#: Rows gathered for each file before they are cut: runs of a few rows cost more in calls than in rows.
GATHERED_ROWS = 128
#: Bytes gathered beside what the files hold back, after which rows are cut all the same.
GATHERED_BYTES = 32 * 1024 * 1024
COMPRESSION = "zstd"
COMPRESSION_LEVEL = 1
#: A column chunk's dictionary may grow this large, then values are stored plainly. Larger ones cost: with
#: 128 KiB lineitem takes a third longer to write and 3 % more bytes, and a preview of 500 columns, which
#: reads them whole, three times as long.
DICTIONARY_BYTES = 16 * 1024
#: Row groups encoded at once: each keeps a core busy, and takes some megabytes for pages.
_encoders = BoundedSemaphore(2 * (os.cpu_count() or 1))


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One durable file no snapshot names yet; ``path`` is below the table's directory, sizes in bytes.

    ``bucket`` is that of all its rows, None in tables that are not clustered; ``groups`` has the rows and
    raw bytes of each row group where there are several. Columns with a field id above ``last_field_id`` are
    younger than the file. ``blobs`` are the objects its rows refer to.
    """

    path: str
    key: PartitionKey
    record_count: int
    file_size: int
    footer_size: int
    raw_size: int
    statistics: tuple[ColumnStatistics, ...]
    last_field_id: int
    bucket: int | None = None
    groups: tuple[tuple[int, int], ...] = ()
    blobs: tuple[BlobUse, ...] = ()


def storage_schema(table: Table) -> pa.Schema:
    """Return the schema of a table's files: data columns, then partition columns, with field ids."""
    fields: list[pa.Field] = []
    for column in table.columns.all_columns:
        first = table.stored[column.name].field_id
        rows = ducklake_columns(column.name, column.type, column.nullable, first)
        ids = [row.column_id for row in rows]
        fields.append(storage_field(column.name, column.type, column.nullable, ids))
    return pa.schema(fields)


class PartWriter:
    """One file being written: it takes batches, ends, is published and becomes a part, or is discarded."""

    def __init__(self, path: Path, schema: pa.Schema, bounded: list[str], blobs: BlobUses) -> None:
        self.path = path
        self._blobs = blobs
        self._schema = schema
        self._bounded = bounded
        self.buffered: list[pa.RecordBatch] = []
        self._short: list[pa.RecordBatch] = []
        self.buffered_rows = self.buffered_bytes = 0
        self.groups: list[tuple[int, int]] = []
        # Bytes of a row that are not the table's.
        self._internal_bytes = sum(field.type.bit_width // 8 for field in schema if is_internal(field))
        self._footers: list[pq.FileMetaData] = []

    @cached_property
    def _writer(self) -> pq.ParquetWriter:
        """The file, opened by its first row group: most of many files have just one, written at the end."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return pq.ParquetWriter(
            durable.temporary_path(self.path),
            self._schema,
            compression=COMPRESSION,
            compression_level=COMPRESSION_LEVEL,
            dictionary_pagesize_limit=DICTIONARY_BYTES,
            # Integers up to 18 digits decode several times as fast as byte strings.
            store_decimal_as_integer=True,
            write_statistics=self._bounded,
            write_page_checksum=True,
            metadata_collector=self._footers,
        )

    def append(self, batch: pa.RecordBatch) -> None:
        """Add rows of the file's schema."""
        self._blobs.add(batch)
        size = _held_bytes(batch)
        if batch.num_rows < SHORT_RUN_ROWS and size < SHORT_RUN_BYTES:
            self._short.append(batch)
            if len(self._short) == SHORT_RUNS:
                self._join_short()
        else:
            self._join_short()
            self.buffered.append(batch)
        self.buffered_rows += batch.num_rows
        self.buffered_bytes += size
        if self.buffered_rows >= ROW_GROUP_ROWS or self.buffered_bytes >= ROW_GROUP_BYTES:
            self._write_full_groups()

    def _join_short(self) -> None:
        """Short runs cost more in objects than in rows."""
        if self._short:
            joined = pa.concat_batches(self._short)
            self.buffered_bytes += _held_bytes(joined) - sum(map(_held_bytes, self._short))
            self.buffered.append(joined)
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

    @durable.typed_failures()
    def _write(self, table: pa.Table, rows_per_group: int) -> None:
        if table.num_rows:
            with _encoders:
                self._writer.write_table(table, row_group_size=rows_per_group)
            for start in range(0, table.num_rows, rows_per_group):
                group = table.slice(start, rows_per_group)
                self.groups.append((group.num_rows, group.nbytes - self._internal_bytes * group.num_rows))

    def _hold(self, batches: list[pa.RecordBatch]) -> None:
        self.buffered = batches
        self.buffered_rows = sum(batch.num_rows for batch in batches)
        self.buffered_bytes = sum(map(_held_bytes, batches))

    @durable.typed_failures()
    def end(self) -> None:
        """Write the rest and the footer."""
        self.flush()
        self._writer.close()

    @durable.typed_failures()
    def part(self, path: str, target: Target) -> Part:
        """Return the finished file as a part."""
        fields = [field for field in self._schema if not is_internal(field)]
        return Part(
            path=path,
            key=target.key,
            bucket=target.bucket,
            record_count=sum(rows for rows, _ in self.groups),
            file_size=self.path.stat().st_size,
            footer_size=footer_size(self.path),
            raw_size=sum(size for _, size in self.groups),
            groups=tuple(self.groups) if len(self.groups) > 1 else (),
            statistics=tuple(file_statistics(self._footers[0], fields)),
            last_field_id=max(field_id(field) or 0 for field in fields),
            blobs=self._blobs.found(),
        )

    def discard(self) -> None:
        """Remove the file, whatever state it is in."""
        if "_writer" in self.__dict__:
            # What is thrown away need not be complete: on a full disk its end cannot be written, and after a
            # write that failed PyArrow misses the footer, by a RuntimeError.
            with suppress(OSError, pa.ArrowException, RuntimeError):
                self._writer.close()
        durable.temporary_path(self.path).unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


def _held_bytes(batch: pa.RecordBatch) -> int:
    return batch.get_total_buffer_size() + ARRAY_BYTES * batch.num_columns


class Upload:
    """Writes the batches of one upload as parts.

    A context manager: what fails before :meth:`finish` has returned leaves nothing behind. After that the
    parts may be named by a transaction whose outcome is unknown, and only :meth:`discard` removes them.

    ``name`` is unique to the upload (session, stream, version, sequence) and begins every file name, so
    that a file nobody refers to tells whose it was. Rows are of ``schema``, the table's unless given.
    """

    def __init__(self, data: Path, table: Table, name: str, schema: pa.Schema | None = None) -> None:
        self._data = data
        self._directory = data / table.path
        self._table = table
        self._name = name
        self._schema = schema or storage_schema(table)
        self._bounded = bounded_leaves(self._schema)
        self._router = Router(table)
        self._gathered: list[pa.RecordBatch] = []
        self._gathered_rows = self._gathered_bytes = 0
        self._writers: dict[Target, PartWriter] = {}
        self._partitions: set[PartitionKey] = set()
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
        """Add a batch of the upload's schema; rows go to their partitions and buckets in order.

        Raises ``InvalidArgument`` for partition values that cannot be, or for too many partitions or
        files. Few rows for many files are gathered first: a later call, or :meth:`finish`, tells then.
        """
        self.record_count += batch.num_rows
        self._gathered.append(batch)
        self._gathered_rows += batch.num_rows
        self._gathered_bytes += _held_bytes(batch)
        files = max(len(self._writers), self._table.options.buckets or 0)
        if self._gathered_rows >= GATHERED_ROWS * files or self._gathered_bytes >= GATHERED_BYTES:
            self._distribute()

    def _distribute(self) -> None:
        """Hand what was gathered to the writers, and hold them to their memory."""
        if not self._gathered:
            return
        # Of one batch, which may be large, there is no second copy.
        batch = self._gathered[0] if len(self._gathered) == 1 else pa.concat_batches(self._gathered)
        self._gathered.clear()
        self._gathered_rows = self._gathered_bytes = 0
        for target, rows in self._router.cut(batch):
            writer = self._writers.get(target)
            if writer is None:
                writer = self._writers[target] = self._open(target)
            writer.append(rows)
        self._flush_to(BUFFERED_BYTES)

    def _flush_to(self, most: int) -> None:
        """Write row groups, the largest first, until the writers hold back no more than ``most`` bytes."""
        held = self._buffered_bytes
        if held <= most:
            return
        for writer in sorted(self._writers.values(), key=lambda writer: writer.buffered_bytes, reverse=True):
            held -= writer.buffered_bytes
            writer.flush()
            if held <= most:
                return

    @property
    def _buffered_bytes(self) -> int:
        return sum(writer.buffered_bytes for writer in self._writers.values())

    @property
    def held_bytes(self) -> int:
        """Bytes of the rows that are not written yet."""
        return self._gathered_bytes + self._buffered_bytes

    def copied_bytes(self, batch: pa.RecordBatch) -> int:
        """Return how much more memory :meth:`write` takes for ``batch``: rows are copied to their files."""
        return batch.nbytes if self._router.copies else 0

    def spill(self, most: int) -> int:
        """Write row groups until no more than ``most`` bytes are held back; return how many were let go."""
        held = self.held_bytes
        if held > most:
            self._distribute()
            self._flush_to(most)
        return held - self.held_bytes

    def _open(self, target: Target) -> PartWriter:
        self._partitions.add(target.key)
        for found, most, what in (
            (len(self._partitions), MAX_PARTITIONS_PER_WRITE, "partitions"),
            (len(self._writers) + 1, MAX_FILES_PER_WRITE, "files, one a partition and bucket"),
        ):
            if found > most:
                raise invalid_argument(
                    f"one upload may write {most} {what}; send the other partitions in another",
                    where=self._table.full_name,
                )
        path = self._directory / self._path(target)
        return PartWriter(path, self._schema, self._bounded, BlobUses(self._table))

    def _path(self, target: Target) -> str:
        directory = hive_path(self._values(target.key))
        bucket = "" if target.bucket is None else f"-b{target.bucket:05}"
        name = f"{self._name}{bucket}.parquet"
        return f"{directory}/{name}" if directory else name

    def _values(self, key: PartitionKey) -> Mapping[str, str]:
        return dict(zip(self._table.partition_keys, key, strict=True))

    def finish(self) -> list[Part]:
        """Make every part durable and return them."""
        self._distribute()
        for writer in self._writers.values():
            writer.end()
        durable.publish([writer.path for writer in self._writers.values()], within=self._data)
        parts = [writer.part(self._path(target), target) for target, writer in self._writers.items()]
        self._finished = True
        return parts

    def discard(self) -> None:
        """Remove every file of this upload; for callers who know that no transaction named them."""
        with ExitStack() as every:
            for writer in self._writers.values():
                every.callback(writer.discard)


def footer_size(path: Path) -> int:
    """Return the length a Parquet file states for its footer in its last eight bytes."""
    with path.open("rb") as file:
        file.seek(-8, os.SEEK_END)
        return int.from_bytes(file.read(4), "little")
