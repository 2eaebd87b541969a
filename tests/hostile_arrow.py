"""Taking Arrow IPC streams apart and putting them together again, wrong."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
from flatbuffers.table import Table as FlatTable

END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
#: Slots of the tables of Arrow's Message.fbs and Schema.fbs.
VERSION, HEADER_TYPE, HEADER, BODY_LENGTH = 4, 6, 8, 10
ROWS, NODES, BUFFERS, COMPRESSION, VARIADIC = 4, 6, 8, 10, 12
DICTIONARY_ID, DICTIONARY_DATA, IS_DELTA = 4, 6, 8
ENDIANNESS, FIELDS = 4, 6


def encode(*batches: pa.RecordBatch, **options: object) -> bytes:
    """Return a good IPC stream."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batches[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue()


def patch(form: str, data: bytearray, offset: int, *values: int) -> None:
    """Overwrite numbers in place."""
    struct.pack_into(form, data, offset, *values)


@dataclass
class Message:
    """One message of a stream; ``metadata`` and ``body`` may be changed in place."""

    metadata: bytearray
    body: bytearray

    @property
    def root(self) -> FlatTable:
        return FlatTable(self.metadata, struct.unpack_from("<I", self.metadata)[0])

    def table(self, *slots: int) -> FlatTable:
        """Follow slots from the root to a table."""
        table = self.root
        for slot in slots:
            table = FlatTable(self.metadata, table.Indirect(table.Pos + table.Offset(slot)))
        return table

    def put(self, form: str, table: FlatTable, slot: int, value: int) -> None:
        """Overwrite a number of a table; it must be there (flatbuffers leave out zeros)."""
        offset = table.Offset(slot)
        assert offset, "the number is not in the table"
        patch(form, self.metadata, table.Pos + offset, value)

    def entry(self, table: FlatTable, slot: int, index: int, size: int) -> int:
        """Return where an entry of a vector of structs begins in the metadata."""
        assert index < table.VectorLen(table.Offset(slot))
        return table.Vector(table.Offset(slot)) + index * size

    def buffer(self, index: int, *path: int) -> tuple[int, int]:
        """Return offset and length of a buffer in the body of a batch."""
        at = self.entry(self.table(*(path or (HEADER,))), BUFFERS, index, 16)
        offset, length = struct.unpack_from("<qq", self.metadata, at)
        return offset, length

    def put_buffer(self, index: int, offset: int, length: int) -> None:
        patch("<qq", self.metadata, self.entry(self.table(HEADER), BUFFERS, index, 16), offset, length)

    def put_node(self, index: int, length: int, null_count: int) -> None:
        patch("<qq", self.metadata, self.entry(self.table(HEADER), NODES, index, 16), length, null_count)

    @property
    def encoded(self) -> bytes:
        return b"\xff\xff\xff\xff" + struct.pack("<i", len(self.metadata)) + self.metadata + self.body


def take_apart(data: bytes) -> list[Message]:
    """Return the messages of a good stream (in today's form), without the end marker."""
    messages: list[Message] = []
    position = 0
    while data[position : position + 8] != END:
        (length,) = struct.unpack_from("<i", data, position + 4)
        message = Message(bytearray(data[position + 8 : position + 8 + length]), bytearray())
        offset = message.root.Offset(BODY_LENGTH)
        (size,) = struct.unpack_from("<q", message.metadata, message.root.Pos + offset) if offset else (0,)
        position += 8 + length
        message.body += data[position : position + size]
        position += size
        messages.append(message)
    return messages


def join(messages: list[Message]) -> bytes:
    return b"".join(message.encoded for message in messages) + END


def damaged(batch: pa.RecordBatch, change: Callable[[Message], object], **options: object) -> bytes:
    """Return a stream of ``batch`` whose last message ``change`` has had in its hands."""
    messages = take_apart(encode(batch, **options))
    change(messages[-1])
    return join(messages)


def column(values: object, dtype: pa.DataType | None = None) -> pa.RecordBatch:
    """Return a batch with the one column ``c``."""
    return pa.record_batch({"c": values if isinstance(values, pa.Array) else pa.array(values, dtype)})


def put_numbers(message: Message, buffer: int, form: str, *values: int) -> None:
    """Overwrite the first numbers of a buffer of a batch."""
    patch(form, message.body, message.buffer(buffer)[0], *values)
