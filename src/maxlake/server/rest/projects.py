"""What is asked about the service and a project as a whole (rest.md §2, §5, §7)."""

from __future__ import annotations

import msgspec

from maxlake.server.exchange import Reply
from maxlake.server.rest.call import RestCall, http_date, text_reply, xml_reply
from maxlake.server.rest.xml import element


def logview_host(_: RestCall) -> Reply:
    """``GET /logview/host``: there is no log viewer; PyODPS takes any text (rest.md §2)."""
    return text_reply("")


def tenant(_: RestCall) -> Reply:
    """``GET /tenants``: one tenant, whose names have two levels unless the caller asks for three."""
    members = {"TenantId": "1", "TenantState": "NORMAL", "TenantMeta": {}, "Parameters": {}}
    return Reply(msgspec.json.encode(members), "application/json")


def list_all(call: RestCall) -> Reply:
    """``GET projects``: all of them, in one page."""
    wanted = (call.parameters.text("name") or "").lower()
    names = [name for name in call.service.project_names() if name.startswith(wanted)]
    entries = [
        element("Project", None, element("Name", name), element("State", "AVAILABLE"))
        for name in names
        if name > (call.parameters.text("marker") or "")
    ]
    head = element("Marker", ""), element("MaxItems", str(len(entries)))
    return xml_reply(element("Projects", None, *head, *entries))


def show(call: RestCall) -> Reply:
    """``GET projects/P``; PyODPS needs the three headers (rest.md §5)."""
    project = call.project
    created = http_date(project.created_at)
    body = element(
        "Project",
        None,
        element("Name", project.name),
        element("Type", "managed"),
        element("Comment", ""),
        element("State", "AVAILABLE"),
        element("Owner", project.owner),
        element("CreationTime", created),
        element("LastModifiedTime", created),
        element("Region", ""),
        element("Properties", None),
    )
    headers = (("x-odps-owner", project.owner), ("x-odps-creation-time", created), ("last-modified", created))
    return xml_reply(body, *headers)


def tunnel(call: RestCall) -> Reply:
    """``GET projects/P/tunnel``: the Storage API is where the caller already is (rest.md §7)."""
    _ = call.project.name
    return text_reply(call.host)


def take_logs(call: RestCall) -> Reply:
    """``PUT projects/P/logs``: client telemetry, taken and dropped (rest.md §6.2)."""
    _ = call.project.name
    return Reply(b"", "application/xml")


def bearer_token(call: RestCall) -> Reply:
    """``POST projects/P/authorization?sign_bearer_token``: a token for a log viewer that does not exist.

    The empty token opens nothing; PyODPS only pastes it into a link (rest.md §1).
    """
    _ = call.project.name
    return xml_reply(element("Authorization", None, element("Result", "")))
