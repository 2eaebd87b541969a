"""Tables and their partitions (rest.md §3, §4)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.limits import MAX_LISTED
from maxlake.protocol.messages.read import PreviewRequest
from maxlake.protocol.partitions import PartitionSpec, parse_partition_spec
from maxlake.protocol.targets import TableTarget
from maxlake.server.exchange import Reply
from maxlake.server.rest.call import RestCall, http_date, seconds, text_reply, xml_reply
from maxlake.server.rest.xml import element
from maxlake.service import tables

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from maxlake.protocol.columns import Column
    from maxlake.service.tables import Partition, Table

_MANAGED = "MANAGED_TABLE"


def show(call: RestCall) -> Reply:
    """``GET tables/T``: the table, one of its partitions, or the list of them, as the query says."""
    if call.parameters.flag("data"):
        return _head(call)
    if call.parameters.flag("partitions"):
        return _list_partitions(call)
    if call.parameters.flag("partition"):
        return _show_partition(call)
    table = tables.get(call.project, call.schema, call.names["table"])
    return xml_reply(described(table, call.project.name, extended=call.parameters.flag("extended")))


def described(table: Table, project: str, *, extended: bool) -> Element:
    """Return how a table is told; ``extended`` adds its properties and what it takes on the disk."""
    schema = _schema(table)
    if extended:
        schema |= _extended(table)
    return element(
        "Table",
        None,
        element("Name", table.name),
        element("TableId", str(table.table_id)),
        element("Type", _MANAGED),
        element("Comment", table.comment),
        element("Owner", table.owner),
        element("Project", project),
        element("SchemaName", table.schema),
        element("CreationTime", http_date(table.created_at)),
        element("LastModifiedTime", http_date(table.modified_at)),
        element("Schema", json.dumps(schema), format="Json"),
        format="Json",
    )


def _head(call: RestCall) -> Reply:
    """Answer the first rows as CSV: what ``head()`` asks for where it cannot preview."""
    from maxlake.service import results  # noqa: PLC0415 - see instances.py

    named = (call.parameters.text("cols") or "").split(",")
    request = PreviewRequest(
        limit=call.parameters.unsigned("linenum"),
        partition=call.parameters.text("partition") or "",
        columns=tuple(name for name in named if name),
    )
    schema = call.parameters.text("schema_name") or call.schema
    target = TableTarget(call.project.name, schema, call.names["table"])
    return text_reply(results.head(call.project, target, request))


def _schema(table: Table) -> dict[str, Any]:
    return {
        "columns": [_column(column) for column in table.columns.columns],
        "partitionKeys": [_column(column) for column in table.columns.partition_columns],
        "comment": table.comment,
        "owner": table.owner,
        "createTime": seconds(table.created_at),
        "lastModifiedTime": seconds(table.modified_at),
        "lastDDLTime": seconds(table.ddl_at),
        "lifecycle": -1 if table.lifecycle is None else table.lifecycle,
        "isVirtualView": False,
        "size": table.size,
        "recordNum": table.record_count,
    }


def _extended(table: Table) -> dict[str, Any]:
    """Return what ``?extended`` adds. ``Reserved`` is JSON inside a JSON text (rest.md §3)."""
    reserved: dict[str, Any] = {
        **table.properties,
        "Transactional": "true" if table.primary_key else "false",
        "schema_version": str(table.schema_version),
    }
    if table.primary_key:
        reserved["PrimaryKey"] = list(table.primary_key)
    return {
        "PhysicalSize": table.size,
        "FileNum": table.file_count,
        "IsArchived": False,
        "Reserved": json.dumps(reserved),
    }


def _column(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": str(column.type),
        "comment": column.comment,
        "isNullable": column.nullable,
        "hasDefaultValue": column.default is not None,
        "defaultValue": "" if column.default is None else str(column.default),
        "label": "",
    }


def list_all(call: RestCall) -> Reply:
    """``GET tables``: a page of names, with the marker of the next one (rest.md §3)."""
    limit = _page_size(call)
    after = call.parameters.text("marker") or ""
    prefix = call.parameters.text("name") or ""
    found = tables.list_tables(call.project, call.schema, prefix=prefix, after=after, limit=limit + 1)
    page, marker = found[:limit], found[limit - 1].name if len(found) > limit else ""
    entries = [
        element(
            "Table",
            None,
            element("Name", table.name),
            element("TableId", str(table.table_id)),
            element("Owner", table.owner),
            element("Type", _MANAGED),
            element("SchemaName", table.schema),
            element("CreationTime", http_date(table.created_at)),
        )
        for table in page
    ]
    return xml_reply(element("Tables", None, *_page_head(marker, limit), *entries))


def _list_partitions(call: RestCall) -> Reply:
    """Answer a page of partitions; the marker is the last one sent, which may go (rest.md §4)."""
    text = call.parameters.text("partition")
    spec = parse_partition_spec(text) if text else None
    found = tables.list_partitions(call.project, call.schema, call.names["table"], spec)
    limit, after = _page_size(call), call.parameters.text("marker") or ""
    left = [partition for partition in sorted(found, key=_partition_key) if _partition_key(partition) > after]
    page, marker = left[:limit], _partition_key(left[limit - 1]) if len(left) > limit else ""
    entries = [_partition_entry(partition) for partition in page]
    return xml_reply(element("Partitions", None, *_page_head(marker, limit), *entries))


def _partition_key(partition: Partition) -> str:
    """Return a text that orders partitions and is safe in a query."""
    return "/".join(quote(value, safe="") for value in partition.values.values())


def _partition_entry(partition: Partition) -> Element:
    created, modified = str(seconds(partition.created_at)), str(seconds(partition.modified_at))
    return element(
        "Partition",
        None,
        *[element("Column", None, Name=name, Value=value) for name, value in partition.values.items()],
        element("CreationTime", created),
        element("LastDDLTime", created),
        element("LastModifiedTime", modified),
        element("PartitionSize", str(partition.size)),
        element("PartitionRecordCount", str(partition.record_count)),
    )


def _show_partition(call: RestCall) -> Reply:
    found = tables.get_partition(call.project, call.schema, call.names["table"], _required_spec(call))
    schema = {
        "createTime": seconds(found.created_at),
        "lastDDLTime": seconds(found.created_at),
        "lastModifiedTime": seconds(found.modified_at),
        "partitionSize": found.size,
        "partitionRecordNum": found.record_count,
    }
    return xml_reply(element("Partition", None, element("Schema", json.dumps(schema))))


def _required_spec(call: RestCall) -> PartitionSpec:
    text = call.parameters.text("partition")
    if text is None:
        raise invalid_argument("the query parameter partition is empty; name the partition as key='value'")
    return parse_partition_spec(text)


def _page_size(call: RestCall) -> int:
    return max(1, min(call.parameters.unsigned("maxitems") or MAX_LISTED, MAX_LISTED))


def _page_head(marker: str, limit: int) -> tuple[Element, Element]:
    return element("Marker", marker), element("MaxItems", str(limit))
