"""One job: its query run by DuckDB, its rows written as parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, count
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from maxlake.lake.definitions import number_columns
from maxlake.lake.parts import Upload, storage_schema
from maxlake.lake.row_numbers import OPERATION
from maxlake.lake.sql import jobs
from maxlake.lake.sql.engine import connect
from maxlake.lake.sql.jobs import Done, Failed, Inserted, Job, Outcome, Rows
from maxlake.lake.sql.result_types import result_type
from maxlake.lake.tables import StoredColumn, Table, TableOptions
from maxlake.lake.upserts import key_columns, staged_schema
from maxlake.protocol.columns import Column
from maxlake.protocol.enums import Operation
from maxlake.protocol.errors import BadRequestError, ErrorCode, MaxlakeError
from maxlake.protocol.sql.duckdb_types import duckdb_type, quoted, text_literal
from maxlake.protocol.sql.names import AMBIGUOUS_OPERATION
from maxlake.protocol.types.ingest import to_storage
from maxlake.protocol.types.model import Kind, OdpsType, Simple
from maxlake.protocol.types.text import parse_type

#: Rows taken from DuckDB at a time.
_BATCH_ROWS = 16_384
#: What finds errors without running anything.
_BIND = "DESCRIBE "
_UNBOUND = (duckdb.BinderException, duckdb.CatalogException)
_JSON = msgspec.json.Decoder(dict[str, str])


def run(job: Job) -> Outcome:
    """Run a job; what goes wrong with it is its outcome, and leaves no files."""
    try:
        return _written(job)
    except MaxlakeError as error:
        return Failed(error.code, str(error), error.retryable)
    except (duckdb.Error, MemoryError) as error:
        return _failed(error)


def _failed(error: Exception) -> Failed:
    message = _message(error)
    match error:
        case duckdb.OutOfMemoryException() | MemoryError():
            text = f"the statement needs more memory than it may use: {message}"
            return Failed(ErrorCode.REQUEST_TOO_LARGE, text)
        case duckdb.IOException() | duckdb.InternalException() | duckdb.FatalException():
            return Failed(ErrorCode.INTERNAL_SERVER_ERROR, f"the statement could not be run: {message}")
        case duckdb.DataError():
            return Failed(ErrorCode.DATA_ERROR, message)
        case duckdb.BinderException() | duckdb.CatalogException():
            return Failed(ErrorCode.SEMANTIC_ERROR, message, offset=_offset(error))
        case _:
            return Failed(ErrorCode.SEMANTIC_ERROR, message)


def _details(error: Exception) -> dict[str, str]:
    """Return what DuckDB tells of an error beside its kind: in JSON, but for relations."""
    _, brace, rest = str(error).partition("{")
    try:
        return _JSON.decode(brace + rest)
    except msgspec.MsgspecError:
        return {}


def _message(error: Exception) -> str:
    kind = str(error).partition(": {")[0]
    told = _details(error).get("exception_message")
    return str(error).strip() if told is None else f"{kind}: {told}".strip()


def _offset(error: Exception) -> int | None:
    """Return where in the job's text an error is that was found before anything was run."""
    place = _details(error).get("position")
    return None if place is None else int(place) - len(_BIND)


def _bound(connection: duckdb.DuckDBPyConnection, text: str) -> duckdb.DuckDBPyRelation:
    """Return a query as a relation; of one that cannot be DuckDB tells where only of a statement."""
    try:
        return connection.sql(text)
    except _UNBOUND as error:
        raise _executed(connection, text) or error from None


def _executed(connection: duckdb.DuckDBPyConnection, text: str) -> Exception | None:
    try:
        connection.execute(f"{_BIND}{text}")
    except _UNBOUND as error:
        return error
    except duckdb.Error:
        return None  # not the one that is looked for
    return None


def _written(job: Job) -> Done:
    output = job.output
    with connect(job) as connection:
        computed = _bound(connection, job.text)
        if isinstance(output, Rows):
            stored = _result_columns(computed, output.declared)
            table = jobs.written_table(output.path, stored, TableOptions())
            text = _of_result(job.text, stored)
        else:
            stored = list(output.stored)
            table = jobs.written_table(output.path, stored, output.options)
            text = _of_insert(job.text, output, len(computed.columns))
        size, most = 0, output.most if isinstance(output, Rows) else None
        schema = staged_schema(table) if table.options.primary_key else storage_schema(table)
        with Upload(Path(output.directory), table, output.name, schema) as upload:
            for batch in _stored(connection, text, table, schema):
                upload.write(batch)
                size += batch.nbytes
                if most is not None and size > most:
                    raise BadRequestError(
                        ErrorCode.REQUEST_TOO_LARGE,
                        f"the rows of the query have more than {most} bytes; keep them in a table: "
                        "CREATE TABLE ... AS SELECT",
                    )
            parts = upload.finish()
    return Done(tuple(stored), tuple(parts))


