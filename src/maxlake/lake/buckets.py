"""Bucket numbers of rows, for tables ``CLUSTERED BY (…) INTO n BUCKETS``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from zlib import crc32

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types as pat

from maxlake.protocol.columns import TableSchema
from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.limits import MAX_BUCKETS
from maxlake.protocol.types.model import Char, Decimal, Kind, OdpsType, Simple, Varchar

# The definition below is part of the format at rest: files say which bucket they hold, so none of these
# numbers may ever change.
_STEP = 0x9E3779B97F4A7C15
_FIRST_FACTOR = 0xBF58476D1CE4E5B9
_SECOND_FACTOR = 0x94D049BB133111EB
_NULL = 0xD6E8FEB86659FD93
_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
#: Holds every decimal that can be stored: at most 38 digits before the point and 38 after it.
_WIDEST_DECIMAL = pa.decimal256(76, 38)
_WIDEST_DECIMAL_BYTES = 32

_KINDS = frozenset(
    (
        Kind.TINYINT,
        Kind.SMALLINT,
        Kind.INT,
        Kind.BIGINT,
        Kind.BOOLEAN,
        Kind.STRING,
        Kind.DATE,
        Kind.DATETIME,
        Kind.TIMESTAMP,
        Kind.TIMESTAMP_NTZ,
    )
)


def check_clustering(schema: TableSchema, columns: Sequence[str], buckets: int | None) -> None:
    """Check what CREATE TABLE says of clustering; no columns and None for tables that are not clustered.

    Raises ``InvalidArgument`` for columns without a number of buckets or the reverse, a number outside
    1..``MAX_BUCKETS``, a column that is unknown, repeated or names partitions, and for a type whose equal
    values may look different or that cannot be compared: float, double, binary, json and nested ones.
    """
    if not columns and buckets is None:
        return
    if not columns or buckets is None or not 1 <= buckets <= MAX_BUCKETS:
        raise invalid_argument(f"a clustered table needs columns and from 1 to {MAX_BUCKETS} buckets")
    folded = [name.lower() for name in columns]
    if len(set(folded)) < len(folded):
        raise invalid_argument(f"a column is repeated in CLUSTERED BY ({', '.join(columns)})")
    for name in columns:
        column = schema.column(name)
        if column in schema.partition_columns:
            raise invalid_argument(f"partition column {column.name!r} cannot be in CLUSTERED BY")
        if not has_one_form(column.type):
            raise invalid_argument(
                f"column {column.name!r} of type {column.type} cannot be in CLUSTERED BY; use an integer, "
                "boolean, decimal, text, date or time type"
            )


def has_one_form(t: OdpsType) -> bool:
    """Tell whether equal values of a type always look the same, so that rows can be told apart by them."""
    return isinstance(t, Char | Varchar | Decimal) or (isinstance(t, Simple) and t.kind in _KINDS)


def bucket_numbers(batch: pa.RecordBatch, columns: Sequence[str], buckets: int) -> pa.Array:
    """Return the bucket of each row, an int32 from 0 to ``buckets`` - 1.

    The same values give the same bucket for ever, in every process and on every platform. All arithmetic
    is modulo 2**64. Each value becomes a word:

    * integers their two's complement; booleans 0 or 1; dates the days since 1970-01-01;
    * datetimes and timestamps the nanoseconds since 1970-01-01T00:00;
    * texts the CRC-32 (zlib's) of their UTF-8 bytes;
    * decimals the CRC-32 of value x 10**38 as 32 bytes, two's complement, little-endian;
    * NULL of any type the constant ``_NULL``.

    So the width of an integer, the length of a text, the digits of a decimal and the unit of an instant
    do not count: columns may be widened. From h = 0, each column's word w in turn makes h =
    mix((h + ``_STEP``) xor w), where mix is the finaliser of SplitMix64. The bucket is
    ((h >> 32) * ``buckets``) >> 32.

    Raises ``InvalidArgument`` for a column whose type :func:`check_clustering` refuses.
    """
    mixed: pa.Scalar | pa.Array = _word(0)
    for name in columns:
        words = pc.fill_null(_words(batch.column(name), name), _word(_NULL))
        mixed = _mix(pc.bit_wise_xor(pc.add(mixed, _word(_STEP)), words))
    scaled = pc.multiply(_shifted(mixed, 32), _word(buckets))
    return _shifted(scaled, 32).cast(pa.int32())


def _word(value: int) -> pa.Scalar:
    return pa.scalar(value, pa.uint64())


def _shifted(words: pa.Array, bits: int) -> pa.Array:
    return pc.shift_right(words, _word(bits))


def _mix(words: pa.Array) -> pa.Array:
    words = pc.multiply(pc.bit_wise_xor(words, _shifted(words, 30)), _word(_FIRST_FACTOR))
    words = pc.multiply(pc.bit_wise_xor(words, _shifted(words, 27)), _word(_SECOND_FACTOR))
    return pc.bit_wise_xor(words, _shifted(words, 31))


def _words(values: pa.Array, name: str) -> pa.Array:
    """Return a uint64 for each value; nulls stay."""
    t = values.type
    if pat.is_signed_integer(t):
        return values.cast(pa.int64()).view(pa.uint64())
    if pat.is_boolean(t):
        return values.cast(pa.uint64())
    if pat.is_date32(t):
        return values.view(pa.int32()).cast(pa.int64()).view(pa.uint64())
    if pat.is_timestamp(t):
        return pc.multiply(values.view(pa.uint64()), _word(_NANOSECONDS[t.unit]))
    if pat.is_string(t):
        return _checksums(values)
    if pat.is_decimal(t):
        return _checksums(values.cast(_WIDEST_DECIMAL))
    raise invalid_argument(f"column {name!r} has a type rows cannot be clustered by")


def _checksums(values: pa.Array) -> pa.Array:
    """Return the CRC-32 of each value's bytes, computed once for each distinct value."""
    encoded = values.dictionary_encode()
    distinct = encoded.dictionary
    if pat.is_string(distinct.type):
        _, offsets, data = distinct.buffers()
        ends: Sequence[int] = memoryview(offsets).cast("B").cast("i")[: len(distinct) + 1]
    else:
        _, data = distinct.buffers()
        ends = range(0, (len(distinct) + 1) * _WIDEST_DECIMAL_BYTES, _WIDEST_DECIMAL_BYTES)
    view = memoryview(data or b"")
    words = [crc32(view[start:end]) for start, end in pairwise(ends)]
    return pa.array(words, pa.uint64()).take(encoded.indices)
