"""A tunnel record stream, read as it comes, and checked (rest.md §8.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import google_crc32c
import numpy as np
import pyarrow as pa

from maxlake.protocol import limits
from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.tunnel.forms import from_forms
from maxlake.protocol.tunnel.record_builders import builder_of, damaged, read_signed, read_varint
from maxlake.protocol.tunnel.record_values import checked_rows, checksums, field_tag
from maxlake.protocol.tunnel.wire import CHECKSUM, END_RECORD, ROW_COUNT, WireType, tag
from maxlake.protocol.types.model import OdpsType

_END_RECORD, _ROW_COUNT, _CHECKSUM = (
    number << 3 | WireType.VARINT for number in (END_RECORD, ROW_COUNT, CHECKSUM)
)
_END_TAG = tag(END_RECORD, WireType.VARINT)


def checksum_mismatch(what: str) -> BadRequestError:
    """Return the error for bytes that are others than were sent."""
    return BadRequestError(
        ErrorCode.CHECKSUM_MISMATCH, f"{what} is not what its checksum says: nothing is kept, send it again"
    )


class RecordReader:
    """Turns the bytes of records into batches whose columns have the names and types given.

    The rows of a batch have been checked, and are in a form uploads may have (``forms.from_forms``). Fields
    come in the order of the columns, as every client sends them. Raises BadRequestError: DATA_ERROR for what
    is no record stream, or not whole, ChecksumMismatch.
    """

    def __init__(self, names: Sequence[str], types: Sequence[OdpsType]) -> None:
        self._names = names
        self._types = types
        self._builders = [builder_of(t) for t in types]
        self._fields = {
            read_varint(field_tag(number, t), 0)[0]: (number, builder.read)
            for number, (t, builder) in enumerate(zip(types, self._builders, strict=True), 1)
        }
        self._most_rows = max(1, limits.MAX_RECORD_BATCH_VALUES // len(types))
        self._pieces: list[bytes] = []
        self._held = 0
        self._wanted = 0
        self._stated: list[int] = []
        self._count = 0
        self._checksum = 0
        self._stated_checksum = 0
        self._ended = False
        #: The columns of every batch.
        self.schema = self._uploaded([builder.finish() for builder in self._builders]).schema

    @property
    def held_bytes(self) -> int:
        """Bytes of a record that goes on, and of the copy that is made to read it."""
        return 2 * self._held

    def feed(self, data: bytes) -> Iterator[pa.RecordBatch]:
        """Yield the rows that are whole now."""
        self._pieces.append(data)
        self._held += len(data)
        if self._held < self._wanted:
            return
        data = b"".join(self._pieces)
        at = 0
        while not self._ended:
            try:
                at = self._read(data, at)
            except IndexError:  # the record goes on
                for builder in self._builders:
                    builder.truncate(len(self._stated))
                break
            if len(self._stated) >= self._most_rows:
                yield self._batch()
        if self._stated:
            yield self._batch()
        self._keep(data[at:])

    def _keep(self, rest: bytes) -> None:
        """Keep the beginning of a record. As much again is awaited before it is read anew."""
        if self._ended and rest:
            raise damaged("bytes follow the end of the records")
        if len(rest) > limits.MAX_RECORD_BYTES:
            raise BadRequestError(
                ErrorCode.DATA_ERROR, f"a record has more than {limits.MAX_RECORD_BYTES} bytes"
            )
        self._pieces, self._held, self._wanted = [rest], len(rest), 2 * len(rest)

    def finish(self) -> Iterator[pa.RecordBatch]:
        """Yield the last rows, and check that the stream was whole."""
        self._wanted = 0
        yield from self.feed(b"")
        if not self._ended:
            raise damaged("the record stream is cut")
        if self._checksum != self._stated_checksum:
            raise checksum_mismatch("the whole of the rows")

    def _read(self, data: bytes, at: int) -> int:
        """Read a record, or the end of the stream."""
        fields = self._fields
        last = 0
        while True:
            head = data[at]
            if head < 0x80:
                at += 1
            elif data.startswith(_END_TAG, at):
                head, at = _END_RECORD, at + len(_END_TAG)
            else:
                head, at = read_varint(data, at)
            field = fields.get(head)
            if field is not None:
                number, read = field
                if number <= last:
                    raise damaged(f"field {number} follows field {last}")
                at = read(data, at)
                if number > last + 1:
                    self._skip(last, number - 1)
                last = number
            elif head == _END_RECORD:
                stated, at = _read_checksum(data, at)
                self._skip(last, len(self._builders))
                self._stated.append(stated)
                return at
            elif head == _ROW_COUNT and not last:
                return self._read_end(data, at)
            else:
                raise damaged(f"no column has field {head >> 3} of wire type {head & 7}")

    def _skip(self, first: int, stop: int) -> None:
        for builder in self._builders[first:stop]:
            builder.append_null()

    def _batch(self) -> pa.RecordBatch:
        """Return the rows read last, once their checksums have been compared."""
        columns = [builder.finish() for builder in self._builders]
        found = checksums(checked_rows(columns, self._types))
        wrong = np.flatnonzero(found != np.array(self._stated, np.uint32))
        if len(wrong):
            raise checksum_mismatch(f"row {self._count + int(wrong[0])}")
        self._count += len(found)
        self._checksum = google_crc32c.extend(self._checksum, found.tobytes())
        self._stated = []
        return self._uploaded(columns)

    def _uploaded(self, columns: Sequence[pa.Array]) -> pa.RecordBatch:
        arrays = [from_forms(column, t) for column, t in zip(columns, self._types, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, list(self._names))

    def _read_end(self, data: bytes, at: int) -> int:
        count, at = read_signed(data, at)
        head, at = read_varint(data, at)
        checksum, at = _read_checksum(data, at)
        if head != _CHECKSUM:
            raise damaged(f"field {head >> 3} follows the number of rows")
        if count != self._count + len(self._stated):
            raise damaged(f"{self._count + len(self._stated)} rows came, {count} were sent")
        self._ended = True
        self._stated_checksum = checksum
        return at


def _read_checksum(data: bytes, at: int) -> tuple[int, int]:
    """Return a checksum, and where it ends. PyODPS' compiled writer extends its sign to 64 bits."""
    value, at = read_varint(data, at)
    checksum = value & 0xFFFFFFFF
    if value not in (checksum, checksum | 0xFFFFFFFF << 32):
        raise checksum_mismatch("a checksum itself")
    return checksum, at
