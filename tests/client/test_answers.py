"""What the client makes of answers: captured ones, and wrong ones."""

from typing import Any

import pyarrow as pa
import pytest

from maxlake.client import Compression, SessionStatus
from maxlake.client.errors import MalformedAnswerError, TruncatedStreamError
from odps import errors
from tests.client.replay import ReplayServer, Reply, captured, instance

HEADERS = {"x-odps-request-id": "req-7", "x-odps-max-storage-route-token": "rt-7"}


def answered(label: str, call: str, *args: Any, **options: Any) -> Any:
    _, reply = captured(label)
    with ReplayServer(reply) as server:
        return getattr(server.client(**options), call)(*args)


def answered_with(body: Any, call: str, *args: Any) -> Any:
    with ReplayServer(Reply(body, headers=HEADERS)) as server:
        return getattr(server.client(), call)(*args)


def test_a_read_session() -> None:
    response = answered("create-read-session", "create_read_session")
    assert (response.session_id, response.session_status) == ("rs-1", SessionStatus.NORMAL)
    assert (response.splits_count, response.record_count) == (2, -1)
    assert response.session_type == "BATCH_READ"
    assert response.expiration_time == 1795448664402
    assert [(each.name, each.type, each.nullable) for each in response.data_schema.data_columns] == [
        ("id", "bigint", True),
        ("name", "string", True),
    ]
    assert [each.name for each in response.data_schema.partition_columns] == ["pt"]
    assert [(each.type, each.version) for each in response.supported_data_format] == [("Arrow", "V5")]
    assert (response.split_mode, response.split_bucket_id) == ("Size", [])
    assert (response.session_stats.estimated_size, response.session_stats.estimated_row_count) == (1024, 5)
    assert (response.latest_version, response.message, response.enable_large_string) == (150, "", False)
    assert response.incremental_read_options.mode == "append"
    assert (response.request_id, response.route_token) == ("req-00154", "rt;127.0.0.1:18902;154")


@pytest.mark.parametrize(
    ("label", "attribute"),
    [
        ("absent-sessionstatus", "session_status"),
        ("absent-dataschema", "data_schema"),
        ("absent-splitscount", "splits_count"),
        ("absent-expirationtime", "expiration_time"),
        ("absent-splitmode", "split_mode"),
        ("absent-recordcount", "record_count"),
        ("absent-supporteddataformat", "supported_data_format"),
    ],
)
def test_what_is_absent_is_none(label: str, attribute: str) -> None:
    response = answered(label, "create_read_session")
    assert response.session_id == "rs-1"
    assert getattr(response, attribute) is None


def test_spellings_that_services_use() -> None:
    assert answered("lower-sessionstatus", "create_read_session").session_status is SessionStatus.NORMAL
    assert answered("string-expiration", "create_read_session").expiration_time == "2023-01-01T12:00:00Z"


def test_an_instance_session() -> None:
    response = answered("instance-create", "create_read_session", subject=instance())
    assert (response.session_id, response.download_id) == ("dl-1", "dl-1")
    assert response.session_status is response.status is SessionStatus.NORMAL
    assert response.record_count == 5


def test_a_session_that_is_not_ready_yet() -> None:
    response = answered("instance-status-initiating", "create_read_session", subject=instance())
    assert response.session_status is response.status is SessionStatus.INIT


ALL = [f"v{number}" for number in range(5)]


@pytest.mark.parametrize(
    ("label", "names"),
    [
        ("read-idx-ipc-none", ALL),
        ("read-idx-ipc-compression-zstd", ALL),
        ("read-idx-ipc-compression-lz4-frame", ALL),
        ("read-plain-though-zstd-asked", ALL),
        ("read-offset-count", ALL[1:3]),
    ],
)
def test_rows_are_read_however_they_are_packed(label: str, names: list[str]) -> None:
    _, reply = captured(label)
    with ReplayServer(reply) as server:
        reader = server.client().read_rows_arrow("rs-1", 0, compression=Compression.ZSTD)
        batches = list(iter(reader.read, None))
    assert [name for batch in batches for name in batch["name"].to_pylist()] == names
    assert reader.get_request_id() == reply.headers["x-odps-request-id"]


@pytest.mark.parametrize(
    ("label", "call", "rows"), [("preview", "preview_table", 5), ("instance-read", "read_rows_stream", 2)]
)
def test_previews_and_rows_of_instances(label: str, call: str, rows: int) -> None:
    _, reply = captured(label)
    with ReplayServer(reply) as server:
        client = server.client(subject=instance() if label.startswith("instance") else None)
        stream = getattr(client, call)(*["dl-1"] * (call == "read_rows_stream"))
        assert pa.ipc.open_stream(stream).read_all().num_rows == rows


@pytest.mark.parametrize(
    ("label", "error"),
    [
        # A body compressed as a whole is what MaxStorage alone can read (wire.md §6).
        ("read-body-compressed-compression-zstd", MalformedAnswerError),
        ("read-body-compressed-compression-lz4-frame", MalformedAnswerError),
        ("truncated-arrow-body", TruncatedStreamError),
    ],
)
def test_rows_that_cannot_be_read_are_an_error(label: str, error: type[errors.ODPSError]) -> None:
    _, reply = captured(label)
    with ReplayServer(reply) as server, pytest.raises(error) as caught:
        server.client().read_rows_stream("rs-1", 0).read()
    assert caught.value.request_id == reply.headers["x-odps-request-id"]


