"""Pruning: files that cannot hold a wanted row, by their partition and their statistics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import Connection, select

from maxlake.lake import ducklake
from maxlake.lake.database import chunks
from maxlake.lake.files import ListedFile
from maxlake.lake.filters import Bounds, Filter, text_bounds
from maxlake.lake.tables import Table


def pruned(
    connection: Connection, table: Table, listed: Sequence[ListedFile], wanted: Filter
) -> list[ListedFile]:
    """Return the files that may hold wanted rows, in the order given.

    A filter of very many conditions prunes only partitions of a table of many files.
    """
    names = table.partition_keys
    keys = list({entry.key for entry in listed})
    matching = wanted.matching_partitions([dict(zip(names, key, strict=True)) for key in keys])
    partitions = dict(zip(keys, matching, strict=True))
    left = [entry for entry in listed if partitions[entry.key]]
    if not wanted.affords(len(left)):
        return left
    bounds = _bounds(connection, table, [entry.file_id for entry in left], wanted)
    return [entry for entry in left if wanted.may_match(bounds[entry.file_id])]


def _bounds(
    connection: Connection, table: Table, file_ids: Sequence[int], wanted: Filter
) -> defaultdict[int, dict[str, Bounds]]:
    """Return what is known of the columns a filter reads, by file; the columns of a file may be fewer."""
    columns = {table.stored[name].field_id: table.columns.column(name) for name in wanted.columns}
    found: defaultdict[int, dict[str, Bounds]] = defaultdict(dict)
    stats = ducklake.file_column_stats
    for some in chunks(file_ids):
        for file_id, number, minimum, maximum, null_count, value_count in connection.execute(
            select(
                stats.c.data_file_id,
                stats.c.column_id,
                stats.c.min_value,
                stats.c.max_value,
                stats.c.null_count,
                stats.c.value_count,
            ).where(stats.c.data_file_id.in_(some), stats.c.column_id.in_(columns))
        ):
            column = columns[number]
            found[file_id][column.name] = text_bounds(
                column.type, minimum, maximum, null_count=null_count, value_count=value_count
            )
    return found
