"""What was recorded from a real server is answered again without one, and tells no secrets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pytest

from maxlake.client import StorageApiArrowClient
from maxlake.protocol.headers import WRITE_ACCESS_TOKEN_HEADER
from maxlake.testing import LocalServer, NotRecordedError, Replay, local_server, record, replay
from maxlake.testing.recording import (
    REMOVED,
    Exchange,
    RecordedAnswer,
    RecordedRequest,
    RecordingWriter,
    read_recording,
)
from odps import ODPS, errors

ROWS = pa.record_batch({"id": [1, 2, 3], "name": ["a", None, "c"]})


def pipeline(odps: ODPS) -> dict[str, list[Any]]:
    """REST, SQL, the Storage API both ways, the tunnel, and an error."""
    table = odps.create_table("t", "id bigint, name string")
    client = StorageApiArrowClient(odps, table)
    session = client.create_write_session().session_id
    client.create_write_stream(session, 0)
    client.get_write_stream(session, "0", 0, exactly_once_mode=True)
    token = client.get_write_stream(session, "0", 0, exactly_once_mode=True).access_token
    writer = client.write_rows_arrow(session, 0, row_offset=0, access_token=token)
    writer.write(ROWS)
    writer.finish()
    client.close_write_stream(session, 0)
    client.commit_write_session(session)
    with pytest.raises(errors.ODPSError):
        client.create_read_session(required_data_columns=["nowhere"])
    with odps.execute_sql("select sum(id) as n from t").open_reader() as reader:
        (total,) = [record["n"] for record in reader]
    read = client.read_rows_arrow(client.create_read_session().session_id, 0).read()
    with table.open_reader() as reader:
        names = [each["name"] for each in reader]
    assert not odps.exist_table("missing")
    return {"total": [total], "read": read.to_pylist(), "names": names}


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    key = {"MAXLAKE_ACCESS_ID": "the-access-id", "MAXLAKE_ACCESS_SECRET": "hush"}
    with local_server(environment=key) as running:
        yield running


def entry(server: LocalServer, endpoint: str) -> ODPS:
    return ODPS(server.access_id, server.secret, server.project, endpoint=endpoint)


@pytest.fixture(scope="module")
def recorded(
    server: LocalServer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, list[Any]]]:
    path = tmp_path_factory.mktemp("recorded") / "traffic.jsonl"
    with record(path, server.endpoint) as recorder:
        found = pipeline(entry(server, recorder.endpoint))
    server.odps().delete_table("t")
    assert found == {"total": [6], "read": ROWS.to_pylist(), "names": ["a", None, "c"]}
    return path, found


def test_a_recorded_run_is_replayed(recorded: tuple[Path, dict[str, list[Any]]]) -> None:
    path, found = recorded
    for _ in range(2):
        with replay(path) as service:
            assert pipeline(service.odps("demo")) == found


def test_no_secret_is_recorded(server: LocalServer, recorded: tuple[Path, object]) -> None:
    text = recorded[0].read_text()
    _, exchanges = read_recording(recorded[0])
    assert len(exchanges) > 20
    assert {each.request.header("authorization") for each in exchanges} == {REMOVED}
    assert REMOVED in {each.request.header(WRITE_ACCESS_TOKEN_HEADER) for each in exchanges}
    assert f'\\"AccessToken\\":\\"{REMOVED}\\"' in text
    for secret in (server.access_id, server.secret, "127.0.0.1"):
        assert secret not in text


def ask_for_another_column(service: Replay) -> None:
    odps = service.odps("demo")
    client = StorageApiArrowClient(odps, odps.get_table("t"))
    with pytest.raises(errors.ODPSError, match=r"RequiredDataColumns.*recorded is .*nowhere") as caught:
        client.create_read_session(required_data_columns=["id"])
    assert (caught.value.code, caught.value.status_code) == ("NotRecorded", 400)


def test_what_was_not_recorded_is_an_error(recorded: tuple[Path, object]) -> None:
    with pytest.raises(NotRecordedError, match="RequiredDataColumns"), replay(recorded[0]) as service:
        ask_for_another_column(service)
    with (
        pytest.raises(NotRecordedError, match=r"/tables/other.*recorded is GET /api/projects/demo/tables/"),
        replay(recorded[0]) as service,
        pytest.raises(errors.ODPSError, match="NotRecorded"),
    ):
        service.odps("demo").get_table("other").reload()


def test_it_is_noted_where_the_test_fails_anyway(recorded: tuple[Path, object]) -> None:
    def fail(service: Replay) -> None:
        ask_for_another_column(service)
        raise KeyError("mine")

    with pytest.raises(KeyError) as failed, replay(recorded[0]) as service:
        fail(service)
    assert "RequiredDataColumns" in failed.value.__notes__[0]


def test_rows_can_be_left_out(server: LocalServer, tmp_path: Path) -> None:
    server.odps().create_table("secretive", "name string")
    server.odps().execute_sql("insert into secretive values ('confidential')")
    path = tmp_path / "traffic"
    with record(path, server.endpoint, rows=False) as recorder:
        odps = entry(server, recorder.endpoint)
        table = odps.get_table("secretive")
        client = StorageApiArrowClient(odps, table)
        session = client.create_read_session().session_id
        assert client.read_rows_arrow(session, 0).read().num_rows == 1
        with table.open_reader() as reader:
            list(reader)
    assert "confidential" not in path.read_text()
    left_out = [each.response.rows_left_out for each in read_recording(path)[1]]
    assert len([size for size in left_out if size]) == 2
    with (
        pytest.raises(NotRecordedError, match="left out"),
        replay(path) as service,
        pytest.raises(errors.ODPSError, match="left out"),
    ):
        StorageApiArrowClient(
            service.odps("demo"), table, rest_endpoint=service.endpoint.removesuffix("/api")
        ).read_rows_stream(session, 0).read()


def test_answers_come_in_their_order(tmp_path: Path) -> None:
    with closing(RecordingWriter(tmp_path / "traffic", "/api")) as writer:
        for state in (b"Running", b"Running", b"Terminated"):
            request = RecordedRequest(method="GET", target="/api/projects/p/instances/i?a=1&b=%2F")
            body = b"<Instance><Status>%s</Status></Instance>" % state
            writer.add(Exchange(request=request, response=RecordedAnswer(status=200, body=body.decode())))
    with replay(tmp_path / "traffic") as service:
        client = HTTPConnection(urlsplit(service.endpoint).netloc)
        found = []
        for _ in range(5):
            client.request("GET", "/api/projects/p/instances/i?b=/&a=%31", headers={"Date": "now"})
            found.append(client.getresponse().read()[18:28])
        client.close()
    assert found == [b"Running</S"] * 2 + [b"Terminated"] * 3


@pytest.mark.parametrize(
    "content", [b"", b"text", b'{"format": "other"}', b'{"format":"maxlake recording","version":2,"path":""}']
)
def test_what_is_no_recording_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "traffic").write_bytes(content)
    with pytest.raises(ValueError, match="line 1"), replay(tmp_path / "traffic"):
        pass
    with pytest.raises(FileExistsError), record(tmp_path / "traffic", "http://127.0.0.1:1/api"):
        pass
    RecordingWriter(tmp_path / "damaged", "/api").close()
    with (tmp_path / "damaged").open("ab") as file:
        file.write(b"{}\n")
    with pytest.raises(ValueError, match="line 2"), replay(tmp_path / "damaged"):
        pass


def test_only_http_is_recorded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ftp"), record(tmp_path / "traffic", "ftp://127.0.0.1/api"):
        pass
    assert not (tmp_path / "traffic").exists()
