"""Hostile Arrow, survived: an IPC stream is checked message by message before pyarrow decodes it.

Checked here is what the decoder would believe: lengths against the bytes that are there, and everything
that is small on the wire and large in memory. What the buffers hold is checked by ``validate(full=True)``
afterwards (design.md §9; the layout is the "IPC streaming format" of the Arrow columnar specification).
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Protocol

import pyarrow as pa
from flatbuffers import encode, number_types, packer
from flatbuffers.table import Table as FlatTable

from maxlake.lake.upload_memory import Allowance
from maxlake.protocol import limits
from maxlake.protocol.errors import BadRequestError, ErrorCode

_CONTINUATION = b"\xff\xff\xff\xff"
_SCHEMA, _DICTIONARY_BATCH, _RECORD_BATCH = 1, 2, 3
_LONGEST_QUOTE = 500
#: How Arrow 0.17 marked compressed batches; the decoder still heeds it.
_OLD_COMPRESSION = b"ARROW:experimental_compression"


def _shown(error: Exception) -> str:
    """The decoder's message; it may quote what was sent, at length."""
    text = str(error)
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…"


def _error(message: str) -> BadRequestError:
    return BadRequestError(ErrorCode.DATA_ERROR, f"{message}; send one complete Arrow IPC stream")


def _too_large(message: str) -> BadRequestError:
    return BadRequestError(ErrorCode.DATA_ERROR, f"{message}; send smaller record batches")


@contextmanager
def _refusing_damage() -> Generator[None]:
    """Turn what flatbuffers raises for offsets that lead nowhere into DATA_ERROR."""
    try:
        yield
    except (struct.error, IndexError, TypeError) as error:
        raise _error("an Arrow message has damaged metadata") from error


class Source(Protocol):
    """Where uploaded bytes come from."""

    def readinto(self, into: memoryview, /) -> int | None:
        """Fill ``into`` from its start; return how many bytes came, 0 at the end, None if none did yet."""
        ...


class CheckedStream:
    """A file-like object that hands an IPC stream to pyarrow once each message has been checked.

    ``memory`` is asked for each message before it is received.
    """

    closed = False

    def __init__(self, source: Source, memory: Allowance) -> None:
        self._source = source
        self._memory = memory
        self._pending: deque[memoryview] = deque()
        self._ended = False
        self._dictionaries: dict[int, int] = {}
        #: Bytes handed over so far.
        self.byte_count = 0

    @property
    def held_bytes(self) -> int:
        """Bytes of the dictionaries, which the decoder keeps for the batches to come."""
        return sum(self._dictionaries.values())

    def read(self, size: int) -> memoryview:
        """Return up to ``size`` bytes; all of them if they do not cross into the next part of a message.

        The decoder asks for prefix, metadata and body one by one, so nothing is copied.
        """
        if not self._pending and not self._ended:
            self._pending.extend(map(memoryview, self._next_message()))
        if not self._pending:
            return memoryview(b"")
        piece = self._pending.popleft()
        if size < len(piece):
            self._pending.appendleft(piece[size:])
            piece = piece[:size]
        self.byte_count += len(piece)
        return piece

    def is_empty(self) -> bool:
        """Tell, before anything was read, whether the source holds no byte."""
        first = self._upto(1)
        if not first:
            self._ended = True
            return True
        self._pending.extend(map(memoryview, self._next_message(bytes(first))))
        return False

    def readable(self) -> bool:
        """Tell pyarrow that this is a source."""
        return True

    def finish(self) -> None:
        """Check that the decoder came to the end marker and nothing follows it."""
        if not self._ended or self._pending:
            raise _error("the Arrow stream goes on after its last batch")
        if self._upto(1):
            raise _error("bytes follow the end of the Arrow stream")

    def _next_message(self, first: bytes = b"") -> list[bytes | memoryview]:
        """Return the parts of the next message: marker (not in the oldest form), length, metadata, body.

        ``first`` is what was read of it already.
        """
        parts: list[bytes | memoryview] = [first + self._exactly(4 - len(first))]
        if parts[0] == _CONTINUATION:
            parts.append(bytes(self._exactly(4)))
        (length,) = struct.unpack("<i", parts[-1])
        if length == 0:
            self._ended = True
            return parts
        if not 0 < length <= limits.MAX_ARROW_METADATA:
            raise _error(f"an Arrow message claims {length} bytes of metadata")
        self._memory.begin(length)
        metadata = bytes(self._exactly(length))
        with _refusing_damage():
            message = _Message(metadata)
        self._memory.begin(message.body_length)
        body = self._exactly(message.body_length)
        with _refusing_damage():
            self._check(message, body)
        return [*parts, metadata, body] if len(body) else [*parts, metadata]

    def _check(self, message: _Message, body: memoryview) -> None:
        if message.kind == _SCHEMA:
            _check_schema(message.header)
        elif message.kind == _RECORD_BATCH:
            self._unfold(_check_batch(message, message.header, body), body)
        elif message.kind == _DICTIONARY_BATCH:
            self._check_dictionary(message, body)
        else:
            raise _error(f"an Arrow message is of kind {message.kind}, neither schema nor batch")

    def _check_dictionary(self, message: _Message, body: memoryview) -> None:
        """Check a dictionary, and all those the decoder holds together."""
        number = _scalar(message.header, 4, number_types.Int64Flags)
        if _scalar(message.header, 8, number_types.Uint8Flags):
            raise _error("delta dictionaries are not taken")  # decoders join them before validation
        data = _table(message.header, 6)
        if data is None:
            raise _error("a dictionary holds no batch")
        self._dictionaries[number] = _check_batch(message, data, body)
        if sum(self._dictionaries.values()) > limits.MAX_ARROW_MESSAGE:
            raise _too_large(f"the dictionaries are larger than {limits.MAX_ARROW_MESSAGE} bytes")
        self._unfold(self._dictionaries[number], body)

    def _unfold(self, size: int, body: memoryview) -> None:
        """Ask for what the decoder allocates: nothing where the buffers are used as they lie in the body."""
        if size > len(body):
            self._memory.grow(size)

    def _exactly(self, size: int) -> memoryview:
        """Return the next ``size`` bytes."""
        found = self._upto(size)
        if len(found) < size:
            raise _error("the Arrow stream is truncated")
        return found

    def _upto(self, size: int) -> memoryview:
        """Return the next ``size`` bytes, fewer at the end of the source.

        Pages of the buffer that are not written to are not there: memory is taken for what came, not for
        what was announced.
        """
        into = memoryview(pa.allocate_buffer(size)).cast("B")
        filled = 0
        while filled < size:
            count = self._source.readinto(into[filled:])
            self._memory.wait_for_sender()
            if count == 0:
                break
            filled += count or 0
        return into[:filled]


