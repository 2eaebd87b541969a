"""The schemas of a project."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from maxlake.protocol.errors import ErrorCode, NotFoundError, invalid_argument
from maxlake.protocol.limits import MAX_LISTED
from maxlake.server.exchange import Reply
from maxlake.server.rest import xml
from maxlake.server.rest.call import RestCall, http_date, xml_reply
from maxlake.server.rest.xml import element
from maxlake.service import tables


def list_all(call: RestCall) -> Reply:
    """``GET schemas``: a page of names, with the marker of the next one."""
    limit = max(1, min(call.parameters.unsigned("maxitems") or MAX_LISTED, MAX_LISTED))
    prefix, after = (call.parameters.text("name") or "").lower(), call.parameters.text("marker") or ""
    names = [name for name in tables.list_schemas(call.project) if name.startswith(prefix) and name > after]
    marker = names[limit - 1] if len(names) > limit else ""
    entries = [
        element("Schema", None, element("Name", name), element("Owner", call.project.owner), _managed())
        for name in names[:limit]
    ]
    head = element("Marker", marker), element("MaxItems", str(limit))
    return xml_reply(element("Schemas", None, *head, *entries))


def _managed() -> Element:
    return element("Type", "managed")


def show(call: RestCall) -> Reply:
    """``GET schemas/S``; PyODPS takes owner and times from the headers, and needs them.

    Raises NoSuchObject: no other code tells PyODPS that a schema is missing.
    """
    name = call.names["schema"].lower()
    if name not in tables.list_schemas(call.project):
        raise NotFoundError(ErrorCode.NO_SUCH_OBJECT, f"schema {name!r} does not exist")
    created = http_date(call.project.created_at)
    headers = (
        ("x-odps-owner", call.project.owner),
        ("x-odps-creation-time", created),
        ("last-modified", created),
    )
    body = element("Schema", None, element("Name", name), _managed())
    return xml_reply(body, *headers)


def create(call: RestCall) -> Reply:
    """``POST schemas``: the body names it."""
    name = xml.parse(call.body).findtext("Name", "").strip()
    if not name:
        raise invalid_argument("the body names no schema: <Schema><Name>...</Name></Schema>")
    tables.create_schema(call.project, name)
    return Reply(b"", "application/xml", 201)


def delete(call: RestCall) -> Reply:
    """``DELETE schemas/S``: one without tables."""
    tables.drop_schema(call.project, call.names["schema"])
    return Reply(b"", "application/xml")
