"""Tables in DuckDB's SQL: ``trips = scan("trips")``, then ``select … from trips``.

DuckDB asks a scan for the columns and rows of each query, as it asks a data set of pyarrow's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds

from maxlake.client.oneline.connect import client_of
from maxlake.client.oneline.reading import read
from maxlake.client.oneline.table_schema import TableSchema
from maxlake.integrations.arrow_conditions import condition_of
from maxlake.integrations.conditions import to_sql

if TYPE_CHECKING:
    import pyarrow.compute as pc


def scan(table: Any, **options: Any) -> ds.Dataset:
    """Return ``table`` for DuckDB's SQL: each query reads its newest version.

    ``options`` are those of ``maxlake.read``, such as ``odps`` and ``partitions``. Only the columns that a
    query names are sent, and of its conditions the service judges those on whole numbers, texts, dates and
    booleans. Give the scan to a variable of the name to be used, or to ``connection.register``.
    """
    return TableScan(table, options)


class TableScan(ds.Dataset):
    """A table as DuckDB scans it. Made by ``scan``."""

    def __init__(self, table: Any, options: dict[str, Any]) -> None:
        # pyarrow's own initialiser belongs to data sets of files.
        self._table = table
        self._options = options
        self._schema = TableSchema.of(client_of(table, options.get("odps")).table).arrow

    @property
    def schema(self) -> pa.Schema:
        """The columns of the table, those of its partitions last."""
        return self._schema

    def scanner(
        self,
        columns: list[str] | None = None,
        filter: pc.Expression | None = None,  # noqa: A002 - pyarrow's name
        **_: Any,
    ) -> ds.Scanner:
        """Return the rows that ``filter`` holds for; its columns are among ``columns``. DuckDB asks this."""
        names = list(self._schema.names if columns is None else columns)
        where = None if filter is None else to_sql(condition_of(filter, self._schema))
        rows = read(self._table, names or self._schema.names[:1], where, **self._options)
        return ds.Scanner.from_batches(rows.to_reader(), columns=names, filter=filter)
