"""Files of a table as plans pin them, and the change a file stands for."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum

import msgspec

from maxlake.lake.partitions import PartitionKey


class ChangeKind(IntEnum):
    """What happened to a row, as ``__meta_op_type`` says it."""

    DELETE = 0
    INSERT = 1


class Change(msgspec.Struct, frozen=True, array_like=True):
    """What happened to all rows of a file, in which snapshot and when."""

    kind: ChangeKind
    snapshot_id: int
    time: datetime


class PlannedFile(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One pinned file. ``path`` is relative to the data directory; ``raw_size`` in bytes of Arrow data.

    ``groups`` has the rows and raw bytes of each row group, nothing where there is but one. ``bucket`` is
    None in tables that are not clustered, ``change`` where rows are wanted and not changes.
    """

    path: str
    record_count: int
    raw_size: int
    key: PartitionKey
    groups: tuple[tuple[int, int], ...] = ()
    bucket: int | None = None
    change: Change | None = None


class ListedFile(msgspec.Struct, frozen=True, order=True):
    """A file of a table's list. Files sort in the canonical order: by partition, then by first row id.

    ``partial_max`` is the last snapshot of its rows where another program merged those of several.
    """

    key: PartitionKey
    row_id_start: int
    file_id: int
    begin_snapshot: int
    file: PlannedFile
    partial_max: int | None = None
