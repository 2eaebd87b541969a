"""Uploaded batches as the table stores them: columns matched by name, cast, checked (wire.md §9.3)."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from maxlake.lake.arrow_input import validated
from maxlake.lake.parts import storage_schema
from maxlake.lake.tables import Table
from maxlake.lake.upload_memory import Allowance
from maxlake.lake.upserts import staged_schema
from maxlake.protocol.columns import OPERATION_COLUMN, Column
from maxlake.protocol.enums import Operation
from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.limits import MAX_ARROW_MESSAGE
from maxlake.protocol.types.defaults import default_scalar
from maxlake.protocol.types.ingest import months_as_int32, to_storage
from maxlake.protocol.types.model import Kind, Simple
from maxlake.protocol.types.storage import storage_type
from maxlake.service.write_sessions import WriteSession, check_rows_have_partition

#: Bytes a value takes at most at rest, texts aside; a text has its offset in them.
_WIDEST_PLAIN_VALUE = 16


def stored_batches(
    session: WriteSession, reader: pa.RecordBatchReader, memory: Allowance
) -> Iterator[pa.RecordBatch]:
    """Yield uploaded batches as the table stores them: columns matched by name, missing ones by default.

    The default of a column that declares none is null. ``memory`` is asked for what is copied.
    """
    table = session.table
    uploaded = _positions(table, reader.schema)
    if uploaded:
        check_rows_have_partition(session, uploaded.keys())
    schema = stored_schema(table)
    for batch in map(months_as_int32, validated(reader)):
        check_rows_have_partition(session, uploaded.keys())
        stored = pa.RecordBatch.from_arrays(_stored_arrays(session, batch, uploaded, memory), schema=schema)
        del batch  # the next is received before the name is bound again
        if stored.num_rows:
            yield stored
        del stored


def _stored_arrays(
    session: WriteSession, batch: pa.RecordBatch, uploaded: dict[str, int], memory: Allowance
) -> list[pa.Array]:
    table = session.table
    data_columns = [(column, False) for column in table.columns.columns]
    partition_columns = [(column, True) for column in table.columns.partition_columns]
    arrays: list[pa.Array] = []
    size = 0
    operations = _operations(table, batch, uploaded.get(OPERATION_COLUMN))
    for column, partition in (*data_columns, *partition_columns):
        position = uploaded.get(column.name.lower())
        array = _stored_array(session, batch, position, column, memory, partition=partition)
        _check_not_null(session, array, column, operations)
        size += array.nbytes
        _check_batch_size(size, table)
        arrays.append(array)
    if operations is not None:
        arrays.append(operations)
    return arrays


def stored_schema(table: Table) -> pa.Schema:
    """Return the schema of the parts of an upload."""
    return staged_schema(table) if table.options.primary_key else storage_schema(table)


def _operations(table: Table, batch: pa.RecordBatch, position: int | None) -> pa.Array | None:
    """Return what is to become of each row, None in tables without a key (wire.md §10, drift.md B.26)."""
    if not table.options.primary_key:
        return None
    upsert = pa.scalar(Operation.UPSERT.value, pa.int8())
    if position is None:
        return pa.repeat(upsert, batch.num_rows)
    where = f"{table.full_name}, column {OPERATION_COLUMN}"
    found = pc.fill_null(to_storage(batch.column(position), Simple(Kind.TINYINT), where=where), upsert)
    known = pa.array([operation.value for operation in Operation], pa.int8())
    unknown = found.filter(pc.invert(pc.is_in(found, value_set=known)))
    if len(unknown):
        raise BadRequestError(
            ErrorCode.DATA_ERROR,
            f"{unknown[0]} is no operation: upload 85 ('U', upsert), 68 ('D', delete) or null",
            where=where,
        )
    return found


def _check_not_null(
    session: WriteSession, array: pa.Array, column: Column, operations: pa.Array | None
) -> None:
    """Refuse rows without a value that has to be; of rows to be deleted only the key has to."""
    if column.nullable or not array.null_count:
        return
    keys = {name.lower() for name in session.table.options.primary_key}
    missing = array.is_null()
    if operations is not None and column.name.lower() not in keys:
        missing = pc.and_(missing, pc.not_equal(operations, Operation.DELETE.value))
    if missing.true_count:
        raise BadRequestError(
            ErrorCode.DATA_ERROR,
            "the column is NOT NULL, but rows without a value were uploaded",
            where=f"{session.table.full_name}, column {column.name}",
        )


def _check_batch_size(size: int, table: Table) -> None:
    """Refuse rows that are small on the wire and large in memory: columns left out, dictionaries, nulls."""
    if size > MAX_ARROW_MESSAGE:
        raise BadRequestError(
            ErrorCode.DATA_ERROR,
            f"a batch unfolds to more than {MAX_ARROW_MESSAGE} bytes; send smaller batches",
            where=table.full_name,
        )


def _positions(table: Table, schema: pa.Schema) -> dict[str, int]:
    known = {column.name.lower() for column in table.columns.all_columns}
    if table.options.primary_key:
        known.add(OPERATION_COLUMN)
    positions: dict[str, int] = {}
    for position, name in enumerate(schema.names):
        if name.lower() not in known:
            raise BadRequestError(
                ErrorCode.SCHEMA_MISMATCH,
                f"the table has no column {name!r}; it has: {', '.join(sorted(known))}",
                where=table.full_name,
            )
        if name.lower() in positions:
            raise BadRequestError(
                ErrorCode.SCHEMA_MISMATCH, f"column {name!r} occurs twice", where=table.full_name
            )
        positions[name.lower()] = position
    return positions


def _stored_array(
    session: WriteSession,
    batch: pa.RecordBatch,
    position: int | None,
    column: Column,
    memory: Allowance,
    *,
    partition: bool,
) -> pa.Array:
    fixed = session.partition.get(column.name) if partition else None
    where = f"{session.table.full_name}, column {column.name}"
    if position is not None:
        array = to_storage(batch.column(position), column.type, where=where, reserve=memory.grow)
        if fixed is not None and any(str(value) != fixed for value in array.unique().to_pylist()):
            raise BadRequestError(
                ErrorCode.DATA_ERROR,
                f"rows of another partition than the session's {column.name}={fixed}",
                where=where,
            )
    elif fixed is not None:
        value = pa.scalar(fixed).cast(storage_type(column.type))
        array = _repeated(value, len(fixed.encode()), batch.num_rows, session.table, memory)
    elif column.default is not None:
        value = default_scalar(column.default, column.type)
        array = _repeated(value, len(column.default.encode()), batch.num_rows, session.table, memory)
    else:
        array = to_storage(pa.nulls(batch.num_rows), column.type, where=where, reserve=memory.grow)
    return array


def _repeated(value: pa.Scalar, text_size: int, count: int, table: Table, memory: Allowance) -> pa.Array:
    size = count * (text_size + _WIDEST_PLAIN_VALUE)
    _check_batch_size(size, table)
    memory.grow(size)
    return pa.repeat(value, count)
