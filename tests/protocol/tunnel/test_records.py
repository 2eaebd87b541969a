"""Records: what was sent is read, whatever the types and the pieces; what was changed or cut is not."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxlake.protocol import limits
from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.tunnel.record_reader import RecordReader
from maxlake.protocol.tunnel.record_writer import RecordWriter
from maxlake.protocol.tunnel.wire import varint
from maxlake.protocol.types.arrow import arrow_type
from maxlake.protocol.types.ingest import to_storage
from maxlake.protocol.types.model import OdpsType
from maxlake.protocol.types.text import parse_type
from tests.protocol.types.strategies import TYPES, values

#: The rows (1, "x"), (2, NULL) of (bigint, string), as PyODPS reads them (rest.md §8.2).
VECTOR = bytes.fromhex("080212017880c0ff7fc9a8e2f503080480c0ff7fa3b6a6c308f0ffff7f04f8ffff7ff2e5f99b03")
#: The same as its compiled writer sends them: with checksums that are negative numbers.
WRITTEN = bytes.fromhex(
    "080212017880c0ff7fc9a8e2f503080480c0ff7fa3b6a6c3f8ffffffff01f0ffff7f04f8ffff7ff2e5f99b03"
)
TWO = ("bigint", "string")
ROWS = pa.record_batch({"c0": [1, 2], "c1": ["x", None]})


def written(batch: pa.RecordBatch, types: list[OdpsType], size: int = 10**6) -> bytes:
    writer = RecordWriter(types)
    slices = [writer.feed(batch.slice(start, size)) for start in range(0, batch.num_rows, size)]
    return b"".join([*slices, writer.finish()])


def read(data: bytes, types: list[OdpsType], piece: int = 10**6) -> pa.Table:
    reader = RecordReader([f"c{number}" for number in range(len(types))], types)
    batches = [batch for at in range(0, len(data), piece) for batch in reader.feed(data[at : at + piece])]
    return pa.Table.from_batches([*batches, *reader.finish()], reader.schema)


def parsed(*texts: str) -> list[OdpsType]:
    return [parse_type(text) for text in texts]


def refusal(data: bytes, *texts: str) -> ErrorCode:
    with pytest.raises(BadRequestError) as caught:
        read(data, parsed(*texts or TWO))
    return caught.value.code


def test_rows_are_written_as_pyodps_reads_them():
    assert written(ROWS, parsed(*TWO)) == VECTOR


@pytest.mark.parametrize("data", [VECTOR, WRITTEN])
def test_rows_are_read_as_pyodps_writes_them(data):
    assert read(data, parsed(*TWO), piece=1).to_pylist() == [{"c0": 1, "c1": b"x"}, {"c0": 2, "c1": None}]


@st.composite
def tables(draw: st.DrawFn) -> tuple[pa.RecordBatch, list[OdpsType]]:
    """Batches of the read direction."""
    types = draw(st.lists(TYPES, min_size=1, max_size=4))
    count = draw(st.integers(0, 5))
    columns = [
        pa.array(draw(st.lists(values(t), min_size=count, max_size=count)), arrow_type(t)) for t in types
    ]
    return pa.RecordBatch.from_arrays(columns, [f"c{number}" for number in range(len(types))]), types


@given(tables(), st.integers(1, 400), st.integers(1, 3))
@settings(max_examples=30)
def test_what_was_written_is_read(table, piece, size):
    batch, types = table
    got = read(written(batch, types, size), types, piece).combine_chunks()
    assert got.num_rows == batch.num_rows
    for t, mine, theirs in zip(types, got.columns, batch.columns, strict=True):
        assert to_storage(mine, t, where="") == to_storage(theirs, t, where="")


@given(tables(), st.data())
@settings(max_examples=30)
def test_what_was_changed_or_cut_is_refused(table, data):
    batch, types = table
    sent = bytearray(written(batch, types))
    at = data.draw(st.integers(0, len(sent) - 1))
    changed = data.draw(st.integers(1, 255))
    with pytest.raises(BadRequestError):
        read(bytes(sent[:at]), types)
    sent[at] ^= changed
    try:
        got = read(bytes(sent), types)
    except BadRequestError:
        return
    # Checksums cover no flag and no count inside a value; the number of rows is certain.
    assert got.num_rows == batch.num_rows


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "cut"),
        (VECTOR + b"\0", "follow"),
        (VECTOR + VECTOR, "follow"),
        (b"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", "64 bits"),
        (b"\x08" + b"\xff" * 9 + b"\x7f", "64 bits"),
        (b"\x1a\x01x", "field 3"),
        (b"\x0a\x01x", "wire type 2"),
        (b"\x12\x01x\x08\x02", "field 1 follows field 2"),
        (b"\x08\x02\x08\x02", "field 1 follows field 1"),
        (b"\x12" + varint(limits.MAX_FIELD_SIZE + 1), "MaxFieldSize"),
        (b"\xf0\xff\xff\x7f\x02\xf8\xff\xff\x7f\x00", "0 rows came, 1 were sent"),
        (b"\xf0\xff\xff\x7f\x00\x08\x00", "field 1 follows the number of rows"),
    ],
)
def test_what_is_no_record_stream_is_refused(data, problem):
    with pytest.raises(BadRequestError, match=problem) as caught:
        read(data, parsed(*TWO))
    assert caught.value.code is ErrorCode.DATA_ERROR


def test_checksums_of_rows_and_of_all_are_verified():
    row, whole = bytearray(VECTOR), bytearray(VECTOR)
    row[9] ^= 1
    whole[-1] ^= 1
    assert refusal(bytes(row)) is ErrorCode.CHECKSUM_MISMATCH
    assert refusal(bytes(whole)) is ErrorCode.CHECKSUM_MISMATCH


@pytest.mark.parametrize(
    ("t", "sent", "problem"),
    [
        ("boolean", b"\x08\x02", "boolean"),
        ("array<int>", b"\x0a\x01\x02", "boolean"),
        ("timestamp", b"\x0a\x00\xfe\xff\xff\xff\xff\x01", "32 bits"),
        ("map<string,int>", b"\x0a\x01\x00\x01a\x02\x00\x02\x00\x04", "another number of keys"),
    ],
)
def test_values_that_cannot_be_are_refused(t, sent, problem):
    with pytest.raises(BadRequestError, match=problem):
        read(sent, parsed(t))


@pytest.mark.parametrize(
    "text", ["1e30", "1.005", "NaN", "Infinity", "", " 1", "0x1", "1_0", "1e999999999", "9" * 200, "é"]
)
def test_text_that_is_no_such_decimal_is_refused(text):
    as_text = written(pa.record_batch({"c0": [text]}), parsed("string"))
    (t,) = parsed("decimal(10,2)")
    with pytest.raises(BadRequestError) as caught:
        to_storage(read(as_text, [t]).column("c0"), t, where="c0")
    assert caught.value.code is ErrorCode.DATA_ERROR


@pytest.mark.parametrize("text", ["-99999999.99", "1E+7", "+.5", "5.", "0E-2", "1.10000"])
def test_a_decimal_may_be_spelled_in_many_ways(text):
    as_text = written(pa.record_batch({"c0": [text, None]}), parsed("string"))
    assert read(as_text, parsed("decimal(10,2)"))["c0"].to_pylist() == [Decimal(text), None]


def test_announced_items_cost_nothing():
    """A list of four billion items, of which one is there, is a record that goes on."""
    reader = RecordReader(["c0"], parsed("array<bigint>"))
    assert list(reader.feed(b"\x0a" + varint(2**32 - 1) + b"\0\0")) == []


def test_a_record_that_never_ends_is_refused(monkeypatch):
    monkeypatch.setattr(limits, "MAX_RECORD_BYTES", 10_000)
    begun = b"\x0a" + varint(2**31) + b"\0\1a" * 10_000
    with pytest.raises(BadRequestError, match="more than 10000 bytes"):
        read(begun, parsed("array<string>"), piece=1000)


def test_batches_of_wide_tables_are_short(monkeypatch):
    monkeypatch.setattr(limits, "MAX_RECORD_BATCH_VALUES", 20)
    types = parsed(*["bigint"] * 10)
    batch = pa.RecordBatch.from_arrays([pa.array(range(7))] * 10, [f"c{number}" for number in range(10)])
    got = read(written(batch, types), types)
    assert [chunk.num_rows for chunk in got.to_batches()] == [2, 2, 2, 1]
    assert got.to_pydict() == batch.to_pydict()


def test_a_vector_with_a_null_is_no_record():
    batch = pa.record_batch({"c0": pa.array([[1.0, None]], pa.list_(pa.float32()))})
    with pytest.raises(BadRequestError, match="null element"):
        written(batch, parsed("vector(float,2)"))
