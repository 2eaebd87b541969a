"""Bodies of TableWrite for the model: rows it knows, and rows that must be refused."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import pyarrow as pa

from maxlake.protocol.columns import OPERATION_COLUMN
from maxlake.protocol.enums import Operation
from maxlake.protocol.errors import ErrorCode
from tests.service.model.expected import KEYS, Row, Table

PARTS = {"pt": ("a", "b"), "hr": ("1", "7")}
#: Ids of a table with a primary key: few, so that uploads meet each other's rows.
KEYED_IDS = range(12)


class Body(io.BytesIO):
    """A body that lets something happen when its first bytes are asked for, or breaks off there."""

    def __init__(
        self, data: bytes, meanwhile: Callable[[], None] = lambda: None, *, cut: bool = False
    ) -> None:
        super().__init__(data)
        self._meanwhile: Callable[[], None] | None = meanwhile
        self._cut = cut

    def readinto(self, into: memoryview, /) -> int:
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile:
            meanwhile()
        if self._cut and self.tell():
            raise ConnectionResetError("the client has gone")
        return super().readinto(into[:64] if self._cut else into)


@dataclass(frozen=True)
class Upload:
    """Rows and the bytes they are sent as; ``flaw`` is the code they must be refused with."""

    rows: list[Row]
    data: bytes
    flaw: ErrorCode | None = None


def new_rows(random: Random, count: int, fixed: Mapping[str, str], table: Table, first: int) -> list[Row]:
    """Make rows of the partitions a session may write to; some columns are left out of all of them.

    They are numbered from ``first``: that is their id, or tells apart values of one.
    """
    chosen = [column for column in table.columns if random.random() < 0.8]
    return [
        Row(
            random.choice(KEYED_IDS) if table.keyed else number,
            tuple(fixed.get(key) or random.choice(PARTS[key]) for key in KEYS),
            {column.number: random.choice([None, f"v{number}"]) for column in chosen},
            deletes=table.keyed and random.random() < 0.3,
        )
        for number in range(first, first + count)
    ]


def arrow(random: Random, rows: Sequence[Row], fixed: Mapping[str, str], table: Table) -> pa.Table:
    """Return rows as somebody might send them: columns in any order and case, keys as far as needed."""
    arrays: dict[str, pa.Array] = {"id": pa.array([row.id for row in rows], pa.int64())}
    for column in table.columns:
        if all(column.number in row.values for row in rows):
            arrays[column.name] = pa.array([row.values[column.number] for row in rows], pa.string())
    for position, key in enumerate(KEYS):
        if key not in fixed or random.random() < 0.3:
            values = [row.key[position] for row in rows]
            arrays[key] = pa.array(values, pa.string()).cast(pa.int64() if key == "hr" else pa.string())
    if any(row.deletes for row in rows) or (table.keyed and random.random() < 0.3):
        arrays[OPERATION_COLUMN] = pa.array([_operation(random, row) for row in rows], pa.int8())
    names = list(arrays)
    random.shuffle(names)
    upper = random.random() < 0.1
    return pa.table({name.upper() if upper else name: arrays[name] for name in names})


def _operation(random: Random, row: Row) -> int | None:
    """Return what is to become of a row; nothing said is an upsert."""
    return Operation.DELETE.value if row.deletes else random.choice([None, Operation.UPSERT.value])


def ipc(random: Random, table: pa.Table) -> bytes:
    """Serialise in batches of any size."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=random.choice([1, 2, 100]))
    return sink.getvalue()


def _text_id(table: pa.Table, _: Random) -> pa.Table:
    return _with(table, "id", pa.array(["no number"] * len(table)))


def _with(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    lowered = [each.lower() for each in table.schema.names]
    if name in lowered:
        return table.set_column(lowered.index(name), name, values)
    return table.append_column(name, values)


def _without(table: pa.Table, name: str) -> pa.Table:
    return table.select([each for each in table.schema.names if each.lower() != name])


def flawed(random: Random, rows: Sequence[Row], fixed: Mapping[str, str], model: Table) -> Upload:
    """Return rows with one thing wrong. Needs at least one row."""
    table, count = arrow(random, rows, fixed, model), len(rows)
    open_keys = [key for key in KEYS if key not in fixed]
    changes: list[tuple[ErrorCode, Callable[[], pa.Table]]] = [
        (ErrorCode.SCHEMA_MISMATCH, lambda: _text_id(table, random)),
        (ErrorCode.SCHEMA_MISMATCH, lambda: _with(table, "nobody", pa.nulls(count))),
        (ErrorCode.SCHEMA_MISMATCH, lambda: table.append_column("iD", pa.array([1] * count))),
        (ErrorCode.DATA_ERROR, lambda: _with(table, "id", pa.array([*range(count - 1), None], pa.int64()))),
    ]
    unknown = ErrorCode.DATA_ERROR if model.keyed else ErrorCode.SCHEMA_MISMATCH
    changes.append((unknown, lambda: _with(table, OPERATION_COLUMN, pa.array([1] * count, pa.int8()))))
    for key in open_keys:
        changes.append((ErrorCode.INVALID_ARGUMENT, lambda key=key: _without(table, key)))
        changes.append((ErrorCode.INVALID_ARGUMENT, lambda key=key: _with(table, key, pa.nulls(count))))
    if "pt" in fixed:
        changes.append((ErrorCode.DATA_ERROR, lambda: _with(table, "pt", pa.array(["other"] * count))))
    choice = random.randrange(len(changes) + 2)
    if choice == len(changes):
        return Upload([], b"no arrow", ErrorCode.DATA_ERROR)
    if choice > len(changes):
        return Upload([], ipc(random, table)[:-8], ErrorCode.DATA_ERROR)
    code, change = changes[choice]
    return Upload([], ipc(random, change()), code)
