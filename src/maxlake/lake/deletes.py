"""Delete files: which rows of a data file are gone, by their positions (DuckLake 1.0, "Delete Files").

A data file has at most one delete file at a time, which lists all its rows that are gone; the next one takes
its place. Beside the format, the footer marks the rows that went because another version of them came.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from maxlake.lake import durable
from maxlake.lake.files import DeleteFile, PlannedFile
from maxlake.protocol.errors import DamageError, ErrorCode

_SCHEMA = pa.schema(
    [
        # The field ids that Iceberg and DuckLake give to these columns.
        pa.field("file_path", pa.string(), False, {"PARQUET:field_id": "2147483646"}),
        pa.field("pos", pa.int64(), False, {"PARQUET:field_id": "2147483645"}),
    ]
)
#: Key of the footer entry: a bit for each listed row, in their order. (DuckDB refuses a third column.)
_UPDATES = b"maxlake_updates"
_COMPRESSION = "zstd"


class Deletions:
    """Rows of one data file: ``positions`` ascending, and for each if it was updated rather than deleted."""

    def __init__(self, positions: pa.Int64Array, updates: pa.BooleanArray) -> None:
        self.positions = positions
        self.updates = updates

    @classmethod
    def none(cls) -> Deletions:
        """Return those of a file nothing was deleted from."""
        return cls(pa.array([], pa.int64()), pa.array([], pa.bool_()))

    def joined(self, others: Deletions) -> Deletions:
        """Return the rows of both, which have none in common."""
        positions = pa.concat_arrays([self.positions, others.positions])
        updates = pa.concat_arrays([self.updates, others.updates])
        order = pc.sort_indices(positions)
        return Deletions(positions.take(order), updates.take(order))

    def write(self, path: Path, data_file: str) -> None:
        """Write a delete file under its temporary name, for :func:`durable.publish`."""
        names = pa.repeat(pa.scalar(data_file), len(self.positions))
        table = pa.Table.from_arrays([names, self.positions], schema=_SCHEMA)
        with pq.ParquetWriter(
            durable.temporary_path(path), _SCHEMA, compression=_COMPRESSION, write_page_checksum=True
        ) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata({_UPDATES.decode(): self._packed_updates()})

    def _packed_updates(self) -> str:
        # A copy begins with the first bit of its buffer; a slice may not.
        _, bits = pa.concat_arrays([self.updates, pa.array([], pa.bool_())]).buffers()
        return bits.to_pybytes().hex()


def read(data: Path, file: DeleteFile) -> Deletions:
    """Read a delete file of ours. Raises DamageError if it lists more or fewer rows than the catalog says."""
    with pq.ParquetFile(data / file.path, page_checksum_verification=True) as opened:
        positions = opened.read(columns=["pos"])["pos"].combine_chunks()
        packed = (opened.metadata.metadata or {}).get(_UPDATES, b"")
    bits = pa.py_buffer(bytes.fromhex(packed.decode()))
    if len(positions) != file.count or bits.size * 8 < file.count:
        raise DamageError(
            ErrorCode.INTERNAL_SERVER_ERROR,
            f"a delete file should list {file.count} rows and lists {len(positions)}",
            where=file.path,
        )
    return Deletions(positions, pa.BooleanArray.from_buffers(pa.bool_(), file.count, [None, bits]))


class VisibleRows(ABC):
    """Which rows of a data file are shown, counted from 0; their positions count the others, too."""

    @abstractmethod
    def span(self, start: int, count: int) -> tuple[int, int]:
        """Return the positions [first, stop) between which visible rows [start, start + count) lie."""

    @abstractmethod
    def count(self, first: int, stop: int) -> int:
        """Return how many rows at positions [first, stop) are visible."""

    @abstractmethod
    def mask(self, first: int, stop: int) -> pa.BooleanArray:
        """Tell of each row at positions [first, stop) if it is visible."""


class AllRows(VisibleRows):
    """Every row of a file nothing was deleted from."""

    def span(self, start: int, count: int) -> tuple[int, int]:
        """Return the same numbers: they are positions."""
        return start, start + count

    def count(self, first: int, stop: int) -> int:
        """Return how many there are."""
        return stop - first

    def mask(self, first: int, stop: int) -> pa.BooleanArray:
        """Take them all."""
        return pa.repeat(pa.scalar(True), stop - first)


class _Listed(VisibleRows):
    def __init__(self, positions: pa.Int64Array) -> None:
        self._positions = positions
        # What bisection reads without making an object of every position.
        self._numbers = (
            memoryview(positions.buffers()[1] or b"")
            .cast("B")
            .cast("q")[positions.offset : positions.offset + len(positions)]
        )

    def _places(self, first: int, stop: int) -> tuple[int, int]:
        return bisect_left(self._numbers, first), bisect_left(self._numbers, stop)

    def _are_listed(self, first: int, stop: int) -> pa.BooleanArray:
        low, high = self._places(first, stop)
        return pc.is_in(pa.arange(first, stop), value_set=self._positions.slice(low, high - low))


class LeftRows(_Listed):
    """The rows that are not listed."""

    def span(self, start: int, count: int) -> tuple[int, int]:
        """Find the rows before which as many are left."""
        first = self._position(start)
        return first, self._position(start + count - 1) + 1 if count else first

    def _position(self, number: int) -> int:
        places = range(len(self._numbers))
        return number + bisect_right(places, number, key=lambda place: self._numbers[place] - place)

    def count(self, first: int, stop: int) -> int:
        """Count the rows that are not listed."""
        low, high = self._places(first, stop)
        return stop - first - (high - low)

    def mask(self, first: int, stop: int) -> pa.BooleanArray:
        """Take those that are not listed."""
        return pc.invert(self._are_listed(first, stop))


class GoneRows(_Listed):
    """The rows that are listed."""

    def span(self, start: int, count: int) -> tuple[int, int]:
        """Look them up."""
        if not count:
            return 0, 0
        return self._numbers[start], self._numbers[start + count - 1] + 1

    def count(self, first: int, stop: int) -> int:
        """Count the rows that are listed."""
        low, high = self._places(first, stop)
        return high - low

    def mask(self, first: int, stop: int) -> pa.BooleanArray:
        """Take those that are listed."""
        return self._are_listed(first, stop)


def visible_rows(data: Path, file: PlannedFile) -> VisibleRows:
    """Return the rows of a planned file that its session shows."""
    before = None if file.deletes is None else read(data, file.deletes)
    if file.change is None or file.change.rows is None:
        return AllRows() if before is None else LeftRows(before.positions)
    listed = read(data, file.change.rows)
    wanted = listed.updates if file.change.is_update else pc.invert(listed.updates)
    if before is not None:
        wanted = pc.and_(wanted, pc.invert(pc.is_in(listed.positions, value_set=before.positions)))
    return GoneRows(listed.positions.filter(wanted))
