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


class DeleteFile(msgspec.Struct, frozen=True, array_like=True):
    """The positions of rows of a data file, ``count`` of them; ``path`` is relative to the data directory."""

    path: str
    count: int


class Change(msgspec.Struct, frozen=True, array_like=True):
    """What happened to rows of a file, in which snapshot and when.

    ``is_update`` marks both halves of an update. ``rows`` lists rows that went, some of them updated; meant
    are those that are as ``is_update`` says. None where the change is about all rows of the file.
    """

    kind: ChangeKind
    snapshot_id: int
    time: datetime
    is_update: bool = False
    rows: DeleteFile | None = None


class PlannedFile(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One pinned file. ``path`` is relative to the data directory; ``raw_size`` in bytes of Arrow data.

    ``groups`` has the rows and raw bytes of each row group, nothing where there is but one. ``bucket`` is
    None in tables that are not clustered, ``change`` where rows are wanted and not changes. ``deletes`` lists
    the rows that are gone; all numbers are of the rows that are left.
    """

    path: str
    record_count: int
    raw_size: int
    key: PartitionKey
    groups: tuple[tuple[int, int], ...] = ()
    bucket: int | None = None
    change: Change | None = None
    deletes: DeleteFile | None = None


class ListedFile(msgspec.Struct, frozen=True, order=True):
    """A file of a table's list. Files sort in the canonical order: by partition, then by first row id.

    ``partial_max`` is the last snapshot of its rows where another program merged those of several.
    ``delete_file_id`` is that of ``file.deletes``; ``updates``: all rows are new values of older ones.
    """

    key: PartitionKey
    row_id_start: int
    file_id: int
    begin_snapshot: int
    file: PlannedFile
    partial_max: int | None = None
    delete_file_id: int | None = None
    updates: bool = False
