"""Which uploaded row of each primary key counts, and which rows of the table it replaces.

Computed by DuckDB over Arrow batches: it sees keys and numbers, no file and no text of a user. What does not
fit its memory it keeps in a temporary directory.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from maxlake.lake.row_numbers import OPERATION, POSITION, ROW_ID
from maxlake.lake.upsert_files import PART_ROWS
from maxlake.protocol.enums import Operation
from maxlake.protocol.errors import BusyError, ErrorCode
from maxlake.protocol.limits import UPSERT_MEMORY

#: Keys of an upload that Arrow looks for, so that DuckDB joins only what it finds: more would cost too much,
#: since it hashes them again for every batch of the table.
FEW_KEYS = 65_536
#: Rows of one batch of results.
_BATCH_ROWS = 65_536


_opening = threading.Lock()


def _database() -> duckdb.DuckDBPyConnection:
    """Return the database of all upserts of this process."""
    # Of two that open it at once, the one whose connection is not kept would lose its directory.
    with _opening:
        return _opened()[0]


@cache
def _opened() -> tuple[duckdb.DuckDBPyConnection, tempfile.TemporaryDirectory[str]]:
    """Return a database, and where it keeps what does not fit."""
    spilled = tempfile.TemporaryDirectory(prefix="maxlake-upserts-")
    configuration: dict[str, Any] = {
        "enable_external_access": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "allow_unsigned_extensions": False,
        "python_enable_replacements": False,
        "temp_directory": spilled.name,
        "memory_limit": f"{UPSERT_MEMORY}B",
        # Joins are written as they should run: of a stream nobody knows how long it is.
        "disabled_optimizers": "join_order,build_side_probe_side",
        "preserve_insertion_order": False,
        "lock_configuration": True,
    }
    return duckdb.connect(":memory:", config=configuration), spilled


@contextmanager
def _shortage_is_busy() -> Generator[None]:
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise BusyError(
            ErrorCode.SERVICE_UNAVAILABLE, "no memory or temporary space left to look up keys; try again"
        ) from error


def _compared_as(kind: pa.DataType) -> pa.DataType:
    """Return the type in which DuckDB is given keys: of instants it drops nanoseconds here and there."""
    return pa.int64() if pa.types.is_timestamp(kind) else kind


class KeyIndex:
    """The rows that count of an upload to a table whose ``keys`` have these types; a context manager.

    :meth:`add` the uploaded rows once, :meth:`find` the table's once if there are any, then ask. The batches
    handed in must not come from here: one statement runs at a time.
    """

    def __init__(self, keys: Sequence[pa.DataType]) -> None:
        self._keys = [pa.field(f"k{number}", _compared_as(kind)) for number, kind in enumerate(keys)]
        self._connection = _database().cursor()
        self._connection.execute(
            "CREATE TEMP TABLE found (sequence BIGINT, deletes BOOLEAN, file BIGINT, position BIGINT, "
            "row_id BIGINT)"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # With the connection go its temporary tables.
        self._connection.close()

    @property
    def _names(self) -> list[str]:
        return [field.name for field in self._keys]

    def _compared(self, batch: pa.RecordBatch) -> list[pa.Array]:
        """Return the key columns, which come first, as they are compared."""
        return [batch.column(place).cast(field.type) for place, field in enumerate(self._keys)]

    def add(self, rows: Iterable[tuple[int, pa.RecordBatch]]) -> None:
        """Take uploaded rows, with the part they are of: their keys, then their POSITION and OPERATION."""

        def numbered() -> Iterator[pa.RecordBatch]:
            for part, batch in rows:
                sequence = pc.add(batch.column(POSITION.name), part * PART_ROWS)
                numbers = sequence, batch.column(OPERATION.name)
                yield pa.record_batch([*self._compared(batch), *numbers], schema=schema)

        schema = pa.schema(
            [*self._keys, pa.field("sequence", pa.int64()), pa.field(OPERATION.name, pa.int8())]
        )
        keys = ", ".join(self._names)
        self._run(
            f"CREATE TEMP TABLE counting AS SELECT {keys}, max(sequence) AS sequence, "  # noqa: S608 - our names
            f"arg_max(__operation, sequence) = {Operation.DELETE.value} AS deletes FROM rows GROUP BY {keys}",
            schema,
            numbered(),
        )

    def bounds(self) -> list[tuple[pa.Scalar, pa.Scalar]]:
        """Return the smallest and the largest value of each key column, of instants their ticks."""
        asked = ", ".join(f"min({name}), max({name})" for name in self._names)
        found = self._connection.execute(f"SELECT {asked} FROM counting").to_arrow_table()  # noqa: S608 - our names
        scalars = [column[0] for column in found.columns]
        return list(zip(scalars[::2], scalars[1::2], strict=True))

    def few_values(self) -> list[pa.Array] | None:
        """Return the values of each key column, None where there are too many to look for one by one."""
        values: list[pa.Array] = []
        for name in self._names:
            asked = f"SELECT DISTINCT {name} FROM counting LIMIT {FEW_KEYS + 1}"  # noqa: S608 - our names
            found = self._connection.execute(asked).to_arrow_table().column(0).combine_chunks()
            if len(found) > FEW_KEYS:
                return None
            values.append(found)
        return values

    def find(self, rows: Iterable[tuple[int, pa.RecordBatch]]) -> None:
        """Take rows of the table, with the id of their file: their keys, then POSITION and ROW_ID."""

        def numbered() -> Iterator[pa.RecordBatch]:
            for file, batch in rows:
                files = pa.repeat(pa.scalar(file, pa.int64()), batch.num_rows)
                numbers = batch.column(POSITION.name), batch.column(ROW_ID.name), files
                yield pa.record_batch([*self._compared(batch), *numbers], schema=schema)

        numbers = [pa.field(POSITION.name, pa.int64()), pa.field(ROW_ID.name, pa.int64())]
        schema = pa.schema([*self._keys, *numbers, pa.field("file", pa.int64())])
        condition = " AND ".join(f"rows.{name} = counting.{name}" for name in self._names)
        # The hash table is made of the right side, which is read first.
        self._run(
            f"INSERT INTO found SELECT sequence, deletes, file, {POSITION.name}, {ROW_ID.name} "  # noqa: S608 - our names
            f"FROM rows JOIN counting ON {condition}",
            schema,
            numbered(),
        )

    def _run(self, statement: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
        failed: list[BaseException] = []

        def watched() -> Iterator[pa.RecordBatch]:
            try:
                yield from batches
            except BaseException as error:
                failed.append(error)
                raise

        self._connection.register("rows", pa.RecordBatchReader.from_batches(schema, watched()))
        try:
            with _shortage_is_busy():
                self._connection.execute(statement)
        except Exception:
            if failed:  # what DuckDB makes of it says less
                raise failed[0] from None
            raise
        finally:
            self._connection.unregister("rows")

    def replaced(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the table that go, by file and position: both, and whether they are updated."""
        return self._ask("SELECT file, position, NOT deletes AS updated FROM found ORDER BY file, position")

    def kept(self) -> Iterator[pa.RecordBatch]:
        """Yield the uploaded rows that come, in order: their sequence, and the id of the row they replace."""
        return self._ask(
            "SELECT sequence, row_id FROM counting LEFT JOIN (SELECT sequence, min(row_id) AS row_id "
            "FROM found GROUP BY sequence) AS old USING (sequence) WHERE NOT deletes ORDER BY sequence"
        )

    def _ask(self, query: str) -> Iterator[pa.RecordBatch]:
        with _shortage_is_busy():
            yield from self._connection.execute(query).to_arrow_reader(_BATCH_ROWS)
