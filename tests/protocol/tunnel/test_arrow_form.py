"""The tunnel's Arrow is what PyODPS takes a table's columns for."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest

from maxlake.protocol.columns import Column
from maxlake.protocol.errors import BadRequestError
from maxlake.protocol.tunnel.arrow_form import ArrowForm
from maxlake.protocol.tunnel.decoders import ArrowDecoder
from maxlake.protocol.tunnel.encoders import ArrowEncoder
from maxlake.protocol.types.arrow import DAY_TIME, arrow_type
from maxlake.protocol.types.text import parse_type

PYODPS = ArrowForm(whole_decimal_scale=18)


@pytest.mark.parametrize(
    ("text", "arrow"),
    [
        ("decimal", pa.decimal256(54, 18)),
        ("decimal(10,2)", pa.decimal128(38, 2)),
        ("decimal(10,0)", pa.decimal128(38, 18)),
        ("array<decimal(5)>", pa.list_(pa.decimal128(38, 18))),
        ("timestamp", pa.timestamp("ns")),
        ("datetime", pa.timestamp("ms")),
        ("map<string,date>", pa.map_(pa.string(), pa.date32())),
    ],
)
def test_types_of_columns(text, arrow):
    assert PYODPS.column_type(parse_type(text)) == arrow


def test_timestamps_of_results_are_parts_but_for_inner_ones():
    form = ArrowForm(18, timestamps_in_parts=True)
    assert form.column_type(parse_type("timestamp_ntz")) == DAY_TIME
    assert form.column_type(parse_type("array<timestamp>")) == pa.list_(pa.timestamp("ns"))
    assert ArrowForm().column_type(parse_type("decimal(10,0)")) == pa.decimal128(38, 0)
    ticks = pa.array([-1, None], pa.timestamp("ns"))
    parts = form.to_wire(ticks, parse_type("timestamp"))
    assert parts.to_pylist() == [{"sec": -1, "nano": 999_999_999}, None]


@pytest.mark.parametrize("text", ["decimal(38,0)", "array<decimal(38,0)>"])
def test_a_decimal_without_room_is_an_error(text):
    t = parse_type(text)
    value = [Decimal(10**21)] if text.startswith("array") else Decimal(10**21)
    with pytest.raises(BadRequestError, match="read records"):
        PYODPS.to_wire(pa.array([value], arrow_type(t)), t)


def test_what_was_sent_is_decoded():
    columns = [Column("a", parse_type("decimal(5,0)")), Column("b", parse_type("string"))]
    batch = pa.record_batch(
        {"a": pa.array([Decimal(7), None], pa.decimal128(5, 0)), "b": ["x" * 100_000, None]}
    )
    encoder = ArrowEncoder([column.type for column in columns], PYODPS)
    sent = encoder.feed(batch.slice(0, 1)) + encoder.feed(batch.slice(1)) + encoder.finish()
    decoder = ArrowDecoder(columns, PYODPS)
    pieces = [decoder.feed(sent[at : at + 999]) for at in range(0, len(sent), 999)]
    table = pa.ipc.open_stream(b"".join(pieces) + decoder.finish()).read_all()
    table.validate(full=True)
    assert table.to_pydict() == {"a": [Decimal("7.000000000000000000"), None], "b": ["x" * 100_000, None]}
