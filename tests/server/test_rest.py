"""REST answers over a real service, as PyODPS reads them."""

from __future__ import annotations

import base64
import json
from xml.etree import ElementTree as ET

import pytest

from maxlake.protocol.errors import BadRequestError
from maxlake.server.rest import xml

JOB = """<?xml version="1.0" encoding="utf-8"?>
<Instance><Job><Priority>9</Priority><Tasks><SQL><Name>{task}</Name>
<Config><Property><Name>settings</Name><Value>{{"odps.sql.submit.mode": ""}}</Value></Property>
<Property><Name>uuid</Name><Value>{uuid}</Value></Property></Config>
<Query><![CDATA[{query}]]></Query></SQL></Tasks><DAG><RunMode>Sequence</RunMode></DAG></Job></Instance>"""
CREATE = (
    "CREATE TABLE p.`{}` (\nid bigint NOT NULL, name string COMMENT 'a <b> & c'\n)\n"
    "PARTITIONED BY (\npt string\n);"
)


def _submit(call, query: str, uuid: str, task: str = "SQLCreateTableTask") -> str:
    body = JOB.format(query=query, uuid=uuid, task=task).encode()
    answer = call("POST", "/api/projects/p/instances?curr_project=p", body)
    assert answer.status == 201, answer.body
    assert answer.headers["location"].startswith("http://caller.test:81/api/projects/p/instances/")
    return answer.headers["location"].rpartition("/")[2]


def _get(call, path: str) -> ET.Element:
    answer = call("GET", f"/api/projects/p/{path}")
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/xml"
    return ET.fromstring(answer.body)


@pytest.fixture
def table(call) -> str:
    _submit(call, CREATE.format("t"), "u1")
    return "tables/t"


def test_a_table_is_described(call, table):
    root = _get(call, table)
    assert root.findtext("Name") == "t"
    schema = json.loads(root.findtext("Schema"))
    columns = [(column["name"], column["type"], column["isNullable"]) for column in schema["columns"]]
    assert columns == [("id", "bigint", False), ("name", "string", True)]
    assert schema["columns"][1]["comment"] == "a <b> & c"
    assert [(column["name"], column["type"]) for column in schema["partitionKeys"]] == [("pt", "string")]
    assert (schema["lifecycle"], schema["isVirtualView"], schema["recordNum"]) == (-1, False, 0)
    assert "Reserved" not in schema


def test_extended_adds_json_inside_json(call, table):
    schema = json.loads(_get(call, f"{table}?extended").findtext("Schema"))
    assert json.loads(schema["Reserved"])["Transactional"] == "false"
    assert schema["FileNum"] == 0


def test_tables_are_listed_in_pages_and_by_prefix(call, table):
    _submit(call, CREATE.format("t2"), "u2")
    _submit(call, CREATE.format("other"), "u3")

    def names(query: str) -> tuple[list[str], str]:
        root = _get(call, f"tables?expectmarker=true{query}")
        return [entry.findtext("Name") for entry in root.iterfind("Table")], root.findtext("Marker") or ""

    assert names("") == (["other", "t", "t2"], "")
    assert names("&name=t") == (["t", "t2"], "")
    first, marker = names("&maxitems=2")
    assert first == ["other", "t"]
    assert marker
    assert names(f"&maxitems=2&marker={marker}") == (["t2"], "")


def test_partitions_are_listed_filtered_and_shown(call, table):
    for day in ("20230101", "20230102", "20230103"):
        query = f"ALTER TABLE p.`t` ADD IF NOT EXISTS  PARTITION (pt='{day}');"
        _submit(call, query, f"u{day}", "SQLAddPartitionTask")

    def values(query: str) -> tuple[list[str], str]:
        root = _get(call, f"{table}?partitions&expectmarker=true{query}")
        found = [entry.get("Value") for entry in root.iterfind("Partition/Column")]
        return found, root.findtext("Marker") or ""

    assert values("") == (["20230101", "20230102", "20230103"], "")
    assert values("&partition=pt%3D%2720230102%27") == (["20230102"], "")
    first, marker = values("&maxitems=2")
    assert values(f"&maxitems=2&marker={marker}") == (["20230103"], "")
    assert len(first) == 2
    schema = json.loads(_get(call, f"{table}?partition=pt%3D%2720230101%27").findtext("Schema"))
    assert schema["partitionRecordNum"] == 0
    missing = call("GET", f"/api/projects/p/{table}?partition=pt%3D%271999%27")
    assert (missing.status, ET.fromstring(missing.body).findtext("Code")) == (404, "NoSuchPartition")
    assert call("GET", f"/api/projects/p/{table}?partition=").status == 400
    assert call("GET", f"/api/projects/p/{table}?partition=nokey").status == 400


