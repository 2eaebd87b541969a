"""What the check of uploaded Arrow streams takes and refuses, before and after pyarrow decodes them."""

from __future__ import annotations

import io
import os
import struct

import pyarrow as pa
import pytest

from benchmarks.processes import resident
from maxlake.lake.arrow_input import Source, validated
from maxlake.lake.arrow_input import open_stream as open_within
from maxlake.lake.upload_memory import Allowance, UploadMemory
from maxlake.protocol import limits
from maxlake.protocol.errors import BadRequestError, ErrorCode
from tests.hostile_arrow import (
    BODY_LENGTH,
    BUFFERS,
    DICTIONARY_DATA,
    END,
    ENDIANNESS,
    HEADER,
    HEADER_TYPE,
    ROWS,
    VARIADIC,
    Message,
    column,
    damaged,
    encode,
    join,
    patch,
    put_numbers,
    take_apart,
)

EVERY_LAYOUT = pa.record_batch(
    {
        "number": pa.array([1, None, 3]),
        "text": pa.array(["x", None, "zz"]),
        "large": pa.array(["x", None, "zz"], pa.large_string()),
        "view": pa.array(["longer than twelve bytes", None, "short"], pa.string_view()),
        "words": pa.array(["p", "q", None]).dictionary_encode(),
        "list": pa.array([[1], None, [2, 3]]),
        "map": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int32())),
        "struct": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}]),
        "truth": pa.array([True, None, False]),
        "fixed": pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float32(), 2)),
        "nothing": pa.nulls(3),
    }
)
V4 = pa.ipc.MetadataVersion.V4


def open_stream(source: Source):
    return open_within(source, Allowance(UploadMemory(), lambda _: 0))


def take(data: bytes) -> list[pa.RecordBatch]:
    reader, stream = open_stream(io.BytesIO(data))
    batches = list(validated(reader))
    stream.finish()
    assert stream.byte_count == len(data)
    return batches


def refused(data: bytes, code: ErrorCode = ErrorCode.DATA_ERROR) -> str:
    with pytest.raises(BadRequestError) as caught:
        take(data)
    assert caught.value.code is code
    return str(caught.value)


