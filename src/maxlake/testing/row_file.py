"""An Arrow IPC stream in a file, and where its messages are: what the byte server sends pieces of."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from maxlake.protocol.errors import invalid_argument

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: What ends an Arrow IPC stream.
END = b"\xff\xff\xff\xff\0\0\0\0"


class RowFile(msgspec.Struct, frozen=True, kw_only=True):
    """The file, the end of its schema message, and of each batch the end and the rows up to there."""

    path: str
    schema_end: int
    batch_ends: tuple[int, ...]
    row_ends: tuple[int, ...]

    @property
    def row_count(self) -> int:
        """Rows of all batches."""
        return self.row_ends[-1] if self.row_ends else 0

    @property
    def size(self) -> int:
        """Bytes of all batches."""
        return self.batch_ends[-1] - self.schema_end if self.batch_ends else 0

    def split(self, index: int, count: int) -> tuple[int, int]:
        """Return the first and the last row (exclusive) of one of ``count`` shares of the batches."""
        edges = [len(self.row_ends) * number // count for number in (index, index + 1)]
        first, last = (self.row_ends[edge - 1] if edge else 0 for edge in edges)
        return first, last

    def piece(self, first: int, last: int) -> FilePiece:
        """Return these rows as bytes of the file. Raises InvalidArgument unless they are whole batches."""
        start, end = (self._position(row) for row in (first, last))
        return FilePiece(self.path, self.schema_end, start, max(start, end))

    def _position(self, row: int) -> int:
        if row <= 0:
            return self.schema_end
        batch = bisect_left(self.row_ends, min(row, self.row_count))
        if row < self.row_count and self.row_ends[batch] != row:
            raise invalid_argument(f"the byte server sends whole batches; none begins or ends at row {row}")
        return self.batch_ends[batch] if self.batch_ends else self.schema_end


@dataclass(frozen=True)
class FilePiece:
    """A stream of some batches: the file's schema, its bytes from ``start`` to ``end``, the end marker."""

    path: str
    schema_end: int
    start: int
    end: int

    @property
    def length(self) -> int:
        """Bytes of the stream."""
        return self.schema_end + self.end - self.start + len(END)


def write(rows: pa.Table, path: Path) -> RowFile:
    """Write the batches that ``rows`` has, as they are."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, rows.schema) as writer:
        writer.write_table(rows)
    return find(path)


def find(path: Path) -> RowFile:
    """Look for the batches in a file. Raises ValueError if it is not a complete Arrow IPC stream of rows."""
    with pa.memory_map(str(path)) as file:
        try:
            schema = pa.ipc.read_schema(file)
            schema_end = file.tell()
            batches = list(_batches(file, schema))
        except (pa.ArrowInvalid, OSError, EOFError) as error:
            raise ValueError(f"{path} is not an Arrow IPC stream: {error}") from error
        if file.tell() != file.size():
            raise ValueError(f"bytes follow the end of the Arrow IPC stream in {path}")
    ends, counts = zip(*batches, strict=True) if batches else ((), ())
    return RowFile(path=str(path), schema_end=schema_end, batch_ends=ends, row_ends=tuple(accumulate(counts)))


def _batches(file: pa.NativeFile, schema: pa.Schema) -> Iterator[tuple[int, int]]:
    """Yield the end of each batch and its rows."""
    while (message := _next(file)) is not None:
        if message.type != "record batch":
            raise ValueError(f"the stream holds a {message.type}; the service sends plain columns only")
        yield file.tell(), pa.ipc.read_record_batch(message, schema).num_rows


def _next(file: pa.NativeFile) -> Any:
    before = file.tell()
    try:
        return pa.ipc.read_message(file)
    except EOFError:
        if file.tell() == before:
            raise EOFError("its end marker is missing") from None
        return None
