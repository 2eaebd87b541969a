"""Columns of a table, and how they are told to clients (wire.md §4.6, §4.7)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.limits import MAX_COLUMNS, MAX_NAME_LENGTH, MAX_PARTITION_COLUMNS
from maxlake.protocol.messages.schema import (
    ColumnName,
    ColumnType,
    ReadColumn,
    ReadSchema,
    WriteColumn,
    WriteSchema,
)
from maxlake.protocol.types.model import (
    Char,
    Decimal,
    Kind,
    Map,
    OdpsType,
    Simple,
    Struct,
    Varchar,
    members,
    walk,
)

#: What an upload to a primary-key table says about each row (wire.md §10).
OPERATION_COLUMN = "__operation"

# Letters and digits of any script; '$' and '#' stand in PyODPS tables. No path or SQL punctuation.
_NAME = re.compile(r"[\w$#]+")
_RESERVED_PREFIX = "_ducklake"

_CODES: dict[Kind, int] = {
    Kind.BIGINT: 0,
    Kind.DOUBLE: 1,
    Kind.BOOLEAN: 2,
    Kind.DATETIME: 3,
    Kind.STRING: 4,
    Kind.TINYINT: 6,
    Kind.SMALLINT: 7,
    Kind.INT: 8,
    Kind.BINARY: 11,
    Kind.DATE: 12,
    Kind.TIMESTAMP: 13,
    Kind.FLOAT: 14,
    Kind.INTERVAL_YEAR_MONTH: 15,
    Kind.INTERVAL_DAY_TIME: 16,
    Kind.JSON: 20,
    Kind.TIMESTAMP_NTZ: 21,
    Kind.BLOB: 22,
    Kind.VARIANT: 23,
}
_DECIMAL, _CHAR, _VARCHAR, _ARRAY, _MAP, _STRUCT = 5, 9, 10, 17, 18, 19

#: Types whose values can name a partition.
_PARTITION_KINDS = frozenset((Kind.TINYINT, Kind.SMALLINT, Kind.INT, Kind.BIGINT, Kind.STRING, Kind.DATE))


def check_column_name(name: str) -> str:
    """Return ``name`` if a column may have it.

    Letters and digits of any script, ``_``, ``$``, ``#``; at most ``MAX_NAME_LENGTH`` characters; not
    ``__operation`` and nothing starting with ``_ducklake``. Raises InvalidArgument.
    """
    if len(name) > MAX_NAME_LENGTH:
        raise invalid_argument(f"column name longer than {MAX_NAME_LENGTH} characters: {name[:32]!r}…")
    if not _NAME.fullmatch(name):
        raise invalid_argument(f"not a column name: {name!r} (letters, digits, '_', '$' and '#' only)")
    if name.lower() == OPERATION_COLUMN or name.lower().startswith(_RESERVED_PREFIX):
        raise invalid_argument(f"column name {name!r} is reserved; choose another")
    return name


@dataclass(frozen=True)
class Column:
    """One top-level column. Raises InvalidArgument for a bad name.

    ``default`` is the default value as text, None for none. ``column_id`` 0 means: not numbered yet,
    :class:`TableSchema` will.
    """

    name: str
    type: OdpsType
    nullable: bool = True
    comment: str = ""
    column_id: int = 0
    default: str | None = None

    def __post_init__(self) -> None:
        check_column_name(self.name)


@dataclass(frozen=True)
class TableSchema:
    """Data columns, then partition columns; names are unique regardless of case.

    Columns without an id get their 1-based position, partition columns continuing the count; ids
    that are given stay. Raises InvalidArgument: no data column, too many columns, a name twice, or a
    partition column of a type that cannot name a partition.
    """

    columns: tuple[Column, ...]
    partition_columns: tuple[Column, ...] = ()

    def __post_init__(self) -> None:
        if not self.columns:
            raise invalid_argument("a table needs at least one column that is not a partition column")
        for what, found, most in (
            ("columns", self.columns, MAX_COLUMNS),
            ("partition columns", self.partition_columns, MAX_PARTITION_COLUMNS),
        ):
            if len(found) > most:
                raise invalid_argument(f"a table has at most {most} {what}, not {len(found)}")
        seen: set[str] = set()
        for column in self.all_columns:
            if column.name.lower() in seen:
                raise invalid_argument(f"column {column.name!r} is declared twice (case does not count)")
            seen.add(column.name.lower())
        for column in self.partition_columns:
            _check_partition_type(column)
        self._number()

    def _number(self) -> None:
        if all(column.column_id for column in self.all_columns):
            return
        if any(column.column_id for column in self.all_columns):
            raise ValueError("either all columns of a table have an id or none")
        numbered = tuple(replace(c, column_id=i) for i, c in enumerate(self.all_columns, start=1))
        object.__setattr__(self, "columns", numbered[: len(self.columns)])
        object.__setattr__(self, "partition_columns", numbered[len(self.columns) :])

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """Data columns, then partition columns."""
        return (*self.columns, *self.partition_columns)

    def column(self, name: str) -> Column:
        """Return the data or partition column of that name, in any case; InvalidArgument if none."""
        for column in self.all_columns:
            if column.name.lower() == name.lower():
                return column
        raise invalid_argument(
            f"no column {name!r}; there are {', '.join(c.name for c in self.all_columns[:20])}"
        )


def _check_partition_type(column: Column) -> None:
    t = column.type
    if not (isinstance(t, Char | Varchar) or (isinstance(t, Simple) and t.kind in _PARTITION_KINDS)):
        raise invalid_argument(
            f"partition column {column.name!r} cannot be {t}; use string, char, varchar, date or an integer"
        )


def read_schema(
    columns: Sequence[Column], partition_columns: Sequence[Column], system_columns: Sequence[Column] = ()
) -> ReadSchema:
    """Return how the given columns, in this order, are told to a reader (wire.md §4.6)."""
    return ReadSchema(
        data_columns=tuple(map(_read_column, columns)),
        partition_columns=tuple(map(_read_column, partition_columns)),
        system_columns=tuple(map(_read_column, system_columns)),
        blob_columns=tuple(c.name for c in columns if Simple(Kind.BLOB) in walk(c.type)),
    )


def _read_column(column: Column) -> ReadColumn:
    return ReadColumn(
        name=column.name,
        type=str(column.type),
        comment=column.comment,
        nullable=column.nullable,
        column_id=column.column_id,
    )


def write_schema(
    columns: Sequence[Column], partition_columns: Sequence[Column], primary_key: Collection[str] = ()
) -> WriteSchema:
    """Return how a whole table is told to a writer (wire.md §4.7).

    Nested nodes are numbered after all top-level columns, depth first: pass all columns of the
    table, or the numbers mean nothing. ``primary_key`` names the key columns of a delta table; such
    a table also has the system column ``__operation`` (wire.md §10).
    """
    top = max((c.column_id for c in (*columns, *partition_columns)), default=0)
    ids = count(top + 1)
    keys = {name.lower() for name in primary_key}

    def describe(column: Column) -> WriteColumn:
        return WriteColumn(
            column_type=_node(
                column.name,
                column.type,
                column.column_id,
                lambda: next(ids),
                nullable=column.nullable,
                default=column.default,
                is_key=column.name.lower() in keys,
            ),
            comment=column.comment,
        )

    data, partitions = tuple(map(describe, columns)), tuple(map(describe, partition_columns))
    operation = ColumnType(type=_CODES[Kind.TINYINT], member_name=OPERATION_COLUMN, column_id=next(ids))
    return WriteSchema(
        data_columns=data,
        partition_columns=partitions,
        system_columns=(WriteColumn(column_type=operation),) if keys else (),
        columns=tuple(ColumnName(name=c.name, type=str(c.type)) for c in columns),
    )


def blob_column_ids(schema: WriteSchema) -> frozenset[int]:
    """Return the ids of all blobs that rows have, inside of lists, maps and structs too (wire.md §4.7)."""

    def ids(node: ColumnType) -> Iterator[int]:
        if node.type == _CODES[Kind.BLOB]:
            yield node.column_id
        for child in node.sub_types:
            yield from ids(child)

    return frozenset(found for column in schema.data_columns for found in ids(column.column_type))


def _node(
    name: str,
    t: OdpsType,
    column_id: int,
    next_id: Callable[[], int],
    *,
    nullable: bool = True,
    default: str | None = None,
    is_key: bool = False,
) -> ColumnType:
    # In full even for a bare decimal: MaxStorage refuses a precision of 0.
    precision, scale = t.digits if isinstance(t, Decimal) else (0, 0)
    return ColumnType(
        type=_code(t),
        member_name=name,
        column_id=column_id,
        nullable=nullable,
        precision=precision,
        scale=scale,
        specified_length=t.length if isinstance(t, Char | Varchar) else 0,
        sub_types=tuple(_node(child, ct, next_id(), next_id) for child, ct in members(t)),
        has_default_value=default is not None,
        default_value=default or "",
        is_distribution_key=is_key,
    )


def _code(t: OdpsType) -> int:
    if isinstance(t, Simple):
        return _CODES[t.kind]
    # A vector travels as the array it is sent as: the codes know no vector.
    codes: dict[type[OdpsType], int] = {
        Decimal: _DECIMAL,
        Char: _CHAR,
        Varchar: _VARCHAR,
        Map: _MAP,
        Struct: _STRUCT,
    }
    return codes.get(type(t), _ARRAY)