class Dribble(io.RawIOBase):
    """A source that gives three bytes at most."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._file = io.BytesIO(data)

    def readinto(self, into: memoryview) -> int:
        return self._file.readinto(into[:3])


class Broken(io.BytesIO):
    """A connection that breaks where its bytes end."""

    def readinto(self, into: memoryview) -> int:
        count = super().readinto(into)
        if not count:
            raise ConnectionResetError
        return count


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zstd"},
        {"compression": "lz4"},
        {"use_legacy_format": True},
        {"metadata_version": V4},
        {"use_legacy_format": True, "metadata_version": V4},
    ],
)
def test_every_good_form_is_taken(options):
    assert take(encode(EVERY_LAYOUT, EVERY_LAYOUT, **options)) == [EVERY_LAYOUT, EVERY_LAYOUT]


def test_short_reads_of_the_source_do_no_harm():
    reader, stream = open_stream(Dribble(encode(EVERY_LAYOUT)))
    assert list(validated(reader)) == [EVERY_LAYOUT]
    stream.finish()


def test_compressed_buffers_may_be_stored_as_they_are():
    def store(message: Message) -> None:
        put_numbers(message, 1, "<qq", -1, 0x0123456789ABCDEF)
        message.put_buffer(1, message.buffer(1)[0], 16)

    assert take(damaged(column([7]), store, compression="zstd")) == [column([0x0123456789ABCDEF])]


def test_a_stream_of_a_schema_alone_holds_no_rows():
    sink = io.BytesIO()
    pa.ipc.new_stream(sink, EVERY_LAYOUT.schema).close()
    assert take(sink.getvalue()) == []


def test_replaced_dictionaries_are_taken():
    first, second = (column(pa.array([word, None]).dictionary_encode()) for word in ("a", "b"))
    assert take(encode(first, second)) == [first, second]


def test_custom_metadata_is_taken():
    schema = pa.schema([pa.field("c", pa.int64(), metadata={"k": "v"})], metadata={"k": "v" * 10_000})
    batch = pa.record_batch([[1]], schema=schema)
    assert take(encode(batch)) == [batch]


@pytest.mark.parametrize("options", [{}, {"compression": "zstd"}, {"use_legacy_format": True}])
def test_no_beginning_of_a_stream_is_taken_for_the_whole(options):
    data = encode(EVERY_LAYOUT, **options)
    for length in range(1, len(data)):
        assert "truncated" in refused(data[:length])


def test_no_bytes_are_no_rows():
    reader, checked = open_stream(io.BytesIO(b""))
    assert list(validated(reader)) == []
    checked.finish()


def test_nothing_may_follow_the_end():
    assert "follow" in refused(encode(EVERY_LAYOUT) + b"\0")
    assert "follow" in refused(encode(EVERY_LAYOUT) * 2)


def test_a_connection_that_broke_is_not_the_fault_of_the_rows():
    data = encode(EVERY_LAYOUT)

    for length in (10, len(data) - 10):
        with pytest.raises(ConnectionResetError):
            list(validated(open_stream(Broken(data[:length]))[0]))


@pytest.mark.parametrize("length", [-1, -(2**31), limits.MAX_ARROW_METADATA + 1, 2**31 - 1])
def test_a_lying_metadata_length_is_refused(length):
    for prefix in (b"\xff\xff\xff\xff", b""):
        refused(prefix + struct.pack("<i", length) + encode(EVERY_LAYOUT)[8:])


def _lie(length: int) -> bytes:
    return damaged(column([1, 2, 3]), lambda m: m.put("<q", m.root, BODY_LENGTH, length))


@pytest.mark.parametrize("length", [-1, -(2**63), 0, 8, 2**20, limits.MAX_ARROW_MESSAGE + 1, 2**63 - 1])
def test_a_lying_body_length_is_refused(length):
    refused(_lie(length))


class _Watched(io.BytesIO):
    """A source that looks at this process each time it is asked."""

    resident = 0

    def readinto(self, into: memoryview) -> int:
        self.resident = max(self.resident, resident(os.getpid()))
        return super().readinto(into)


def test_an_announced_length_takes_no_memory():
    source = _Watched(_lie(limits.MAX_ARROW_MESSAGE))
    before = resident(os.getpid())
    with pytest.raises(BadRequestError, match="truncated"):
        open_stream(source)[0].read_all()
    assert source.resident - before < 100_000_000


@pytest.mark.parametrize(
    ("offset", "length"),
    [
        (-8, 8),
        (0, -1),
        (0, 1 << 20),
        (1 << 20, 8),
        (2**63 - 8, 8),
        (2**63 - 8, 2**63 - 8),
        (-(2**63), 2**63 - 1),
    ],
)
def test_buffers_outside_the_body_are_refused(offset, length):
    assert "outside" in refused(damaged(column([1, 2, 3]), lambda m: m.put_buffer(1, offset, length)))


def test_a_validity_bitmap_too_short_is_refused():
    batch = column([1, None] * 50)
    refused(damaged(batch, lambda m: m.put_buffer(0, m.buffer(0)[0], 1)))


@pytest.mark.parametrize("dtype", ["string", "large_string", "list", "large_list", "map", "binary"])
@pytest.mark.parametrize(
    "offsets", [(-1, 1, 2, 3), (0, 2, 1, 3), (0, 1, 2, 1 << 20), (0, 1, 2, 2**31 - 1), (5, 1, 2, 3)]
)
def test_wrong_offsets_are_refused(dtype, offsets):
    kinds = {
        "string": (["a", "b", "c"], pa.string()),
        "binary": ([b"a", b"b", b"c"], pa.binary()),
        "large_string": (["a", "b", "c"], pa.large_string()),
        "list": ([[1], [2], [3]], pa.list_(pa.int8())),
        "large_list": ([[1], [2], [3]], pa.large_list(pa.int8())),
        "map": ([[("a", 1)]] * 3, pa.map_(pa.string(), pa.int8())),
    }
    form = "<4q" if dtype.startswith("large") else "<4i"
    refused(damaged(column(*kinds[dtype]), lambda m: put_numbers(m, 1, form, *offsets)))


@pytest.mark.parametrize("index", [-1, 2, 127])
def test_a_dictionary_index_out_of_range_is_refused(index):
    words = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int8()), ["a", "b"])
    refused(damaged(column(words), lambda m: put_numbers(m, 1, "<b", index)))


@pytest.mark.parametrize(
    "view", [(-1, 0, 0, 0), (100, 0, 1, 0), (100, 0, 0, -1), (100, 0, 0, 2**30), (100, 0, -1, 0)]
)
def test_wrong_views_are_refused(view):
    batch = column(["longer than twelve bytes"] * 2, pa.string_view())
    refused(damaged(batch, lambda m: put_numbers(m, 1, "<4i", *view)))


@pytest.mark.parametrize("count", [-1, 2**20, 2**31 - 1, 2**63 - 1])
def test_view_buffers_that_are_not_there_are_refused(count):
    def lie(message: Message) -> None:
        batch = message.table(HEADER)
        patch("<q", message.metadata, message.entry(batch, VARIADIC, 0, 8), count)

    batch = column(["longer than twelve bytes"] * 2, pa.string_view())
    assert "not there" in refused(damaged(batch, lie))


def test_text_that_is_not_utf8_is_refused():
    refused(damaged(column(["abc"]), lambda m: put_numbers(m, 2, "<B", 0xFF)))


@pytest.mark.parametrize("rows", [-1, 0, 4, 2**62])
def test_a_lying_row_count_is_refused(rows):
    refused(damaged(column([1, 2, 3]), lambda m: m.put("<q", m.table(HEADER), ROWS, rows)))


def test_values_that_take_no_bytes_are_bounded():
    def of_nulls(count: int) -> bytes:
        def announce(message: Message) -> None:
            message.put("<q", message.table(HEADER), ROWS, count)
            message.put_node(0, count, count)

        return damaged(column(pa.nulls(3)), announce)

    most = limits.MAX_UNBACKED_VALUES
    assert take(of_nulls(most))[0].num_rows == most
    for count in (most + 1, 2**40):
        assert "announces" in refused(of_nulls(count))


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_what_decompresses_to_too_much_is_refused_unseen(codec, monkeypatch):
    monkeypatch.setattr(limits, "MAX_ARROW_MESSAGE", 1 << 20)
    bomb = encode(column([0] * (1 << 18)), compression=codec)
    assert len(bomb) < 50_000
    assert "grows" in refused(bomb)


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
@pytest.mark.parametrize("size", [-2, 0, 1, 799, 801, 1 << 20, limits.MAX_ARROW_MESSAGE + 1, 2**63 - 1])
def test_a_lying_decompressed_length_is_refused(codec, size):
    batch = column([7] * 100)
    refused(damaged(batch, lambda m: put_numbers(m, 1, "<q", size), compression=codec))


@pytest.mark.parametrize("length", [1, 7, 8, 9])
def test_a_compressed_buffer_cut_short_is_refused(length):
    batch = column([7] * 100)
    refused(damaged(batch, lambda m: m.put_buffer(1, m.buffer(1)[0], length), compression="zstd"))


def test_the_dictionaries_are_bounded_together(monkeypatch):
    words = pa.array(["x" * 1000]).dictionary_encode()
    data = encode(pa.record_batch({f"c{number}": words for number in range(20)}))
    take(data)
    monkeypatch.setattr(limits, "MAX_ARROW_MESSAGE", 10_000)
    assert "dictionaries" in refused(data)


def test_a_replaced_dictionary_is_not_counted_twice(monkeypatch):
    monkeypatch.setattr(limits, "MAX_ARROW_MESSAGE", 10_000)
    batches = [column(pa.array([str(number) * 1000]).dictionary_encode()) for number in range(10)]
    assert take(encode(*batches)) == batches


def test_delta_dictionaries_are_refused():
    batches = [column(pa.DictionaryArray.from_arrays([0], pa.array(words))) for words in (["a"], ["a", "b"])]
    assert "delta" in refused(encode(*batches, emit_dictionary_deltas=True))


def test_a_dictionary_is_checked_like_a_batch():
    messages = take_apart(encode(column(pa.array(["a", "b"]).dictionary_encode())))
    dictionary = messages[1]
    at = dictionary.entry(dictionary.table(HEADER, DICTIONARY_DATA), BUFFERS, 2, 16)
    patch("<qq", dictionary.metadata, at, 0, 1 << 20)
    assert "outside" in refused(join(messages))


def test_a_missing_dictionary_is_refused():
    schema, _, batch = take_apart(encode(column(pa.array(["a", "b"]).dictionary_encode())))
    refused(join([schema, batch]))


def test_schemas_come_once_and_first():
    schema, batch = take_apart(encode(column([1])))
    for order in ([], [batch], [schema, schema, batch], [schema, batch, schema]):
        refused(join(order))


@pytest.mark.parametrize("kind", [0, 4, 5, 6, 255])
def test_messages_of_other_kinds_are_refused(kind):
    refused(damaged(column([1]), lambda m: m.put("<B", m.root, HEADER_TYPE, kind)))


def test_big_endian_is_refused():
    schema, batch = take_apart(encode(column([1])))
    table = schema.table(HEADER)
    # The default, little-endian, is not written: let the table claim the number is where its fields are.
    patch(
        "<H",
        schema.metadata,
        table.Pos - struct.unpack_from("<i", schema.metadata, table.Pos)[0] + ENDIANNESS,
        4,
    )
    assert "endian" in refused(join([schema, batch]))


def test_the_compression_of_arrow_0_17_is_refused():
    sink = io.BytesIO()
    batch = column([1, 2, 3])
    options = pa.ipc.IpcWriteOptions(metadata_version=V4)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch, custom_metadata={"ARROW:experimental_compression": "zstd"})
    assert "0.17" in refused(sink.getvalue())


def test_as_many_columns_as_tables_have_are_taken_but_not_more():
    most = limits.MAX_COLUMNS + limits.MAX_PARTITION_COLUMNS
    take(encode(pa.record_batch({f"c{number}": [1] for number in range(most)})))
    for count in (most + 1, 100_000):
        schema = pa.schema([pa.field(f"c{number}", pa.int8()) for number in range(count)])
        data = schema.serialize().to_pybytes() + END
        assert str(count) in refused(data, ErrorCode.SCHEMA_MISMATCH)


def test_a_column_name_longer_than_any_is_refused():
    batch = pa.record_batch({"c" * (limits.MAX_NAME_LENGTH + 1): [1]})
    refused(encode(batch), ErrorCode.SCHEMA_MISMATCH)


def test_a_column_name_that_is_not_utf8_is_refused():
    data = encode(pa.record_batch({"name_of_column": [1]}))
    refused(data.replace(b"name_of_column", b"name_of_\xff\xff\xff\xff\xff\xff"))


def _nested(levels: int) -> pa.DataType:
    kind: pa.DataType = pa.int8()
    for level in range(levels - 1):
        kind = pa.struct([pa.field("m", kind)]) if level % 2 else pa.list_(kind)
    return kind


@pytest.mark.parametrize("levels", [limits.MAX_NESTING + 1, 60, 63, 64, 65, 100, 1000])
def test_nesting_past_the_limit_is_refused(levels):
    schema = pa.schema([pa.field("c", _nested(levels))])
    refused(schema.serialize().to_pybytes() + END)


def test_nesting_up_to_the_limit_is_taken():
    batch = column(pa.array([None], _nested(limits.MAX_NESTING)))
    assert take(encode(batch)) == [batch]


def test_nesting_inside_dictionaries_counts():
    words = pa.DictionaryArray.from_arrays(
        pa.array([0], pa.int8()), pa.array([None], _nested(limits.MAX_NESTING))
    )
    assert "nested" in refused(encode(column(words)))


@pytest.mark.parametrize("scale", [-1, 11, 128, 8_388_613, -(2**31), 2**31 - 1])
def test_a_decimal_scale_that_casts_cannot_bear_is_refused(scale):
    schema = pa.schema([pa.field("c", pa.decimal128(10, scale))])
    assert "scale" in refused(schema.serialize().to_pybytes() + END)


def test_a_time_zone_that_is_not_utf8_is_refused():
    data = encode(column(pa.array([1], pa.timestamp("s", "Mars/Olympus"))))
    refused(data.replace(b"Mars/Olympus", b"Mars/\xff\xff\xff\xff\xff\xff\xff"))
