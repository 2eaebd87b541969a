"""Files and directories as sources: Parquet, CSV, JSON lines, Arrow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.types as pat
from pyarrow import csv, json

from maxlake.protocol.types.arrow import arrow_type
from maxlake.protocol.types.model import OdpsType

FilePath = str | Path

_FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".arrow": "ipc",
    ".feather": "ipc",
}
#: Only texts are compressed as a whole.
_COMPRESSED = (".gz", ".bz2", ".zst", ".lz4")
_DELIMITERS = {"csv": ",", "tsv": "\t"}


def dataset_of(paths: FilePath | Sequence[FilePath], columns: Mapping[str, OdpsType]) -> ds.Dataset:
    """Return the rows of files, and of all files below directories.

    The ending says the format: ``.parquet``, ``.csv``, ``.tsv``, ``.json`` or ``.jsonl`` (an object a line),
    ``.arrow``, the text ones also compressed, as ``.gz``. CSV and JSON are read as the types of ``columns``;
    an empty field of CSV is NULL without quotes and a text with them. Directories named ``day=mon`` below a
    given one are values of a column, texts where ``columns`` does not have it; a column that some files lack
    is NULL there.

    Raises ``FileNotFoundError``, and ``ValueError`` for files of several or unknown formats, or named twice;
    reading JSON raises it for a field that none of a file's first megabyte of rows has.
    """
    given = [Path(path) for path in ([paths] if isinstance(paths, FilePath) else paths)]
    found = {place: _files_at(place) for place in dict.fromkeys(given)}
    named = Counter(file.resolve() for place in given for file in found[place])
    twice = [str(file) for file, count in named.items() if count > 1]
    if twice:
        raise ValueError(f"files that are named twice: {', '.join(twice[:3])}; each row would be doubled")
    formats = {_format_of(file) for files in found.values() for file in files}
    if len(formats) != 1:
        raise ValueError(f"files of one format are needed, not of {', '.join(sorted(formats))}")
    name = formats.pop()
    keys = _keys_of(found, columns)
    parts = [_dataset(place, files, name, keys, None) for place, files in found.items()]
    schemas = [part.schema for part in parts]
    schemas += [fragment.physical_schema for part in parts for fragment in part.get_fragments()]
    fields = pa.unify_schemas(schemas, promote_options="permissive")
    if name not in ("parquet", "ipc"):
        fields = [_meant(field, columns) for field in fields]
    schema = pa.schema([field.with_nullable(True) for field in fields])
    parts = [_dataset(place, files, name, keys, schema) for place, files in found.items()]
    if name == "json":
        return ds.InMemoryDataset(pa.RecordBatchReader.from_batches(schema, _json_rows(parts, schema, keys)))
    return ds.dataset(parts)


def _keys_of(found: Mapping[Path, list[Path]], columns: Mapping[str, OdpsType]) -> pa.Schema:
    """Return the columns that the names of directories are values of."""
    below = [file.relative_to(place).parts[:-1] for place, files in found.items() for file in files]
    parts = [part for directories in below for part in directories]
    names = dict.fromkeys(name for name, equals, _ in (part.partition("=") for part in parts) if equals)
    return pa.schema([_meant(pa.field(name, pa.string()), columns) for name in names])


def _json_rows(parts: Sequence[ds.Dataset], schema: pa.Schema, keys: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the rows of JSON files; Arrow's data sets would pass over fields they do not know."""
    own = pa.schema([field for field in schema if field.name not in keys.names])
    strict = json.ParseOptions(explicit_schema=own, unexpected_field_behavior="error")
    for fragment in (each for part in parts for each in part.get_fragments()):
        values = ds.get_partition_keys(fragment.partition_expression)
        try:
            for batch in json.open_json(pa.input_stream(fragment.path), parse_options=strict):
                constants = {
                    key.name: pa.repeat(pa.scalar(values.get(key.name), key.type), len(batch)) for key in keys
                }
                arrays = constants | dict(zip(batch.schema.names, batch.columns, strict=True))
                yield pa.RecordBatch.from_arrays([arrays[name] for name in schema.names], schema=schema)
        except pa.ArrowInvalid as error:
            raise ValueError(
                f"{fragment.path}: {error}; the first rows of a file must have all its fields"
            ) from error


def _dataset(
    place: Path, files: list[Path], name: str, keys: pa.Schema, schema: pa.Schema | None
) -> ds.Dataset:
    chosen: Any = _csv_format(_DELIMITERS[name]) if name in _DELIMITERS else name
    base = str(place) if place.is_dir() else str(place.parent)
    return ds.dataset(
        [str(file) for file in files],
        schema=schema,
        format=chosen,
        partitioning=ds.partitioning(keys, flavor="hive"),
        partition_base_dir=base,
    )


def _csv_format(delimiter: str) -> ds.CsvFileFormat:
    return ds.CsvFileFormat(
        parse_options=csv.ParseOptions(delimiter=delimiter),
        convert_options=csv.ConvertOptions(
            null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )


def _meant(field: pa.Field, columns: Mapping[str, OdpsType]) -> pa.Field:
    """Return ``field`` as the table's type, if text can be read as that."""
    wanted = columns.get(field.name.lower())
    dtype = None if wanted is None else arrow_type(wanted)
    if dtype is None or pat.is_map(dtype) or (pat.is_nested(dtype) and not pat.is_nested(field.type)):
        return field
    return pa.field(field.name, dtype)


def _files_at(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    files = sorted(_visible_files(place))
    if not files:
        raise FileNotFoundError(f"there is no file at {place}")
    return files


def _visible_files(directory: Path) -> Iterator[Path]:
    """Yield what is below ``directory`` and no note of other programs, as ``_SUCCESS`` is."""
    for path in directory.rglob("*"):
        below = path.relative_to(directory).parts
        if path.is_file() and not any(part.startswith((".", "_")) for part in below):
            yield path


def _format_of(file: Path) -> str:
    endings = [ending.lower() for ending in file.suffixes]
    if endings and endings[-1] in _COMPRESSED:
        endings.pop()
    ending = endings[-1] if endings else ""
    if ending not in _FORMATS:
        raise ValueError(f"{file}: the ending must be one of {', '.join(_FORMATS)} (texts also with .gz)")
    return _FORMATS[ending]
