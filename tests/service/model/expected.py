"""What a table, its sessions and its streams must be: plain values, and the rules of the documents."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from maxlake.protocol.errors import ErrorCode
from maxlake.protocol.messages.write import WriteRowsResponse

Key = tuple[str, ...]
KEYS = ("pt", "hr")


@dataclass(frozen=True)
class Column:
    """A text column, which keeps its number whatever it is called."""

    number: int
    name: str
    default: str | None = None


@dataclass(frozen=True)
class Row:
    """``values`` by column number; a column that was not uploaded is not in it.

    What ``deletes`` is uploaded to a table with a primary key, to take the row of its id away.
    """

    id: int
    key: Key
    values: Mapping[int, str | None]
    deletes: bool = False


@dataclass(frozen=True)
class Contents:
    """All a reader sees: the column names, and each partition's rows."""

    names: list[str]
    partitions: dict[Key, list[dict[str, Any]]]


@dataclass
class Table:
    """The committed rows. ``version`` counts the changes of the columns.

    ``keyed`` tables have ``id`` as their primary key: each occurs once in a partition.
    """

    keyed: bool = False
    columns: list[Column] = field(default_factory=lambda: [Column(0, "c0")])
    partitions: dict[Key, list[Row]] = field(default_factory=dict[Key, list[Row]])
    version: int = 0

    def add(self, rows: Iterable[Row], replaced: Collection[Key] = ()) -> bool:
        """Commit an upload; tell whether the table has changed."""
        for key in replaced:
            self.partitions[key] = []
        change = self._upsert if self.keyed else self._append
        return change(rows) or bool(replaced)

    def _append(self, rows: Iterable[Row]) -> bool:
        added = list(rows)
        for row in added:
            self.partitions.setdefault(row.key, []).append(row)
        return bool(added)

    def _upsert(self, rows: Iterable[Row]) -> bool:
        """Of the rows of one id the last counts (drift.md B.26)."""
        changed = False
        for row in {(row.key, row.id): row for row in rows}.values():
            others = [each for each in self.partitions.get(row.key, []) if each.id != row.id]
            if row.deletes and len(others) == len(self.partitions.get(row.key, [])):
                continue
            self.partitions[row.key] = others if row.deletes else [*others, row]
            changed = True
        return changed

    def contents(self) -> Contents:
        names = ["id", *(column.name for column in self.columns), *KEYS]
        filled = {key: rows for key, rows in self.partitions.items() if rows}
        return Contents(names, {key: [self._seen(row) for row in rows] for key, rows in filled.items()})

    def _seen(self, row: Row) -> dict[str, Any]:
        values = {column.name: row.values.get(column.number, column.default) for column in self.columns}
        return {"id": row.id, **values, "pt": row.key[0], "hr": int(row.key[1])}


@dataclass(frozen=True)
class Taken:
    """An upload that was acknowledged."""

    answer: WriteRowsResponse
    count: int


@dataclass
class Stream:
    """The newest version of a stream; with a ``token`` it is exactly-once."""

    version: int
    schema: int
    state: str = "OPEN"
    error: str = ""
    rows: list[Row] = field(default_factory=list[Row])
    declared: int = 0
    retries: dict[str, Taken] = field(default_factory=dict[str, Taken])
    offsets: dict[int, Taken] = field(default_factory=dict[int, Taken])
    token: str = ""


@dataclass(frozen=True)
class Attempt:
    """One attempt at a block."""

    rows: list[Row]
    schema: int
    answer: WriteRowsResponse

    @property
    def keys(self) -> set[Key]:
        return {row.key for row in self.rows}


