"""Errors that leave the client are those of ``odps.errors``, with code, request id and status."""

import pickle
from typing import Any

import pytest

from maxlake.client.errors import (
    ClientError,
    ConnectFailedError,
    ConnectTimeoutError,
    UnexpectedStatusError,
    error_from_answer,
)
from maxlake.protocol.errors import (
    BadRequestError,
    BusyError,
    ConflictError,
    DeniedError,
    InternalError,
    MaxlakeError,
    NotFoundError,
)
from odps import errors
from tests.client.replay import ReplayServer, Reply, captured

CAPTURED: list[tuple[str, type[Exception], type[MaxlakeError], str, int]] = [
    (
        "error-400-code-invalidargument-message-bad",
        errors.InvalidArgument,
        BadRequestError,
        "InvalidArgument",
        400,
    ),
    ("error-404-code-nosuchtable-message-x", errors.NoSuchTable, NotFoundError, "NoSuchTable", 404),
    ("error-401-code-unauthorized-message-u", errors.Unauthorized, DeniedError, "Unauthorized", 401),
    ("error-403-code-nopermission-message-np", errors.NoPermission, DeniedError, "NoPermission", 403),
    (
        "error-409-code-invalidsessionstatus-message-st",
        errors.ODPSError,
        ConflictError,
        "InvalidSessionStatus",
        409,
    ),
    ("error-429-code-flowexceeded-message-slow", errors.FlowExceeded, BusyError, "FlowExceeded", 429),
    (
        "error-500-code-internalservererror-message-ise",
        errors.InternalServerError,
        InternalError,
        "InternalServerError",
        500,
    ),
    (
        "error-503-code-serviceunavailable-message-su",
        errors.ServiceUnavailable,
        BusyError,
        "ServiceUnavailable",
        503,
    ),
    ("error-308-code-slotreassignment-message-m", errors.ODPSError, InternalError, "SlotReassignment", 308),
    ("error-400-plain", errors.ODPSError, BadRequestError, "400", 400),
    ("error-404", errors.NoSuchObject, NotFoundError, "NoSuchObject", 404),
    (
        "error-400-xml-version-1-0-error-code-invalidargument-code-me",
        errors.InvalidArgument,
        BadRequestError,
        "InvalidArgument",
        400,
    ),
    ("error-400-message-only-message", errors.ODPSError, BadRequestError, "400", 400),
    (
        "error-400-code-odps-0420411-invalid-argument-message-co",
        errors.InvalidArgument,
        BadRequestError,
        "ODPS-0420411: Invalid argument - ",
        400,
    ),
]


@pytest.mark.parametrize(("label", "odps_class", "group", "code", "status"), CAPTURED)
def test_captured_errors(
    label: str, odps_class: type[Exception], group: type[MaxlakeError], code: str, status: int
) -> None:
    _, reply = captured(label)
    with ReplayServer(reply) as server:
        with pytest.raises(odps_class) as caught:
            server.client().create_read_session()
        assert len(server.requests) == 1, "a POST is never repeated"
    error: Any = caught.value
    assert isinstance(error, group)
    assert (error.code, error.status_code) == (code, status)
    assert error.request_id
    assert error.request_id in str(error)


def test_errors_of_streams() -> None:
    _, reply = captured("error-on-read-stream")
    with ReplayServer(reply) as server, pytest.raises(errors.ODPSError, match="gone") as caught:
        server.client().read_rows_stream("rs-1", 0)
    assert (caught.value.code, caught.value.status_code) == ("NoSuchSession", 404)


@pytest.mark.parametrize("status", [201, 202, 204, 206, 300, 302, 304, 308])
@pytest.mark.parametrize("call", ["create_read_session", "commit", "read", "write"])
def test_only_200_is_success(status: int, call: str) -> None:
    body = b"" if status in (204, 304) else b'{"SessionId":"s","CommitMessage":"m"}'
    with ReplayServer(Reply(body, status)) as server:
        client = server.client()
        calls = {
            "create_read_session": client.create_read_session,
            "commit": lambda: client.commit_write_session("s"),
            "read": lambda: client.read_rows_stream("s"),
            "write": lambda: client.write_rows_stream("s", 0).finish(),
        }
        with pytest.raises(UnexpectedStatusError, match="only 200") as caught:
            calls[call]()
    assert isinstance(caught.value, errors.ODPSError)
    assert (caught.value.status_code, caught.value.request_id) == (status, "req-1")


def test_no_server() -> None:
    with ReplayServer() as server:
        client = server.client()
    with pytest.raises(ConnectFailedError, match="nothing was sent") as caught:
        client.create_read_session()
    assert isinstance(caught.value, errors.ODPSError)
    assert caught.value.retryable


def made() -> list[ClientError]:
    return [
        error_from_answer(404, {"x-odps-request-id": "r"}, b'{"Code":"NoSuchTable","Message":"x"}', "http://h"),
        error_from_answer(400, {}, b'{"Code":"ODPS-0130161","Message":"x"}', "http://h"),
        error_from_answer(409, {}, b'{"Code":"RowOffsetMismatch","Message":"x"}', "http://h"),
        error_from_answer(302, {}, b"", "http://h"),
        ConnectTimeoutError("m", code="ConnectTimeout", endpoint="http://h"),
    ]  # fmt: skip


@pytest.mark.parametrize("error", made(), ids=lambda each: each.code)
def test_errors_cross_process_boundaries(error: ClientError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (copy.code, copy.request_id, copy.status_code) == (error.code, error.request_id, error.status_code)
    assert str(copy) == str(error)


def test_a_missing_codec_is_a_missing_dependency(monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa

    from maxlake.client import ArrowWriter, Compression

    class NoCodec:
        @staticmethod
        def is_available(name: str) -> bool:
            return False

    monkeypatch.setattr(pa, "Codec", NoCodec)
    with ReplayServer() as server:
        writer = server.client().write_rows_stream("s", 0)
        ArrowWriter(writer, Compression.UNCOMPRESSED)
        with pytest.raises(errors.DependencyNotInstalledError, match="zstd"):
            ArrowWriter(writer, Compression.ZSTD)
