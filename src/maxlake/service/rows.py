"""Rows of read sessions and previews (wire.md §5, §7)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from maxlake.lake import plans, snapshots, tables
from maxlake.lake.plans import Slice, Wanted
from maxlake.lake.scans import BatchLimits, Projection, Window, scan
from maxlake.lake.splits import split_range
from maxlake.lake.tables import StoredColumn
from maxlake.protocol import limits
from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.messages.read import (
    ArrowOptions,
    DataFormat,
    PreviewRequest,
    ReadAddress,
    ReadRowsRequest,
)
from maxlake.protocol.targets import TableTarget
from maxlake.protocol.types.arrow import ReadUnits
from maxlake.service.project import Project
from maxlake.service.read_sessions import ReadSession, open_session, wanted_partitions


@dataclass(frozen=True)
class RowStream:
    """Rows on their way out. ``batches`` may raise at any point: the answer must then be cut, not ended."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


def read(
    project: Project, target: TableTarget, address: ReadAddress, request: ReadRowsRequest, principal: str
) -> RowStream:
    """Read rows of a session, addressed by split, by offset or not at all (drift.md B.2 to B.4)."""
    session = open_session(project, target, address.session_id, principal)
    return rows_of(project.lake.data, session, address, request)


def rows_of(data: Path, session: ReadSession, address: ReadAddress, request: ReadRowsRequest) -> RowStream:
    """Read rows of a session whose files lie in ``data``."""
    if request.data_format != DataFormat():
        raise invalid_argument("the only DataFormat is Arrow V5")
    if request.max_batch_rows < 1:
        raise invalid_argument(f"MaxBatchRows must be positive, not {request.max_batch_rows}")
    projection = Projection(
        _ordered(session.columns, request.data_columns, table_order=request.data_columns_unordered),
        _units(session.arrow_options),
    )
    batch_limits = BatchLimits(min(request.max_batch_rows, limits.MAX_BATCH_ROWS), request.max_batch_raw_size)
    slices, window = _addressed(session, address, request.skip_row_num)
    selection = session.predicate.selection() if session.predicate else None
    batches = scan(data, slices, projection, batch_limits, selection, window)
    return RowStream(projection.schema, batches)


def _addressed(session: ReadSession, address: ReadAddress, skipped: int) -> tuple[Iterator[Slice], Window]:
    """Return the slices an address means, and which of the rows found in them (drift.md B.2 to B.4)."""
    plan = session.plan
    start, stop = 0, plan.record_count
    if address.index is not None:
        if address.index >= len(session.ends):
            raise invalid_argument(
                f"Index {address.index} is out of range: the session has {len(session.ends)} splits",
                where=f"session {session.session_id}",
            )
        start, stop = split_range(session.ends, address.index)
    first = (address.offset or 0) + skipped
    count = None if address.count is None else max(address.count - skipped, 0)
    if session.predicate is None:
        start = min(start + first, stop)
        return plan.slices(start, stop if count is None else min(start + count, stop)), Window()
    if session.counted is None:
        return plan.slices(start, stop), Window(first, count)
    slices, before = session.counted.slices(plan, first)
    return slices, Window(before, count)


def _ordered(
    columns: Sequence[StoredColumn], names: Sequence[str], *, table_order: bool
) -> list[StoredColumn]:
    if not names:
        return list(columns)
    known = {column.name.lower(): column for column in columns}
    for name in names:
        if name.lower() not in known:
            raise invalid_argument(
                f"DataColumns names {name!r}, which is not in the session; it has: {', '.join(known)}"
            )
    chosen = list(dict.fromkeys(known[name.lower()] for name in names))
    return [column for column in columns if column in chosen] if table_order else chosen


def _units(options: ArrowOptions) -> ReadUnits:
    return ReadUnits(datetime=options.datetime_unit, timestamp=options.timestamp_unit)


def preview(project: Project, target: TableTarget, request: PreviewRequest) -> RowStream:
    """Sample rows without a session (drift.md B.15): as many as asked, or as fit ``MAX_PREVIEW_BYTES``."""
    limit = limits.DEFAULT_PREVIEW_ROWS if request.limit is None else request.limit
    if limit < 1:
        raise invalid_argument(f"Limit must be positive, not {limit}")
    with project.lake.database.read() as connection:
        table = tables.get(connection, target.schema, target.table)
        wanted = wanted_partitions(table, [request.partition] if request.partition.strip() else [])
        plan = plans.plan(project.lake, connection, table, Wanted(wanted), snapshots.latest(connection))
    columns = _ordered(tuple(table.stored.values()), request.columns, table_order=False)
    projection = Projection(columns, ReadUnits())
    stop = min(limit, limits.MAX_PREVIEW_ROWS, plan.record_count)
    batch_limits = BatchLimits(limits.DEFAULT_BATCH_ROWS, limits.PREVIEW_BATCH_BYTES)
    batches = scan(project.lake.data, plan.slices(0, stop), projection, batch_limits)
    return RowStream(projection.schema, _first(batches, limits.MAX_PREVIEW_BYTES))


def _first(batches: Iterator[pa.RecordBatch], size: int) -> Iterator[pa.RecordBatch]:
    """Yield batches until they would have more than ``size`` bytes, but at least one."""
    sent = 0
    for batch in batches:
        sent += batch.nbytes
        if sent > size and sent != batch.nbytes:
            return
        yield batch