class _Message:
    """The metadata of one message."""

    def __init__(self, metadata: bytes) -> None:
        table = FlatTable(metadata, encode.Get(packer.uoffset, metadata, 0))
        header = _table(table, 8)
        if header is None:
            raise _error("an Arrow message has no header")
        self.header = header
        self.kind = _scalar(table, 6, number_types.Uint8Flags)
        self.body_length = _scalar(table, 10, number_types.Int64Flags)
        if self.body_length < 0:
            raise _error(f"an Arrow message claims {self.body_length} bytes of body")
        if self.body_length > limits.MAX_ARROW_MESSAGE:
            raise _too_large(
                f"an Arrow message has {self.body_length} bytes, at most {limits.MAX_ARROW_MESSAGE} are taken"
            )
        self.compressed_the_old_way = _OLD_COMPRESSION in metadata


def _check_schema(schema: FlatTable) -> None:
    if _scalar(schema, 4, number_types.Int16Flags):
        raise _error("the Arrow stream is big-endian, little-endian is taken")
    offset = schema.Offset(6)
    count = schema.VectorLen(offset) if offset else 0
    if count > limits.MAX_COLUMNS + limits.MAX_PARTITION_COLUMNS:
        raise BadRequestError(
            ErrorCode.SCHEMA_MISMATCH, f"the upload has {count} columns, more than any table can have"
        )


def _check_batch(message: _Message, batch: FlatTable, body: memoryview) -> int:
    """Check where the buffers of a batch lie and what they grow to; return that, in bytes."""
    if message.compressed_the_old_way:
        raise _error("the batch is compressed as Arrow 0.17 tried it")
    compressed = batch.Offset(10) != 0
    buffers = list(_records(batch, 8, "<qq"))
    size = 0
    for start, length in buffers:
        if start < 0 or length < 0 or start + length > len(body):
            raise _error("a buffer of an Arrow message lies outside its body")
        size += _decompressed(body, start, length) if compressed and length else length
        if size > limits.MAX_ARROW_MESSAGE:
            raise _too_large(f"an Arrow message grows to more than {limits.MAX_ARROW_MESSAGE} bytes")
    lengths = [_scalar(batch, 4, number_types.Int64Flags)]
    lengths += [length for length, _null_count in _records(batch, 6, "<qq")]
    most = max(size, limits.MAX_UNBACKED_VALUES)
    if any(not 0 <= length <= most for length in lengths):
        raise _too_large(f"an Arrow message announces {max(lengths)} values in {size} bytes")
    # The decoder makes room for the data buffers of views before it looks for them.
    if any(not 0 <= count <= len(buffers) for (count,) in _records(batch, 12, "<q")):
        raise _error("a column of views announces buffers that are not there")
    return size


