"""What can be written: anything tabular, as record batches of one schema."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from maxlake.client.oneline.file_sources import FilePath, dataset_of
from maxlake.client.oneline.python_values import column_of
from maxlake.protocol.errors import MaxlakeError
from maxlake.protocol.limits import CLIENT_WRITE_BATCH
from maxlake.protocol.types.model import Kind, OdpsType, Simple

if TYPE_CHECKING:
    import pandas as pd

#: Rows of Python objects that make a batch.
_ROWS_A_BATCH = 8192
_FLOATS = (Simple(Kind.FLOAT), Simple(Kind.DOUBLE))


@dataclass(frozen=True)
class Source:
    """Batches of one schema, to be taken once; ``row_count`` if it is known."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    row_count: int | None = None

    @classmethod
    def of_table(cls, table: pa.Table) -> Source:
        """Return the rows of ``table``."""
        return cls(table.schema, iter(table.to_batches()), table.num_rows)

    @classmethod
    def of_reader(cls, reader: pa.RecordBatchReader) -> Source:
        """Return the rows of ``reader``."""
        return cls(reader.schema, _closed_at_end(reader))

    def small_batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the batches, cut to pieces of at most about CLIENT_WRITE_BATCH bytes."""
        for batch in self.batches:
            rows = max(batch.num_rows * CLIENT_WRITE_BATCH // max(batch.nbytes, 1), 1)
            for start in range(0, batch.num_rows, rows):
                yield batch.slice(start, rows)


def source_of(data: Any, columns: Mapping[str, OdpsType]) -> Source:
    """Return the rows of ``data``; ``columns`` are the types they are meant for, by name in lower case.

    ``data`` is a pandas frame; a table or stream of Arrow's, or whatever implements Arrow's C stream or array
    protocol (polars, DuckDB, ``maxlake.read``); a path or a list of paths of Parquet, CSV, JSON or Arrow
    files or of directories of them; a mapping of columns; or an iterable of batches, tables or rows.
    Raises ``TypeError`` for anything else, ``ValueError`` for files that do not fit.
    """
    arrow = _arrow_source(data, columns)
    if arrow is not None:
        return arrow
    if isinstance(data, FilePath) or _is_paths(data):
        return _of_files(data, columns)
    if isinstance(data, Mapping):
        arrays = {name: _array(name, values, columns.get(name.lower())) for name, values in data.items()}
        return Source.of_table(pa.table(arrays))
    if isinstance(data, Iterable) and not isinstance(data, (bytes, bytearray)):
        return _of_iterable(iter(data), columns)
    raise TypeError(
        f"rows cannot be taken from {type(data).__name__}: give a frame, an Arrow table or stream, paths, a "
        "mapping of columns, or an iterable of batches or rows"
    )


def _arrow_source(data: Any, columns: Mapping[str, OdpsType]) -> Source | None:
    # Frames have Arrow's protocol too, but NaN is NULL in it.
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(data, pandas.DataFrame):
        return Source.of_table(frame_to_arrow(data, columns))
    if isinstance(data, pa.Table):
        return Source.of_table(data)
    if hasattr(data, "__arrow_c_stream__"):
        return Source.of_reader(pa.RecordBatchReader.from_stream(data))
    if hasattr(data, "__arrow_c_array__"):
        return Source.of_table(pa.Table.from_batches([pa.record_batch(data)]))
    return None


def frame_to_arrow(frame: pd.DataFrame, columns: Mapping[str, OdpsType]) -> pa.Table:
    """Return a pandas frame as a table, without its index.

    NaN in a NumPy float column is a value where the table's column has floats, and NULL elsewhere.
    """
    arrays: dict[str, pa.Array | pa.ChunkedArray] = {}
    for position, name in enumerate(frame.columns):
        if not isinstance(name, str) or name in arrays:
            raise ValueError(f"columns of a frame need a name each, texts, not {name!r} (again)")
        series = frame.iloc[:, position]
        arrays[name] = _series(name, series, columns.get(name.lower()))
    return pa.table(arrays)


def _is_numpy_float(dtype: Any) -> bool:
    """Whether this is NumPy's type, which has no NULL; pandas' own ones have."""
    return type(dtype).__module__.partition(".")[0] == "numpy" and dtype.kind == "f"


def _series(name: str, series: pd.Series, wanted: OdpsType | None) -> pa.Array | pa.ChunkedArray:
    if wanted in _FLOATS and _is_numpy_float(series.dtype):
        return pa.array(series.to_numpy())
    if wanted is None or series.dtype != object:
        return pa.array(series)
    return column_of(series.where(series.notna(), None).tolist(), wanted, f"column {name}")


def _array(name: str, values: Any, wanted: OdpsType | None) -> pa.Array | pa.ChunkedArray:
    """Return values that have types of their own as they are, others as they are meant."""
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values
    if isinstance(values, (str, bytes, bytearray)):
        raise TypeError(f"column {name} needs a list of values, not one {type(values).__name__}")
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(values, pandas.Series):
        return _series(name, values, wanted)
    if wanted is None or getattr(getattr(values, "dtype", None), "kind", "O") != "O":
        return pa.array(values)
    return column_of(list(values), wanted, f"column {name}")


def _is_paths(data: Any) -> bool:
    return isinstance(data, (list, tuple)) and bool(data) and all(isinstance(each, FilePath) for each in data)


def _of_files(paths: Any, columns: Mapping[str, OdpsType]) -> Source:
    scanner = dataset_of(paths, columns).scanner(batch_readahead=2, fragment_readahead=1)
    return Source.of_reader(scanner.to_reader())


def _of_iterable(items: Iterator[Any], columns: Mapping[str, OdpsType]) -> Source:
    first = next(items, None)
    if first is None:
        return Source(pa.schema([]), iter(()), 0)
    items = chain([first], items)
    empty = pa.schema([])
    if isinstance(first, Mapping):
        batches = _rows_in_batches(items, columns)
    elif isinstance(first, (pa.RecordBatch, pa.Table)):
        empty = first.schema
        batches = chain.from_iterable(
            item.to_batches() if isinstance(item, pa.Table) else [item] for item in items
        )
    else:
        kind = type(first).__name__
        raise TypeError(f"an iterable must give batches, tables or rows (mappings), not {kind}")
    first_batch = next(batches, None)
    if first_batch is None:
        return Source(empty, iter(()))
    return Source(first_batch.schema, _alike(chain([first_batch], batches), first_batch.schema))


def _alike(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for number, batch in enumerate(batches):
        if not batch.schema.equals(schema):
            raise ValueError(
                f"batch {number} has another schema than the first: {batch.schema}\ninstead of\n{schema}"
            )
        yield batch


def _rows_in_batches(rows: Iterator[Any], columns: Mapping[str, OdpsType]) -> Iterator[pa.RecordBatch]:
    """Yield batches of the columns that the first row has; those it lacks are an error in later ones."""
    names: list[str] = []
    start = 0
    while chunk := list(islice(rows, _ROWS_A_BATCH)):
        names = names or list(chunk[0])
        if not names:
            raise ValueError("row 0 has no columns, and it says which there are")
        for number, row in enumerate(chunk, start):
            more = row.keys() - set(names)
            if more:
                raise ValueError(f"row {number} has columns that the first row lacks: {', '.join(more)}")
        try:
            yield pa.record_batch(
                {
                    name: _array(name, [row.get(name) for row in chunk], columns.get(name.lower()))
                    for name in names
                }
            )
        except (ValueError, MaxlakeError) as error:
            error.add_note(f"Rows are counted from row {start} of what is written.")
            raise
        start += len(chunk)


def _closed_at_end(reader: pa.RecordBatchReader) -> Generator[pa.RecordBatch]:
    try:
        yield from reader
    finally:
        reader.close()
