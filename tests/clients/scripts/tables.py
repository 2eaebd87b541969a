"""What behaviours that every client has ask of a table, in words that are no client's own."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa


@dataclass(frozen=True)
class Split:
    """How to cut a session: `number` is bytes, splits or rows, as the mode has it."""

    mode: str = "Size"
    number: int = 256 * 1024 * 1024
    crossing: bool = True


@dataclass(frozen=True)
class Changes:
    """An incremental read; bounds are versions (numbers) or timestamps (texts), None where left out."""

    mode: str | None = None
    after: int | str | None = None
    upto: int | str | None = None


@dataclass(frozen=True)
class Wanted:
    """What a session is asked for; empty means everything."""

    columns: tuple = ()
    keys: tuple = ()
    partitions: tuple = ()
    buckets: tuple = ()
    split: Split = Split()
    files: int = 0
    timestamp_unit: str | None = None
    datetime_unit: str | None = None
    where: str = ""
    fallback: bool = False
    changes: Changes | None = None


class Session(ABC):
    """A read session as its client shows it.

    Attributes: `id`, `splits` (how many), `record_count`, `latest_version`, `expires` (ms since 1970),
    `stats` (size, rows) and `columns` (names and types of the data columns, then of the partition columns).
    """

    @abstractmethod
    def batches(self, address, *, skip=0, batch_rows=4096, batch_size=0, columns=()):
        """Read a split (its number) or a range of rows (offset and count); return schema and batches."""

    @abstractmethod
    def again(self):
        """The session as the service tells of it now."""

    @abstractmethod
    def refreshed(self):
        """The session with its life extended."""

    def rows(self, address, **how):
        schema, batches = self.batches(address, **how)
        return pa.Table.from_batches(batches, schema)

    def parts(self):
        """The rows of each split."""
        return [self.rows(split) for split in range(self.splits)]

    def read(self):
        """All rows; of a RowOffset session as many as it says it has."""
        if not self.splits:
            return self.rows((0, max(self.record_count, 0)) if self.record_count else (0, 1))
        return pa.concat_tables(self.parts())


class Table(ABC):
    """A table and the client's way to it."""

    def __init__(self, odps, name):
        self.odps = odps
        self.name = name

    @classmethod
    def made(cls, context, columns, partitions, clause, short_lived):
        odps = (context.short_lived if short_lived else context.server).odps()
        partitioned = f"PARTITIONED BY ({partitions})" if partitions else ""
        odps.execute_sql(f"CREATE TABLE {context.table} ({columns}) {partitioned} {clause}")
        return cls(odps, context.table, context)

    def sql(self, statement):
        """Run a statement; `{}` stands for the table's name."""
        self.odps.execute_sql(statement.format(self.name))

    def session(self, **wanted):
        return self.opened(Wanted(**wanted))

    def read(self, **wanted):
        """All rows of a new session."""
        return self.session(**wanted).read()

    def version(self):
        """The table's newest version."""
        return self.session().latest_version

    @abstractmethod
    def write(self, *batches, partition=None, overwrite=False):
        """Write and commit in one session."""

    @abstractmethod
    def opened(self, wanted):
        """Create a session."""

    @abstractmethod
    def preview(self, limit=None, partition=None, columns=None):
        """Preview rows."""


def batch(start, count, **partition):
    """Rows with the ids from `start`, named after them."""
    numbers = range(start, start + count)
    columns = {"id": pa.array(numbers, pa.int64()), "name": pa.array([f"n{number}" for number in numbers])}
    return pa.RecordBatch.from_pydict(
        {**columns, **{name: pa.array([value] * count) for name, value in partition.items()}}
    )


def listed(table, *names):
    """Rows as tuples of the named columns (all of them by default), in the order they came."""
    columns = [table.column(name).to_pylist() for name in names or table.schema.names]
    return list(zip(*columns, strict=True))


def ids(table):
    return sorted(table.column("id").to_pylist())


def now():
    """The time as incremental reads take it, finer than documented so that commits lie apart."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


#: What makes `id` the primary key of a table: after its columns, and in its clause.
KEY = "primary key (id)"
TRANSACTIONAL = 'TBLPROPERTIES ("transactional"="true")'
UPSERT, DELETE = ord("U"), ord("D")


def keyed(context, columns="id bigint, name string", partitions="pt string"):
    """Create the behaviour's table, keyed by `id`."""
    return context.made(f"{columns}, {KEY}", partitions, TRANSACTIONAL)


def changes(*rows, **partition):
    """Rows (id, name, what is to become of it) of an upload to a table with a key."""
    numbers, names, operations = zip(*rows, strict=True)
    columns = {"id": pa.array(numbers, pa.int64()), "name": pa.array(names, pa.string())}
    for name, value in partition.items():
        columns[name] = pa.array([value] * len(rows))
    columns["__operation"] = pa.array(operations, pa.int8())
    return pa.RecordBatch.from_pydict(columns)


def upserts(start, count, name, **partition):
    """Upserts of the ids from `start`, all named alike."""
    return changes(*((number, name, UPSERT) for number in range(start, start + count)), **partition)


def deletes(*numbers, **partition):
    """Deletions by key alone."""
    return changes(*((number, None, DELETE) for number in numbers), **partition)
