"""What a caller may choose about a read session: splitting, Arrow units, format, increments."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from maxlake.client import enums
from maxlake.protocol.limits import DEFAULT_SPLIT_SIZE


class _Options(msgspec.Struct, kw_only=True, rename="pascal"):
    """Options whose ``None`` means the default, as in PyODPS 0.13.0."""

    def __post_init__(self) -> None:
        for field in msgspec.structs.fields(self):
            if getattr(self, field.name) is None:
                setattr(self, field.name, field.default)


class SplitOptions(_Options):
    """How a read session is cut into splits (wire.md §4.1).

    ``split_number`` is bytes per split for ``SIZE`` (default 256 MiB), the number of splits for
    ``PARALLELISM``. With ``cross_partition`` false, a split holds rows of one partition only.
    """

    SplitMode: ClassVar[type[enums.SplitMode]] = enums.SplitMode

    split_mode: enums.SplitMode | str | None = enums.SplitMode.SIZE
    split_unit: str | None = "ByteSize"
    split_number: int | None = DEFAULT_SPLIT_SIZE
    cross_partition: bool | None = True


class ArrowOptions(_Options):
    """Units of TIMESTAMP (default nano) and DATETIME (default milli) columns in Arrow."""

    TimestampUnit: ClassVar[type[enums.TimeUnit]] = enums.TimeUnit

    timestamp_unit: enums.TimeUnit | str | None = enums.TimeUnit.NANO
    date_time_unit: enums.TimeUnit | str | None = msgspec.field(
        default=enums.TimeUnit.MILLI, name="DatetimeUnit"
    )


class DataFormat(_Options):
    """A format of row data; Arrow V5 is the only one there is."""

    type: str | None = "Arrow"
    version: str | None = "V5"


class IncrementalReadOptions(msgspec.Struct, kw_only=True, rename="pascal", omit_defaults=True):
    """Which changes an incremental read shows: after the start, up to and including the end (wire.md §4.5).

    ``mode`` is ``append`` or ``cdc``; bounds are versions, or timestamps ``yyyy-mm-dd hh:mm:ss``.
    What is ``None`` is not sent.
    """

    mode: str | None = None
    start_time_stamp: str | None = None
    end_time_stamp: str | None = None
    start_version: int | None = None
    end_version: int | None = None
