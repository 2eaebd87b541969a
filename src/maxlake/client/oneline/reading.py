"""``maxlake.read``: the rows of a table in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from numbers import Integral
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from maxlake.client.oneline.connect import client_of
from maxlake.client.oneline.read_position import ReadPosition
from maxlake.client.oneline.rows import ReadSession, Rows
from maxlake.client.options import IncrementalReadOptions, SplitOptions
from maxlake.protocol.limits import CLIENT_MAX_MEMORY, CLIENT_THREADS, DEFAULT_SPLIT_SIZE
from maxlake.protocol.partitions import PartitionSpec
from maxlake.protocol.types.arrow import arrow_type
from maxlake.protocol.types.text import parse_type

if TYPE_CHECKING:
    from odps.models import Instance, Table

    from maxlake.client.enums import Compression
    from maxlake.client.oneline.progress import ProgressChoice
    from maxlake.client.responses import CreateReadSessionResponse
    from maxlake.client.schema import Column
    from maxlake.client.storage_api_arrow import StorageApiArrowClient
    from odps import ODPS

#: A partition, or several at once by some of the keys: ``"day=mon"`` or ``{"day": "mon"}``.
Partition = str | Mapping[str, Any]
#: Splits below this cost more in requests than they gain.
_LEAST_SPLIT = 8 * 1024 * 1024


def read(
    table: str | Table | Instance,
    columns: Sequence[str] | None = None,
    where: str | None = None,
    partitions: Partition | Sequence[Partition] | None = None,
    since: int | datetime | str | None = None,
    *,
    odps: ODPS | None = None,
    ordered: bool = True,
    threads: int = CLIENT_THREADS,
    max_memory: int = CLIENT_MAX_MEMORY,
    progress: ProgressChoice = False,
    state: Any = None,
    compression: Compression | None = None,
) -> Rows:
    """Return the rows of ``table``, a name or an object of PyODPS (also an instance: its result).

    ``columns`` are read in this order, all by default. ``where`` is a condition in ODPS SQL. ``partitions``
    are texts ``"day=mon"`` or mappings; the values of one key are alternatives. ``since`` reads what was
    inserted after a version (``Rows.version`` of an earlier read) or an instant (without a zone UTC, or the
    text ``yyyy-mm-dd hh:mm:ss``).

    One version is read, whatever is written meanwhile, through ``threads`` connections; about ``max_memory``
    bytes wait for a slow reader. ``ordered`` gives the rows in the order of the session, else as they come.
    ``progress`` shows a bar on a terminal if true, or is called with a ``Moved`` for every batch. ``state``,
    of an earlier ``Rows.state()``, goes on with the session of that read, whose choice of rows counts.

    Raises ``ValueError`` or ``BadRequestError`` for bad arguments, and the errors of the client.
    """
    if threads < 1 or max_memory < 1:
        raise ValueError(f"threads and max_memory must be positive, not {threads} and {max_memory}")
    client = client_of(table, odps)
    client.max_memory = max_memory
    wanted = _names(columns)
    if state is not None:
        if where is not None or partitions is not None or since is not None:
            raise ValueError("a state is of a session that has chosen its rows: give it no others")
        position = ReadPosition.from_state(state)
        session = client.get_read_session(position.session_id, refresh=True)
    else:
        session = _new_session(client, wanted, where, partitions, since, max_memory // threads)
        position = ReadPosition(session.session_id)
    counted = session.record_count if session.record_count >= 0 else None
    described = ReadSession(
        client,
        session.session_id,
        session.splits_count,
        counted,
        None if client.table is None else session.latest_version,
        _schema(session, wanted),
        compression,
    )
    return Rows(described, position, threads=threads, ordered=ordered, progress=progress)


def partition_text(partition: Partition) -> str:
    """Return a partition as a spec. Raises ``TypeError`` for what is no value of one, such as ``None``."""
    if isinstance(partition, str):
        return partition
    for key, value in partition.items():
        if not isinstance(value, (str, Integral, date)) or isinstance(value, (bool, datetime)):
            raise TypeError(f"{key}={value!r}: the value of a partition is a text, a whole number or a date")
    return str(PartitionSpec(tuple((key, str(value)) for key, value in partition.items())))


def _names(columns: Sequence[str] | None) -> list[str] | None:
    if columns is None:
        return None
    if isinstance(columns, str) or not columns:
        raise ValueError(f"columns must be a list of one name or more, not {columns!r}")
    return [name.lower() for name in columns]


def _new_session(
    client: StorageApiArrowClient,
    columns: list[str] | None,
    where: str | None,
    partitions: Partition | Sequence[Partition] | None,
    since: int | datetime | str | None,
    split_size: int,
) -> CreateReadSessionResponse:
    if isinstance(partitions, (str, Mapping)):
        partitions = [partitions]
    data_columns, partition_columns = _kinds(client, columns)
    return client.create_read_session(
        required_data_columns=data_columns,
        required_partition_columns=partition_columns,
        required_partitions=[partition_text(partition) for partition in partitions or ()],
        split_options=SplitOptions(split_number=min(max(split_size, _LEAST_SPLIT), DEFAULT_SPLIT_SIZE)),
        filter_predicate=where,
        filter_predicate_fallback=None if where is None else True,
        incremental_read=None if since is None else True,
        incremental_read_options=None if since is None else _after(since),
    )


def _kinds(
    client: StorageApiArrowClient, columns: list[str] | None
) -> tuple[list[str] | None, list[str] | None]:
    """Part ``columns`` into those of the data and those of the partition. An instance has only the former."""
    if columns is None or client.table is None:
        return columns, None
    keys = {column.name.lower() for column in client.table.table_schema.partitions}
    return [name for name in columns if name not in keys], [name for name in columns if name in keys]


def _after(since: int | datetime | str) -> IncrementalReadOptions:
    if isinstance(since, int):
        return IncrementalReadOptions(mode="append", start_version=since)
    if isinstance(since, datetime):
        if since.microsecond:
            raise ValueError(
                f"since={since}: instants are whole seconds, or rows would come again; or use a version"
            )
        since = (since if since.tzinfo is None else since.astimezone(UTC)).strftime("%Y-%m-%d %H:%M:%S")
    return IncrementalReadOptions(mode="append", start_time_stamp=since)


def _schema(session: CreateReadSessionResponse, wanted: list[str] | None) -> pa.Schema:
    """Return the schema of the session's batches, cut down to the ``wanted`` columns in their order."""
    described = session.data_schema
    columns = (
        [] if described is None else [*(described.data_columns or ()), *(described.partition_columns or ())]
    )
    fields = {str(column.name).lower(): _field(column) for column in columns}
    if wanted is None:
        return pa.schema(fields.values())
    unknown = [name for name in wanted if name not in fields]
    if unknown:
        raise ValueError(f"the session has no column {', '.join(unknown)}; it has: {', '.join(fields)}")
    return pa.schema([fields[name] for name in wanted])


def _field(column: Column) -> pa.Field:
    return pa.field(str(column.name), arrow_type(parse_type(str(column.type))), column.nullable is not False)
