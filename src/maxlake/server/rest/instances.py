"""SQL instances (rest.md §6). They are finished when their creation is answered.

The SQL parser takes a quarter of a second to import: the first instance pays for it, not every start.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from maxlake.protocol.errors import invalid_argument
from maxlake.server.exchange import Reply
from maxlake.server.rest import xml
from maxlake.server.rest.call import RestCall, http_date, xml_reply
from maxlake.server.rest.xml import element

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from maxlake.service.instances import Instance

_DEFAULT_PRIORITY = 9


def create(call: RestCall) -> Reply:
    """``POST instances``: run the job's one SQL task; 201 with its Location (rest.md §6.1)."""
    job = xml.parse(call.body).find("Job")
    task = None if job is None else job.find("Tasks/SQL")
    if job is None or task is None:
        raise invalid_argument("the job holds no SQL task: only <Tasks><SQL> is served")
    from maxlake.service import instances  # noqa: PLC0415 - see above

    config = {
        entry.findtext("Name", ""): entry.findtext("Value", "") for entry in task.iterfind("Config/Property")
    }
    instance = instances.submit(
        call.project,
        task_name=task.findtext("Name", "").strip() or "AnonymousSQLTask",
        query=task.findtext("Query", ""),
        settings=_settings(config.get("settings")),
        uuid=config.get("uuid", ""),
        priority=_priority(job.findtext("Priority")),
        principal=call.principal,
    )
    location = f"http://{call.host}{quote(call.path.rstrip('/'))}/{instance.instance_id}"
    return Reply(b"", "application/xml", 201, (("location", location),))


def _settings(text: str | None) -> dict[str, str]:
    try:
        settings: Any = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise invalid_argument(f"the job's settings are not JSON: {error}") from error
    if not isinstance(settings, dict):
        raise invalid_argument("the job's settings are not a JSON object")
    return {str(name): str(value) for name, value in settings.items()}


def _priority(text: str | None) -> int:
    value = (text or "").strip() or str(_DEFAULT_PRIORITY)
    if not value.isdecimal() or len(value) > 2:
        raise invalid_argument(f"the job's priority is not a number from 0 to 99: {value[:16]!r}")
    return int(value)


def show(call: RestCall) -> Reply:
    """``GET instances/I``: status, tasks, result or source, as the query says (rest.md §6.2)."""
    instance = _found(call)
    if call.parameters.flag("source"):
        return xml_reply(_source(instance))
    headers = (
        ("x-odps-owner", instance.owner),
        ("x-odps-start-time", http_date(instance.started_at)),
        ("x-odps-end-time", http_date(instance.ended_at)),
    )
    if call.parameters.flag("result"):
        return xml_reply(element("Instance", None, _tasks(instance, _result(instance))), *headers)
    status = element("Status", "Terminated")
    if call.parameters.flag("taskstatus"):
        return xml_reply(
            element("Instance", None, status, _tasks(instance, *_task_status(instance))), *headers
        )
    return xml_reply(element("Instance", None, status), *headers)


def _found(call: RestCall) -> Instance:
    from maxlake.service import instances  # noqa: PLC0415 - see above

    return instances.get(call.project, call.names["instance"], call.principal)


def _tasks(instance: Instance, *children: Element) -> Element:
    return element(
        "Tasks", None, element("Task", None, element("Name", instance.task_name), *children, Type="SQL")
    )


def _task_status(instance: Instance) -> tuple[Element, ...]:
    return (
        element("StartTime", http_date(instance.started_at)),
        element("EndTime", http_date(instance.ended_at)),
        element("Status", "Success" if instance.succeeded else "Failed"),
    )


def _result(instance: Instance) -> Element:
    text = base64.b64encode(instance.result.encode()).decode()
    return element("Result", text, Transform="Base64", Format="text")


def _source(instance: Instance) -> Element:
    """Return the bare job; wrapping it into an Instance breaks clients (rest.md §6.2)."""
    settings = element(
        "Property",
        None,
        element("Name", "settings"),
        element("Value", json.dumps(dict(instance.settings))),
    )
    task = element(
        "SQL",
        None,
        element("Name", instance.task_name),
        element("Config", None, settings),
        element("Query", instance.query),
    )
    return element(
        "Job",
        None,
        element("Name", "job"),
        element("Comment", ""),
        element("Priority", str(_DEFAULT_PRIORITY)),
        element("Tasks", None, task),
        element("DAG", None, element("RunMode", "Sequence")),
    )


def stop(call: RestCall) -> Reply:
    """``PUT instances/I``: accepted for an instance that exists; it has ended already."""
    _found(call)
    return Reply(b"", "application/xml")


def download(call: RestCall) -> Reply:
    """``POST instances/I?downloads``: no statement has rows yet, so clients fall back (rest.md §8.3)."""
    _found(call)
    raise invalid_argument("this instance has no rows to download: read its result")
