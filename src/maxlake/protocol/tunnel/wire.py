"""Tags of the tunnel's records, which are laid out like protobuf messages (rest.md §8.2)."""

from __future__ import annotations

from enum import IntEnum


class WireType(IntEnum):
    """How long a field is."""

    VARINT = 0
    FIXED64 = 1
    DELIMITED = 2
    FIXED32 = 5


#: Field numbers beyond every column: the end of a record, and the two of the end of a stream.
END_RECORD = 33553408
ROW_COUNT = 33554430
CHECKSUM = 33554431


def varint(value: int) -> bytes:
    """Return an unsigned number as a varint."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def tag(number: int, wire_type: WireType) -> bytes:
    """Return what stands before a field."""
    return varint(number << 3 | wire_type)