def _stored(
    connection: duckdb.DuckDBPyConnection, text: str, table: Table, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a query as parts have them."""
    columns = [*table.stored.values(), *([OPERATION] if table.options.primary_key else [])]
    for batch in connection.sql(text).to_arrow_reader(_BATCH_ROWS):
        arrays = [_checked(array, column) for array, column in zip(batch.columns, columns, strict=True)]
        if batch.num_rows:
            rows = pa.RecordBatch.from_arrays(arrays, schema=schema)
            if table.options.primary_key:
                _check_unambiguous(rows, table)
            yield rows


def _checked(array: pa.Array, column: StoredColumn) -> pa.Array:
    where = f"column {column.name}"
    found = to_storage(array, parse_type(column.type), where=where)
    if not column.nullable and found.null_count:
        raise BadRequestError(
            ErrorCode.DATA_ERROR, "the column is NOT NULL, and a row has no value", where=where
        )
    return found


def _check_unambiguous(rows: pa.RecordBatch, table: Table) -> None:
    twice = pc.index(rows.column(OPERATION.name), AMBIGUOUS_OPERATION).as_py()
    if twice >= 0:
        raise BadRequestError(
            ErrorCode.DATA_ERROR,
            "several rows of the source match one row of the table, and MERGE changes a row once: make them "
            "one, or tell them apart in ON or in the conditions of WHEN",
            where=", ".join(f"{key.name}={rows.column(key.name)[twice]}" for key in key_columns(table)),
        )


def _result_columns(
    computed: duckdb.DuckDBPyRelation, declared: tuple[str | None, ...]
) -> list[StoredColumn]:
    """Return the columns of a result; names that occur twice get a number."""
    if len(declared) != len(computed.columns):
        declared = (None,) * len(computed.columns)
    names = _distinct(computed.columns)
    types = [result_type(kind, text) for kind, text in zip(computed.types, declared, strict=True)]
    columns = [
        Column(name=name, type=t, nullable=True, comment="", default=None, column_id=place)
        for place, (name, t) in enumerate(zip(names, types, strict=True), 1)
    ]
    return number_columns(columns, 1)


def _distinct(names: Sequence[str]) -> list[str]:
    """Return names in lower case, with a number where one occurs again."""
    found: dict[str, None] = {}
    for name in map(str.lower, names):
        numbered = (f"{name}_{number}" for number in count(2))
        found[next(each for each in chain([name], numbered) if each not in found)] = None
    return list(found)


def _of_result(text: str, stored: list[StoredColumn]) -> str:
    items = [
        f"{_cast(f'c{n}', column.column.type)} AS {quoted(column.name)}" for n, column in enumerate(stored)
    ]
    return _over(text, items, len(stored))


def _of_insert(text: str, output: Inserted, computed: int) -> str:
    """Return the query of a table's columns: computed, fixed, or by default."""
    if computed != len(output.given):
        raise BadRequestError(
            ErrorCode.SEMANTIC_ERROR,
            f"the query has {computed} columns, {len(output.given)} are inserted: {', '.join(output.given)}",
        )
    places = {name: place for place, name in enumerate(output.given)}
    items: list[str] = []
    for column in output.stored:
        if column.name in places:
            value = f"c{places[column.name]}"
        else:
            fixed = output.fixed.get(column.name, column.default)
            value = "NULL" if fixed is None else text_literal(fixed)
        items.append(f"{_cast(value, column.column.type)} AS {quoted(column.name)}")
    if output.options.primary_key:
        value = f"c{places[OPERATION.name]}" if OPERATION.name in places else str(Operation.UPSERT.value)
        items.append(f"{_cast(value, parse_type(OPERATION.type))} AS {quoted(OPERATION.name)}")
    return _over(text, items, computed)


def _cast(value: str, t: OdpsType) -> str:
    # DuckDB has no cast from its own intervals; ours are made of them afterwards.
    if t == Simple(Kind.INTERVAL_DAY_TIME):
        return value
    return f"CAST({value} AS {duckdb_type(t)})"


def _over(text: str, items: list[str], count: int) -> str:
    names = ", ".join(f"c{place}" for place in range(count))
    return f"SELECT {', '.join(items)} FROM ({text}) AS computed({names})"  # noqa: S608 - text is ours
