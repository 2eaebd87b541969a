"""SQL instances (rest.md §6).

The SQL parser takes a quarter of a second to import: the first instance pays for it, not every start.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from maxlake.protocol.enums import InstanceStatus, TaskKind
from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.limits import MAX_LISTED
from maxlake.server.exchange import Reply
from maxlake.server.rest import xml
from maxlake.server.rest.call import RestCall, http_date, xml_reply
from maxlake.server.rest.xml import element

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from maxlake.service.instances import Instance

_DEFAULT_PRIORITY = 9


def create(call: RestCall) -> Reply:
    """``POST instances``: run the job's one task; 201 with its Location (rest.md §6.1)."""
    job = xml.parse(call.body).find("Job")
    found = [] if job is None else [(kind, job.find(f"Tasks/{kind}")) for kind in TaskKind]
    kind, task = next(((kind, task) for kind, task in found if task is not None), (TaskKind.SQL, None))
    if job is None or task is None:
        raise invalid_argument("the job holds no SQL task: only <Tasks><SQL> and <Tasks><SQLCost> are served")
    from maxlake.service import instances  # noqa: PLC0415 - see above

    config = {
        entry.findtext("Name", ""): entry.findtext("Value", "") for entry in task.iterfind("Config/Property")
    }
    instance = instances.submit(
        call.project,
        task_name=task.findtext("Name", "").strip() or f"Anonymous{kind}Task",
        query=task.findtext("Query", ""),
        settings=_settings(config.get("settings")),
        uuid=config.get("uuid", ""),
        priority=_priority(job.findtext("Priority")),
        principal=call.principal,
        kind=kind,
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
    """``GET instances/I``: status, tasks, result, source or progress, as the query says (rest.md §6.2)."""
    instance = _found(call)
    answer = next((answer for name, answer in _ASKED.items() if call.parameters.flag(name)), _status)
    return answer(call, instance)


def _found(call: RestCall) -> Instance:
    from maxlake.service import instances  # noqa: PLC0415 - see above

    return instances.get(call.project, call.names["instance"], call.principal)


def _status(_: RestCall, instance: Instance) -> Reply:
    return xml_reply(element("Instance", None, _instance_status(instance)), *_headers(instance))


def _task_status(_: RestCall, instance: Instance) -> Reply:
    times = [element("StartTime", http_date(instance.started_at))]
    if instance.ended_at is not None:
        times.append(element("EndTime", http_date(instance.ended_at)))
    tasks = _tasks(instance, *times, element("Status", instance.status))
    return xml_reply(element("Instance", None, _instance_status(instance), tasks), *_headers(instance))


def _result(call: RestCall, instance: Instance) -> Reply:
    """Answer the rows of a query as CSV (rest.md §8.3), all else as text."""
    text, form = instance.result, "text"
    if instance.succeeded and instance.plan is not None:
        from maxlake.service import instances, results  # noqa: PLC0415 - see above

        found = instances.rows_of(call.project, instance.instance_id, call.principal)
        text, form = results.as_text(call.project, found), "csv"
    encoded = base64.b64encode(text.encode()).decode()
    tasks = _tasks(instance, element("Result", encoded, Transform="Base64", Format=form))
    return xml_reply(element("Instance", None, tasks), *_headers(instance))


def _instance_status(instance: Instance) -> Element:
    """Return the state of the whole: it has ended exactly when its task has (rest.md §6.2)."""
    return element("Status", "Terminated" if instance.status.ended else "Running")


def _headers(instance: Instance) -> tuple[tuple[str, str], ...]:
    headers = (("x-odps-owner", instance.owner), ("x-odps-start-time", http_date(instance.started_at)))
    if instance.ended_at is None:
        return headers
    return (*headers, ("x-odps-end-time", http_date(instance.ended_at)))


def _tasks(instance: Instance, *children: Element) -> Element:
    return element(
        "Tasks",
        None,
        element("Task", None, element("Name", instance.task_name), *children, Type=instance.kind),
    )


def _source(_: RestCall, instance: Instance) -> Reply:
    """Answer the bare job; wrapping it into an Instance breaks clients (rest.md §6.2)."""
    settings = element(
        "Property",
        None,
        element("Name", "settings"),
        element("Value", json.dumps(dict(instance.settings))),
    )
    task = element(
        instance.kind,
        None,
        element("Name", instance.task_name),
        element("Config", None, settings),
        element("Query", instance.query),
    )
    job = element(
        "Job",
        None,
        element("Name", "job"),
        element("Comment", ""),
        element("Priority", str(instance.priority)),
        element("Tasks", None, task),
        element("DAG", None, element("RunMode", "Sequence")),
    )
    return xml_reply(job)


def _progress(_: RestCall, instance: Instance) -> Reply:
    """Answer one stage with one worker."""
    done, running = int(instance.status.ended), int(instance.status is InstanceStatus.RUNNING)
    counts = {
        "BackupWorkers": 0,
        "TerminatedWorkers": done,
        "RunningWorkers": running,
        "TotalWorkers": 1,
        "InputRecords": 0,
        "OutputRecords": 0 if instance.plan is None else instance.plan.record_count,
        "FinishedPercentage": 100 * done,
    }
    stage = [element(name, str(count)) for name, count in counts.items()]
    return xml_reply(element("Progress", None, element("Stage", None, *stage, ID="M1_job_0")))


def _queueing(call: RestCall, instance: Instance) -> Reply:
    return Reply(json.dumps(_queueing_info(call, instance)).encode(), "application/json")


def _queueing_info(call: RestCall, instance: Instance) -> dict[str, object]:
    """Return what PyODPS's ``InstanceQueueingInfo`` reads."""
    return {
        "instanceId": instance.instance_id,
        "instancePriority": instance.priority,
        "instanceProcess": 100.0 * instance.status.ended,
        "jobName": "job",
        "projectName": call.project.name,
        "startTime": instance.started_at.strftime("%Y-%m-%d %H:%M:%S"),
        "status": "Terminated" if instance.status.ended else "Running",
        "taskName": instance.task_name,
        "taskType": instance.kind,
        "userAccount": instance.owner,
    }


def _nothing(_: RestCall, __: Instance) -> Reply:
    """Answer what is only asked for by curiosity: costs, plans, logs."""
    return Reply(b"{}", "application/json")


_ASKED: dict[str, Callable[[RestCall, Instance], Reply]] = {
    "source": _source,
    "result": _result,
    "taskstatus": _task_status,
    "instanceprogress": _progress,
    "instancesummary": _nothing,
    "instancedetail": _nothing,
    "detail": _nothing,
    "cached": _queueing,
    "instancequota": _nothing,
    "info": _nothing,
    "log": _nothing,
}


def list_all(call: RestCall) -> Reply:
    """``GET instances``: a page of the caller's, the newest first, with the marker of the next one."""
    page, head = _page(call)
    return xml_reply(element("Instances", None, *head, *map(_entry, page)))


def list_queueing(call: RestCall) -> Reply:
    """``GET cachedinstances``: the same page as PyODPS's queueing infos, JSON in XML."""
    page, head = _page(call)
    infos = json.dumps([_queueing_info(call, instance) for instance in page])
    return xml_reply(element("Instances", None, *head, element("Content", infos)))


def _page(call: RestCall) -> tuple[list[Instance], tuple[Element, ...]]:
    from maxlake.service import instances  # noqa: PLC0415 - see above

    limit = max(1, min(call.parameters.unsigned("maxitems") or MAX_LISTED, MAX_LISTED))
    first, last = _date_range(call.parameters.text("daterange") or "")
    found = instances.list_instances(
        call.project,
        call.principal,
        first=first,
        last=last,
        status=_statuses(call.parameters.text("status")),
        before=call.parameters.text("marker") or "",
        limit=limit + 1,
    )
    page, marker = found[:limit], found[limit - 1].instance_id if len(found) > limit else ""
    return page, (element("Marker", marker), element("MaxItems", str(limit)))


def _entry(instance: Instance) -> Element:
    ended = [] if instance.ended_at is None else [element("EndTime", http_date(instance.ended_at))]
    return element(
        "Instance",
        None,
        element("Name", instance.instance_id),
        element("Owner", instance.owner),
        element("StartTime", http_date(instance.started_at)),
        *ended,
        _instance_status(instance),
    )


def _date_range(text: str) -> tuple[datetime | None, datetime | None]:
    """Read ``first:last`` in seconds since 1970, either of them perhaps empty."""
    first, _, last = text.partition(":")
    try:
        return _moment(first), _moment(last)
    except (ValueError, OverflowError, OSError) as error:
        raise invalid_argument(f"daterange is not first:last in seconds: {text[:64]!r}") from error


def _moment(text: str) -> datetime | None:
    return datetime.fromtimestamp(int(text), UTC) if text.strip() else None


def _statuses(text: str | None) -> list[InstanceStatus]:
    if not text:
        return []
    if text.lower() not in ("running", "suspended", "terminated"):
        raise invalid_argument(f"status is none of Running, Suspended, Terminated: {text[:64]!r}")
    ended = text.lower() == "terminated"
    return [status for status in InstanceStatus if status.ended is ended]


def stop(call: RestCall) -> Reply:
    """``PUT instances/I``: stop it; harmless once it has ended."""
    from maxlake.service import instances  # noqa: PLC0415 - see above

    instances.stop(call.project, call.names["instance"], call.principal)
    return Reply(b"", "application/xml")
