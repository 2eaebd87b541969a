"""Jobs: what a worker process is told to compute, and what it answers."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath

import msgspec

from maxlake.lake.files import PlannedFile
from maxlake.lake.parts import Part
from maxlake.lake.plans import Plan
from maxlake.lake.tables import StoredColumn, Table, TableOptions
from maxlake.protocol.columns import TableSchema
from maxlake.protocol.errors import ErrorCode


class Scan(msgspec.Struct, frozen=True):
    """The pinned files of one table, and its columns; ``name`` is what the job's text calls them."""

    name: str
    columns: tuple[StoredColumn, ...]
    files: tuple[PlannedFile, ...]


class Rows(msgspec.Struct, frozen=True, tag=True):
    """The rows are wanted as they are: parts below ``path`` of ``directory``, named ``name``.

    ``declared`` has the type texts of columns whose declaration was followed, else None; ``most`` is how many
    raw bytes there may be, None for any number.
    """

    directory: str
    path: str
    name: str
    declared: tuple[str | None, ...]
    most: int | None = None


class Inserted(msgspec.Struct, frozen=True, tag=True):
    """The rows are for a table, whose files lie below ``path`` of ``directory``.

    ``stored`` are the table's columns. ``given`` names, in the query's order, those the query computes;
    ``fixed`` has the texts of static partition values; all others get their default.
    """

    directory: str
    path: str
    name: str
    stored: tuple[StoredColumn, ...]
    options: TableOptions
    given: tuple[str, ...]
    fixed: dict[str, str]


class Job(msgspec.Struct, frozen=True):
    """One query: DuckDB's SQL over scans, and where its rows go.

    ``data`` is the directory of the scans' files, ``spill`` one for what does not fit into ``memory`` bytes.
    """

    text: str
    data: str
    spill: str
    scans: tuple[Scan, ...]
    output: Rows | Inserted
    memory: int
    threads: int


class Done(msgspec.Struct, frozen=True, tag=True):
    """The rows are durable in ``parts``, which nobody names yet, and have these columns."""

    columns: tuple[StoredColumn, ...]
    parts: tuple[Part, ...]

    @property
    def record_count(self) -> int:
        """Rows in all parts."""
        return sum(part.record_count for part in self.parts)


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The job left nothing. ``busy`` says that it may succeed at another time.

    ``offset`` is the byte of the job's text that the message is about, None where it is about no one place.
    """

    code: ErrorCode
    message: str
    busy: bool = False
    offset: int | None = None


Outcome = Done | Failed
#: How a job's length is written before it.
LENGTH = struct.Struct("<q")
encode = msgspec.msgpack.Encoder().encode
decode_job = msgspec.msgpack.Decoder(Job).decode
decode_outcome = msgspec.msgpack.Decoder(Done | Failed).decode


def written_table(path: str, stored: Sequence[StoredColumn], options: TableOptions) -> Table:
    """Return a table as the writer of parts needs it: columns, options and path."""
    never = datetime.fromtimestamp(0, UTC)
    return Table(
        table_id=0,
        schema="",
        name=path,
        path=PurePosixPath(path),
        columns=TableSchema(
            columns=tuple(column.column for column in stored if not column.partition),
            partition_columns=tuple(column.column for column in stored if column.partition),
        ),
        stored={column.name: column for column in stored},
        options=options,
        owner="",
        created_at=never,
        modified_at=never,
        ddl_at=never,
        schema_version=0,
        created_snapshot=0,
        latest_snapshot=0,
    )


def result_plan(path: str, parts: Sequence[Part]) -> Plan:
    """Return the plan of a query's rows, whose files lie below ``path``."""
    return Plan.of(
        0,
        [
            PlannedFile(f"{path}/{part.path}", part.record_count, part.raw_size, part.key, part.groups)
            for part in parts
        ],
    )