@pytest.mark.parametrize(
    ("label", "offset"),
    [
        ("write-none", None),
        ("write-compression-zstd", None),
        ("write-compression-lz4-frame", None),
        ("write-exactly-once", 6),
    ],
)
def test_uploads_are_acknowledged(label: str, offset: int | None) -> None:
    request, reply = captured(label)
    with ReplayServer(reply) as server:
        writer = server.client().write_rows_stream("ws-1", 0)
        writer.write(request["bytes"])
        message, succeeded = writer.finish()
    assert message.startswith("cm-")
    assert succeeded
    response = writer.get_write_stream_response()
    assert (response and response.exactly_once_row_offset) == offset


@pytest.mark.parametrize(
    ("label", "status", "code"),
    [("write-answered-201", 201, "201"), ("error-on-write", 400, "SchemaMismatch")],
)
def test_uploads_are_refused(label: str, status: int, code: str) -> None:
    """0.13.0 said nothing of the first (wire.md §3.1)."""
    request, reply = captured(label)
    with ReplayServer(reply) as server:
        writer = server.client().write_rows_stream("ws-1", 0)
        writer.write(request["bytes"])
        with pytest.raises(errors.ODPSError) as caught:
            writer.finish()
    assert (caught.value.status_code, caught.value.code) == (status, code)


@pytest.mark.parametrize("label", ["absent-sessionid", "unknown-sessionstatus"])
def test_a_session_nobody_can_use_is_an_error(label: str) -> None:
    with pytest.raises(MalformedAnswerError) as caught:
        answered(label, "create_read_session")
    assert isinstance(caught.value, errors.ODPSError)
    assert caught.value.request_id
    assert caught.value.status_code == 200


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b'"x"', b"\xff", b"[" * 100_000])
@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("create_read_session", ()),
        ("get_read_session", ("s",)),
        ("create_write_session", ()),
        ("get_write_session", ("s",)),
        ("create_write_stream", ("s", 0)),
        ("get_write_stream", ("s", "0", 0)),
        ("close_write_stream", ("s", 0)),
        ("commit_write_session", ("s",)),
        ("abort_write_session", ("s",)),
    ],
)
def test_an_answer_that_is_no_object_is_an_error(body: bytes, call: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(MalformedAnswerError) as caught:
        answered_with(body, call, *arguments)
    assert caught.value.request_id == "req-7"


def test_a_write_session_without_id_is_an_error() -> None:
    with pytest.raises(MalformedAnswerError, match="names no session"):
        answered_with({"WarningMessage": ""}, "create_write_session")


def test_a_field_of_the_wrong_type_is_an_error() -> None:
    with pytest.raises(MalformedAnswerError, match="SplitsCount"):
        answered_with({"SessionId": "s", "SplitsCount": "many"}, "create_read_session")


def test_write_sessions_and_streams() -> None:
    session = answered("create-write-session", "create_write_session")
    assert (session.session_id, session.warning_message) == ("ws-1", "")
    assert (session.request_id, session.route_token) == ("req-00170", "rt;127.0.0.1:18902;170")
    stream = answered("create-write-stream-int-id", "create_write_stream", "ws-1", 0)
    assert stream.data_schema["Columns"][0] == {"Name": "id", "Type": "bigint"}
    assert (stream.access_token, stream.request_id) == (None, "req-00172")
    state = answered("get-write-stream", "get_write_stream", "ws-1", "0", 0)
    assert (state.status, state.record_count, state.byte_size) == ("OPEN", 3, 100)
    assert (state.error_code, state.error_message, state.latest_schema_version) == ("", "", 7)
    assert (state.row_offset, state.access_token, state.request_id) == (None, None, "req-00173")
    exact = answered("get-write-stream-eo", "get_write_stream", "ws-1", "0", 0)
    assert (exact.row_offset, exact.access_token) == (3, "tok-2")
    closed = answered("close-write-stream", "close_write_stream", "ws-1", 0)
    assert (closed.warning_message, closed.request_id) == ("", "req-00183")
    assert answered("commit", "commit_write_session", "ws-1") is None
    assert answered("abort", "abort_write_session", "ws-1") is None


@pytest.mark.parametrize(
    ("streams", "expected"),
    [
        ({"stream-0": 1}, [{"StreamId": "stream-0", "StreamVersion": 1}]),
        ([{"StreamId": "0", "Status": "OPEN"}], [{"StreamId": "0", "Status": "OPEN"}]),
        (None, None),
    ],
)
def test_streams_are_the_documented_list(streams: Any, expected: Any) -> None:
    response = answered_with({"Streams": streams, "Unknown": 1}, "get_write_session", "ws-1")
    assert response.streams == expected
    assert (response.request_id, response.route_token) == ("req-7", "rt-7")


def test_models_are_made_by_keyword_and_mutable() -> None:
    from maxlake import client

    for name in client.__all__:
        kind = getattr(client, name)
        if name.endswith("Response"):
            made = kind()
            assert all(getattr(made, field) is None for field in kind.__struct_fields__), name
            made.request_id = "changed"
            assert kind(request_id="changed") == made
