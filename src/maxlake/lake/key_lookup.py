"""Where a table has the keys of an upload."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from maxlake.lake import deletes
from maxlake.lake.files import ListedFile, PlannedFile
from maxlake.lake.plans import Slice
from maxlake.lake.row_numbers import POSITION
from maxlake.lake.scans import Selection, decode_promising
from maxlake.lake.tables import StoredColumn

#: Threads that look for the keys of one upload: decoding is most of the work.
_READERS = 2
#: Rows, and bytes of their keys, looked at together: each look makes a hash table of the uploaded keys.
_ROWS_AT_ONCE = 262_144
_BYTES_AT_ONCE = 16 * 1024 * 1024


@dataclass(frozen=True)
class KeyLookup:
    """Finds rows with uploaded keys in a table's files: keys, POSITION and ROW_ID (``columns``).

    ``within`` selects the keys between the uploaded ones, ``values`` are those of each key column, None for
    many: then whoever asks has to join.
    """

    data: Path
    columns: Sequence[StoredColumn]
    within: Selection
    values: Sequence[pa.Array] | None

    def rows(self, files: Sequence[ListedFile]) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield rows that may have an uploaded key, with the id of their file."""
        if self.values is None:
            for entry in files:
                for batch in self._decoded(entry, entry.file):
                    yield entry.file_id, batch
            return
        with ThreadPoolExecutor(_READERS) as pool:
            for entry, batches in zip(files, pool.map(self._matches, files), strict=True):
                for batch in batches:
                    yield entry.file_id, batch

    def _matches(self, entry: ListedFile) -> list[pa.RecordBatch]:
        assert self.values is not None
        whole, gone = entry.file, None
        if whole.deletes is not None:  # which rows are gone is asked of the few found
            gone = deletes.read(self.data, whole.deletes).positions
            whole = msgspec.structs.replace(whole, record_count=whole.record_count + len(gone), deletes=None)
        found: list[pa.RecordBatch] = []
        for rows in _gathered(self._decoded(entry, whole)):
            for place, values in enumerate(self.values):
                rows = rows.filter(pc.is_in(rows.column(place), value_set=values))  # noqa: PLW2901
            if gone is not None and rows.num_rows:
                rows = rows.filter(pc.invert(pc.is_in(rows.column(POSITION.name), value_set=gone)))  # noqa: PLW2901
            found += rows.to_batches()
        return found

    def _decoded(self, entry: ListedFile, file: PlannedFile) -> Iterator[pa.RecordBatch]:
        whole = Slice(file, 0, file.record_count, entry.row_id_start)
        return decode_promising(self.data, [whole], self.columns, self.within)


def _gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield the rows of many batches in few tables."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        held.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows >= _ROWS_AT_ONCE or size >= _BYTES_AT_ONCE:
            yield pa.Table.from_batches(held)
            held, rows, size = [], 0, 0
    if held:
        yield pa.Table.from_batches(held)
