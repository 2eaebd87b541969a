"""Where rows go: an uploaded batch, cut by partition and bucket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from maxlake.lake.buckets import bucket_numbers
from maxlake.lake.partitions import PartitionKey
from maxlake.lake.tables import Table
from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.partitions import check_partition_value

#: Name of the bucket numbers among the partition columns while rows are sorted; no column has it.
_BUCKET = ""


class Target(NamedTuple):
    """What all rows of a file have in common; ``bucket`` is None in tables that are not clustered."""

    key: PartitionKey
    bucket: int | None


class Router:
    """Cuts batches of a table's storage schema into runs of one target each."""

    def __init__(self, table: Table) -> None:
        self._keys = table.partition_keys
        self._clustered_by = [table.columns.column(name).name for name in table.options.clustered_by]
        self._buckets = table.options.buckets or 0

    @property
    def copies(self) -> bool:
        """Whether a batch may have rows of several targets."""
        return bool(self._keys or self._clustered_by)

    def cut(self, batch: pa.RecordBatch) -> Iterator[tuple[Target, pa.RecordBatch]]:
        """Yield the runs of a batch; rows of a target keep their order.

        Several runs are copies each: a short one that waits for more must not hold the memory of the
        others. Raises ``InvalidArgument`` for partition values that cannot be.
        """
        if not self.copies:
            yield Target((), None), batch
            return
        if not batch.num_rows:
            return
        places = self._places(batch)
        varying = [name for name in places.schema.names if _run_count(places.column(name)) > 1]
        if not varying:
            yield self._target(places, 0), batch
            return
        order = pc.sort_indices(places, sort_keys=[(name, "ascending") for name in varying])
        places = places.take(order)
        start = 0
        for end in _run_ends(places, varying):
            yield self._target(places, start), batch.take(order.slice(start, end - start))
            start = end

    def _places(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        places = batch.select(self._keys)
        if not self._clustered_by:
            return places
        return places.append_column(_BUCKET, bucket_numbers(batch, self._clustered_by, self._buckets))

    def _target(self, places: pa.RecordBatch, row: int) -> Target:
        key = tuple(_partition_value(places.column(name)[row].as_py(), name) for name in self._keys)
        return Target(key, places.column(_BUCKET)[row].as_py() if self._clustered_by else None)


def _run_count(values: pa.Array) -> int:
    return len(pc.run_end_encode(values).run_ends)


def _run_ends(places: pa.RecordBatch, names: list[str]) -> list[int]:
    ends: set[int] = set()
    for name in names:
        ends.update(pc.run_end_encode(places.column(name)).run_ends.to_pylist())
    return sorted(ends)


def _partition_value(value: object, key: str) -> str:
    if value is None or value == "":
        raise invalid_argument(f"partition column {key!r} is null or empty in an uploaded row")
    return check_partition_value(str(value), key)