def _decompressed(body: memoryview, start: int, length: int) -> int:
    """Return how long a compressed buffer says it is: first come the length, or -1, and then the bytes."""
    if length < 8:
        raise _error("a compressed buffer is shorter than its length field")
    (size,) = struct.unpack_from("<q", body, start)
    if size < -1:
        raise _error(f"a compressed buffer claims {size} bytes")
    return length - 8 if size == -1 else size


def _scalar(table: FlatTable, slot: int, flags: type) -> int:
    offset = table.Offset(slot)
    return int(table.Get(flags, table.Pos + offset)) if offset else 0


def _table(table: FlatTable, slot: int) -> FlatTable | None:
    offset = table.Offset(slot)
    return FlatTable(table.Bytes, table.Indirect(table.Pos + offset)) if offset else None


def _records(table: FlatTable, slot: int, form: str) -> Iterator[tuple[int, ...]]:
    """Yield the entries of a vector of structs."""
    offset = table.Offset(slot)
    if not offset:
        return
    start, size = table.Vector(offset), table.VectorLen(offset) * struct.calcsize(form)
    if start + size > len(table.Bytes):
        raise IndexError("the vector ends beyond the metadata")
    yield from struct.iter_unpack(form, memoryview(table.Bytes)[start : start + size])


def open_stream(source: Source, memory: Allowance) -> tuple[pa.RecordBatchReader, CheckedStream]:
    """Open an uploaded IPC stream. Batches still have to be validated by :func:`validated`.

    No bytes at all are no rows: so documented clients send a writer that was finished without a batch.
    Raises BadRequestError: DATA_ERROR, or SCHEMA_MISMATCH for more columns than a table can have; a
    ConnectionError of the source is passed on, and what ``memory`` raises.
    """
    stream = CheckedStream(source, memory)
    if stream.is_empty():
        return pa.RecordBatchReader.from_batches(pa.schema([]), []), stream
    try:
        reader = pa.ipc.open_stream(pa.PythonFile(stream, mode="r"))
        for field in reader.schema:
            _check_field(field, levels=limits.MAX_NESTING)
    except ConnectionError:  # the sender is gone, which says nothing about the rows
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _error(f"the Arrow schema cannot be read: {_shown(error)}") from error
    return reader, stream


def _check_field(field: pa.Field, *, levels: int) -> None:
    """Refuse nesting of more than ``levels`` levels, and names nobody gives, at any depth."""
    if len(field.name) > limits.MAX_NAME_LENGTH:
        raise BadRequestError(
            ErrorCode.SCHEMA_MISMATCH, f"an uploaded column has a name of {len(field.name)} characters"
        )
    if not levels:
        raise _error(f"a column is nested deeper than {limits.MAX_NESTING} levels")
    kind = field.type
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if isinstance(kind, pa.DictionaryType):
        _check_field(field.with_type(kind.value_type), levels=levels - 1)
        return
    if pa.types.is_null(kind) and not field.nullable:
        raise _error("a column of nulls says that it has none")
    _check_type(kind)
    for index in range(kind.num_fields):
        _check_field(kind.field(index), levels=levels - 1)


def _check_type(kind: pa.DataType) -> None:
    """Refuse types that the decoder makes but cannot work with."""
    if (
        pa.types.is_timestamp(kind) and len(kind.tz or "") > limits.MAX_NAME_LENGTH
    ):  # or not UTF-8: ValueError
        raise _error(f"a time zone has a name of {len(kind.tz)} characters")
    if pa.types.is_decimal(kind) and not 0 <= kind.scale <= kind.precision:
        # Casts look powers of ten up by the scale, unchecked: the process would die.
        raise _error(f"{kind} has a scale outside 0..{kind.precision}")
    if kind.id == pa.lib.Type_INTERVAL_DAY_TIME:
        raise BadRequestError(
            ErrorCode.SCHEMA_MISMATCH, "Arrow's day-time interval is not taken; upload a duration"
        )


def validated(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a reader, each fully validated. Raises BadRequestError DATA_ERROR."""
    while True:
        try:
            batch = reader.read_next_batch()
            batch.validate(full=True)
        except StopIteration:
            return
        except ConnectionError:  # as above
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _error(f"an Arrow batch is damaged: {_shown(error)}") from error
        yield batch
        del batch  # the next is received before the name is bound again
