"""Rows as text: those of a query (rest.md §8.3), and the first of a table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from maxlake.lake import tables
from maxlake.lake.scans import BatchLimits, Projection, scan
from maxlake.protocol import limits
from maxlake.protocol.messages.read import PreviewRequest
from maxlake.protocol.targets import TableTarget
from maxlake.protocol.types.arrow import ReadUnits
from maxlake.protocol.types.model import Array, Decimal, Kind, Map, OdpsType, Simple, Struct, Vector
from maxlake.protocol.types.text import parse_type
from maxlake.service import rows
from maxlake.service.instances import Instance
from maxlake.service.project import Project

_NULL = "\\N"


def as_text(project: Project, instance: Instance) -> str:
    """Return the first rows as CSV, the names of the columns in the first line, NULL as ``\\N``.

    As many as ``MAX_TEXT_ROWS`` and ``MAX_TEXT_BYTES`` allow.
    """
    assert instance.plan is not None
    stop = min(instance.plan.record_count, limits.MAX_TEXT_ROWS)
    projection = Projection(instance.columns, ReadUnits())
    kinds = [parse_type(column.type) for column in instance.columns]
    batches = scan(
        project.results,
        instance.plan.slices(0, stop),
        projection,
        BatchLimits(limits.DEFAULT_BATCH_ROWS, limits.PREVIEW_BATCH_BYTES),
    )
    return _csv([column.name for column in instance.columns], kinds, batches)


def head(project: Project, target: TableTarget, request: PreviewRequest) -> str:
    """Return the first rows of a table in the same form (see :func:`rows.preview`)."""
    stream = rows.preview(project, target, request)
    with project.lake.database.read() as connection:
        columns = tables.get(connection, target.schema, target.table).columns
    names = stream.schema.names
    return _csv(names, [columns.column(name).type for name in names], stream.batches)


def _csv(names: Sequence[str], kinds: Sequence[OdpsType], batches: Iterable[pa.RecordBatch]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(names)
    for batch in batches:
        writer.writerows(_rows(batch, kinds))
        if text.tell() > limits.MAX_TEXT_BYTES:
            break
    return text.getvalue()


def _rows(batch: pa.RecordBatch, kinds: Sequence[OdpsType]) -> Iterator[list[str]]:
    columns = [_texts(array, kind) for array, kind in zip(batch.columns, kinds, strict=True)]
    for row in zip(*columns, strict=True):
        yield list(row)


def _texts(array: pa.Array, kind: OdpsType) -> list[str]:
    if kind in (Simple(Kind.TIMESTAMP), Simple(Kind.TIMESTAMP_NTZ)):
        array = array.cast(pa.timestamp("us"), safe=False)
    return [_NULL if value is None else _text(value, kind) for value in array.to_pylist()]


def _text(value: Any, kind: OdpsType) -> str:
    match kind:
        case Simple(kind=Kind.BOOLEAN):
            return "true" if value else "false"
        case Array() | Vector() | Map() | Struct():
            return json.dumps(_plain(value, kind), ensure_ascii=False)
        case _:
            return str(_plain(value, kind))


def _plain(value: Any, kind: OdpsType) -> Any:  # noqa: PLR0911 - one a type
    """Return a value as JSON has it, texts for what it has no type for."""
    if value is None:
        return None
    match kind:
        case Array() | Vector():
            return [_plain(item, kind.children()[0]) for item in value]
        case Map():
            return {str(_plain(key, kind.key)): _plain(item, kind.value) for key, item in value}
        case Struct():
            return {field.name: _plain(value[field.name], field.type) for field in kind.fields}
        case Decimal():
            return str(value)
        case _ if isinstance(value, bytes):
            return value.decode(errors="backslashreplace")
        case Simple(kind=Kind.INTERVAL_DAY_TIME):
            return f"{value['sec']}.{value['nano']:09}"
        case _ if isinstance(value, datetime):
            return value.isoformat(" ", "auto")
        case _ if isinstance(value, date):
            return value.isoformat()
        case _:
            return value