@dataclass
class Session:
    """A write session; ``attempts`` by (block, attempt) number, None where streams are written."""

    id: str
    fixed: dict[str, str]
    overwrite: bool
    evolution: bool
    attempts: dict[tuple[int, int], Attempt] | None = None
    partition_limit: int = -1
    state: str = "NORMAL"
    expired: bool = False
    streams: dict[str, Stream] = field(default_factory=dict[str, Stream])
    void_tokens: list[str] = field(default_factory=list[str])

    @property
    def writable(self) -> bool:
        return self.state == "NORMAL" and not self.expired

    def refusal(self) -> ErrorCode | None:
        """Why it takes no writes (drift.md B.7, B.8)."""
        if self.state == "FORGOTTEN":
            return ErrorCode.NO_SUCH_OBJECT
        return None if self.writable else ErrorCode.INVALID_SESSION_STATUS

    def hidden(self) -> ErrorCode | None:
        """Why it cannot be looked at (drift.md B.13)."""
        return ErrorCode.NO_SUCH_OBJECT if self.state in ("FORGOTTEN", "ABORTED") else None

    def commit_refusal(self) -> ErrorCode | None:
        """Why it cannot be committed, whatever it holds."""
        return None if self.state == "COMMITTED" else self.refusal()

    def abort_refusal(self) -> ErrorCode | None:
        if self.state == "FORGOTTEN":
            return ErrorCode.NO_SUCH_OBJECT
        return ErrorCode.INVALID_SESSION_STATUS if self.state == "COMMITTED" else None

    def takes_schema(self, version: int, latest: int) -> bool:
        """Whether rows of a schema version may go into the table (wire.md §8.1)."""
        return version == latest or (self.evolution and version < latest)

    def within_limit(self, keys: Collection[Key]) -> bool:
        """Whether DynamicPartitionLimit allows rows of these partitions."""
        return self.partition_limit < 0 or len(keys) <= self.partition_limit or len(self.fixed) == len(KEYS)

    def replaced(self, rows: Iterable[Row]) -> set[Key]:
        """Which partitions its commit empties first (drift.md B.11)."""
        if not self.overwrite:
            return set()
        if len(self.fixed) == len(KEYS):
            return {tuple(self.fixed[key] for key in KEYS)}
        return {row.key for row in rows}

    def finish(self, state: str) -> None:
        self.state = state
        for stream in self.streams.values():
            stream.retries, stream.offsets = {}, {}


def stream_refusal(session: Session, stream_id: str, version: int) -> ErrorCode | None:
    """Why an (id, version) is not the session's (drift.md B.14)."""
    stream = session.streams.get(stream_id)
    if stream is None or stream.version < version:
        return ErrorCode.NO_SUCH_OBJECT
    return ErrorCode.INVALID_STREAM_STATUS if stream.version > version else None


@dataclass(frozen=True)
class Write:
    """One TableWrite: where to, how, and what is in it; ``flaw`` is the code its rows are refused with."""

    session: Session
    stream_id: str
    version: int
    rows: list[Row]
    flaw: ErrorCode | None = None
    cut: bool = False
    declared: int = 0
    retry_id: str = ""
    offset: int | None = None
    token: str = ""
    other_table: bool = False
    schema: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What a write must come to: an error, the answer of an earlier one, or a new one.

    ``fails`` says whether the error puts the stream into ERROR.
    """

    refusal: ErrorCode | None = None
    fails: bool = False
    earlier: Taken | None = None


def outcome(write: Write, table: Table) -> Outcome:
    """Tell what a write comes to (wire.md §9.3, drift.md A.12, B.8)."""
    session = write.session
    refusal = session.refusal()
    if refusal is None and write.other_table:
        refusal = ErrorCode.INVALID_ARGUMENT
    refusal = refusal or stream_refusal(session, write.stream_id, write.version)
    if refusal:
        return Outcome(refusal)
    stream = session.streams[write.stream_id]
    known = _exactly_once(write, stream) if stream.token else _plain(write, stream)
    if known.refusal or known.earlier:
        return known
    if stream.state != "OPEN":
        return Outcome(ErrorCode.INVALID_STREAM_STATUS)
    for version in (stream.schema, write.schema):
        if version is not None and not session.takes_schema(version, table.version):
            return Outcome(ErrorCode.SCHEMA_MISMATCH, fails=True)
    return Outcome(write.flaw, fails=write.flaw is not None)


def _plain(write: Write, stream: Stream) -> Outcome:
    if write.offset is not None:
        return Outcome(ErrorCode.INVALID_STREAM_STATUS)
    return Outcome(earlier=stream.retries.get(write.retry_id))


def _exactly_once(write: Write, stream: Stream) -> Outcome:
    if write.offset is None:
        return Outcome(ErrorCode.ROW_OFFSET_MISMATCH)
    if write.token != stream.token:
        return Outcome(ErrorCode.NO_PERMISSION)
    if write.offset == len(stream.rows):
        return Outcome()
    earlier = stream.offsets.get(write.offset)
    if earlier is None or earlier.count != len(write.rows):
        return Outcome(ErrorCode.ROW_OFFSET_MISMATCH)
    return Outcome(earlier=earlier)


def take(write: Write, answer: WriteRowsResponse) -> None:
    """Note a write that was acknowledged as new."""
    stream = write.session.streams[write.stream_id]
    start, count = len(stream.rows), len(write.rows)
    stream.rows = [*stream.rows, *write.rows]
    stream.declared += max(write.declared, count)
    if write.offset is not None:
        if count:
            stream.offsets[start] = Taken(answer, count)
    elif write.retry_id:
        stream.retries[write.retry_id] = Taken(answer, count)


def renamed(columns: list[Column], old: Column, name: str) -> list[Column]:
    return [replace(column, name=name) if column == old else column for column in columns]
