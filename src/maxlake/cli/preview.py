"""``maxlake preview``: some rows of a table."""

from __future__ import annotations

from math import isfinite
from typing import Any

import pyarrow as pa
import pyarrow.types as pat
from rich.console import Console
from rich.table import Table
from rich.text import Text

from maxlake.cli.connection import ENVIRONMENT, Connection, failing, tell
from maxlake.client import StorageApiArrowClient


def preview(
    table: str,
    *,
    limit: int = 10,
    partition: str | None = None,
    column: list[str] | None = None,
    json: bool = False,
    connection: Connection = ENVIRONMENT,
) -> None:
    """Show some rows of TABLE.

    Parameters
    ----------
    table
        The table.
    limit
        Rows, at most.
    partition
        Their partition, as day=mon.
    column
        A column to be shown; may be repeated. All if not given.
    json
        Write a JSON object a line for each row.
    """
    with failing("preview"):
        odps = connection.odps()
        client = StorageApiArrowClient(odps, odps.get_table(table))
        reader = client.preview_table_arrow(limit, partition, column)
        batches = list(iter(reader.read, None))
    rows = [row for batch in batches for row in _plain(batch).to_pylist()]
    if json:
        for row in rows:
            tell({name: _shown(value) for name, value in row.items()})
        return
    shown = Table(*(batches[0].schema.names if batches else ()))
    for row in rows:
        shown.add_row(*(Text("NULL", "dim") if each is None else Text(str(each)) for each in row.values()))
    Console().print(shown)


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return ``batch`` with texts for instants: Python's have no nanoseconds."""
    columns = [
        column.cast(pa.string()) if pat.is_timestamp(column.type) else column for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _shown(value: Any) -> Any:
    """Return ``value`` as JSON can tell it: NaN and infinity are not null."""
    if isinstance(value, dict):
        return {name: _shown(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shown(each) for each in value]
    return str(value) if isinstance(value, float) and not isfinite(value) else value
