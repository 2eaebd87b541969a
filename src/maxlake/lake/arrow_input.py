"""Hostile Arrow, survived: an IPC stream is checked message by message before pyarrow decodes it.

Checked here is what the decoder would believe: lengths against the bytes that are there, and the size
compressed buffers claim to grow to. What the buffers hold is checked by ``validate(full=True)`` afterwards
(design.md §9; the layout is the "IPC streaming format" of the Arrow columnar specification).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
from flatbuffers import encode, number_types, packer
from flatbuffers.table import Table as FlatTable

from maxlake.protocol import limits
from maxlake.protocol.errors import BadRequestError, ErrorCode

_CONTINUATION = 0xFFFFFFFF
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3


def _error(message: str) -> BadRequestError:
    return BadRequestError(ErrorCode.DATA_ERROR, f"{message}; send one complete Arrow IPC stream")


class CheckedStream:
    """A file-like object that hands an IPC stream to pyarrow once each message has been checked."""

    closed = False

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._pending = memoryview(b"")
        self._ended = False
        #: Bytes handed over so far.
        self.byte_count = 0

    def read(self, size: int = -1) -> memoryview:
        """Return up to ``size`` bytes of the checked stream."""
        if not self._pending and not self._ended:
            self._pending = memoryview(self._next_message())
        if size < 0:
            size = len(self._pending)
        taken, self._pending = self._pending[:size], self._pending[size:]
        self.byte_count += len(taken)
        return taken

    def readable(self) -> bool:
        """Tell pyarrow that this is a source."""
        return True

    def finish(self) -> None:
        """Check that the stream was complete and nothing follows it."""
        while not self._ended:
            self._next_message()
        if self._source.read(1):
            raise _error("bytes follow the end of the Arrow stream")

    def _next_message(self) -> bytes | bytearray:
        prefix = self._exactly(4)
        head = bytes(prefix)
        if struct.unpack("<I", prefix)[0] == _CONTINUATION:
            prefix = self._exactly(4)
            head += bytes(prefix)
        (length,) = struct.unpack("<i", prefix)
        if length == 0:
            self._ended = True
            return head
        if not 0 < length <= limits.MAX_ARROW_METADATA:
            raise _error(f"an Arrow message claims {length} bytes of metadata")
        metadata = self._exactly(length)
        body_length = _check_metadata(metadata, self)
        message = bytearray(len(head) + length + body_length)
        message[: len(head)] = head
        message[len(head) : len(head) + length] = metadata
        self._fill(memoryview(message)[len(head) + length :])
        _check_buffers(metadata, memoryview(message)[len(head) + length :])
        return message

    def _exactly(self, size: int) -> bytearray:
        data = bytearray(size)
        self._fill(memoryview(data))
        return data

    def _fill(self, target: memoryview) -> None:
        filled = 0
        while filled < len(target):
            chunk = self._source.read(len(target) - filled)
            if not chunk:
                raise _error("the Arrow stream is truncated")
            target[filled : filled + len(chunk)] = chunk
            filled += len(chunk)


def _message(metadata: bytearray) -> FlatTable:
    try:
        root = encode.Get(packer.uoffset, metadata, 0)
        return FlatTable(metadata, root)
    except (struct.error, IndexError, TypeError) as error:
        raise _error("an Arrow message has damaged metadata") from error


def _check_metadata(metadata: bytearray, _stream: CheckedStream) -> int:
    """Return the length of the body the message announces."""
    try:
        table = _message(metadata)
        offset = table.Offset(10)
        body = table.Get(number_types.Int64Flags, table.Pos + offset) if offset else 0
    except (struct.error, IndexError, TypeError) as error:
        raise _error("an Arrow message has damaged metadata") from error
    if not 0 <= body <= limits.MAX_ARROW_MESSAGE:
        raise BadRequestError(
            ErrorCode.DATA_ERROR,
            f"an Arrow message has a body of {body} bytes, at most {limits.MAX_ARROW_MESSAGE} are accepted; "
            "send smaller record batches",
        )
    return int(body)


def _check_buffers(metadata: bytearray, body: memoryview) -> None:
    """Check where the buffers of a batch lie and what compressed ones grow to."""
    try:
        batch = _record_batch(_message(metadata))
        if batch is None:
            return
        compressed = batch.Offset(10) != 0
        grown = 0
        for start, length in _buffers(batch):
            if start < 0 or length < 0 or start + length > len(body):
                raise _error("a buffer of an Arrow message lies outside its body")
            if compressed and length >= 8:
                (size,) = struct.unpack_from("<q", body, start)
                grown += length - 8 if size == -1 else size
                if size < -1 or grown > limits.MAX_ARROW_MESSAGE:
                    raise BadRequestError(
                        ErrorCode.DATA_ERROR,
                        f"a compressed Arrow message grows beyond {limits.MAX_ARROW_MESSAGE} bytes; "
                        "send smaller record batches",
                    )
    except (struct.error, IndexError, TypeError) as error:
        raise _error("an Arrow message has damaged metadata") from error


def _record_batch(message: FlatTable) -> FlatTable | None:
    """Return the RecordBatch table of a message, also when it carries a dictionary; None for schemas."""
    kind_offset, header_offset = message.Offset(6), message.Offset(8)
    kind = message.Get(number_types.Uint8Flags, message.Pos + kind_offset) if kind_offset else 0
    if kind not in (_DICTIONARY_BATCH, _RECORD_BATCH) or not header_offset:
        return None
    header = FlatTable(message.Bytes, message.Indirect(message.Pos + header_offset))
    if kind == _RECORD_BATCH:
        return header
    data = header.Offset(6)
    return FlatTable(header.Bytes, header.Indirect(header.Pos + data)) if data else None


def _buffers(batch: FlatTable) -> Iterator[tuple[int, int]]:
    offset = batch.Offset(8)
    if not offset:
        return
    start = batch.Vector(offset)
    for index in range(batch.VectorLen(offset)):
        yield struct.unpack_from("<qq", batch.Bytes, start + 16 * index)


def open_stream(source: BinaryIO) -> tuple[pa.RecordBatchReader, CheckedStream]:
    """Open an uploaded IPC stream. Batches still have to be validated by :func:`validated`."""
    stream = CheckedStream(source)
    try:
        reader = pa.ipc.open_stream(pa.PythonFile(stream, mode="r"))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _error(f"the Arrow schema cannot be read: {error}") from error
    for field in reader.schema:
        if _depth(field.type) > limits.MAX_NESTING:
            raise _error(f"column {field.name!r} is nested deeper than {limits.MAX_NESTING} levels")
    return reader, stream


def _depth(kind: pa.DataType) -> int:
    if isinstance(kind, pa.DictionaryType):
        return 1 + _depth(kind.value_type)
    children = [kind.field(index).type for index in range(kind.num_fields)]
    return 1 + max((_depth(child) for child in children), default=0)


def validated(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a reader, each fully validated."""
    while True:
        try:
            batch = reader.read_next_batch()
            batch.validate(full=True)
        except StopIteration:
            return
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _error(f"an Arrow batch is damaged: {error}") from error
        yield batch