def test_an_instance_is_polled_and_read_back(call):
    instance = _submit(call, CREATE.format("t"), "u1")
    assert _get(call, f"instances/{instance}").findtext("Status") == "Terminated"
    status = _get(call, f"instances/{instance}?taskstatus")
    assert status.findtext("Tasks/Task/Status") == "Success"
    assert status.find("Tasks/Task").get("Type") == "SQL"
    source = _get(call, f"instances/{instance}?source")
    assert (source.tag, source.findtext("Tasks/SQL/Query")) == ("Job", CREATE.format("t"))
    result = _get(call, f"instances/{instance}?result").find("Tasks/Task/Result")
    assert result.get("Format") == "text"
    download = call("POST", f"/projects/p/instances/{instance}?downloads")
    assert download.status == 400
    assert call("PUT", f"/api/projects/p/instances/{instance}", b"<Instance/>").status == 200


def test_the_same_uuid_is_the_same_instance(call):
    assert _submit(call, CREATE.format("t"), "u1") == _submit(call, CREATE.format("t"), "u1")


def test_a_failing_statement_is_a_failed_instance(call):
    instance = _submit(call, "DROP TABLE p.`nothing`;", "u1", "SQLDropTableTask")
    assert _get(call, f"instances/{instance}?taskstatus").findtext("Tasks/Task/Status") == "Failed"
    text = _get(call, f"instances/{instance}?result").findtext("Tasks/Task/Result")
    assert b"ODPS-0130131" in base64.b64decode(text)


def test_an_unknown_instance_is_no_such_object(call):
    answer = call("GET", "/api/projects/p/instances/nope")
    assert (answer.status, ET.fromstring(answer.body).findtext("Code")) == (404, "NoSuchObject")


def test_a_project_has_the_headers_that_reload_needs(call):
    answer = call("GET", "/api/projects/p")
    assert {"x-odps-owner", "x-odps-creation-time", "last-modified"} <= set(answer.headers)
    assert ET.fromstring(answer.body).findtext("State") == "AVAILABLE"


def test_tunnel_discovery_answers_with_the_callers_host(call):
    assert call("GET", "/api/projects/p/tunnel?service&quotaName=q").body == b"caller.test:81"


def test_the_rest_of_what_entry_objects_ask(call):
    assert call("GET", "/api/tenants?curr_project=p").json["TenantState"] == "NORMAL"
    assert call("PUT", "/api/projects/p/logs", b'{"x": 1}').status == 200
    token = call("POST", "/api/projects/p/authorization?sign_bearer_token", b"{}")
    assert ET.fromstring(token.body).tag == "Authorization"


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'
FETCH = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'


UNKNOWN_ENCODING = b'<?xml version="1.0" encoding="nope"?><x/>'
MALFORMED = [b"<x>", b"", b"<x/><y/>", b"<x>&a;</x>", UNKNOWN_ENCODING, b"\xff"]


@pytest.mark.parametrize("body", [BOMB, FETCH, b"<x>" * 100_000, *MALFORMED], ids=range(9))
def test_hostile_xml_is_refused(call, body):
    with pytest.raises(BadRequestError):
        xml.parse(body)
    if body:
        answer = call("POST", "/api/projects/p/instances", body)
        assert (answer.status, ET.fromstring(answer.body).findtext("Code")) == (400, "InvalidArgument")


@pytest.mark.parametrize(
    "body",
    [
        b"<Instance><Job><Tasks><MR/></Tasks></Job></Instance>",
        JOB.format(query="x", uuid="u", task="t").replace('{"', "[{").encode(),
        JOB.format(query="x", uuid="u", task="t").replace(">9<", ">high<").encode(),
    ],
)
def test_a_job_that_is_none_of_ours_is_400(call, body):
    assert call("POST", "/api/projects/p/instances", body).status == 400


def test_what_xml_cannot_hold_is_replaced():
    assert xml.parse(xml.document(xml.element("x", "a\x00b\ud800<&>"))).text == "a\ufffdb\ufffd<&>"
