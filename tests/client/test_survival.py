"""Calls that survive: broken connections, busy services, expired sessions, lost answers, wrong clocks."""

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

import pyarrow as pa
import pytest

from maxlake.client import Status, retry_budget, upload_spool
from maxlake.client.errors import (
    BrokenConnectionError,
    CommitOutcomeUnknownError,
    ConnectFailedError,
    MalformedAnswerError,
    TruncatedStreamError,
)
from maxlake.protocol.headers import WRITE_ACCESS_TOKEN_HEADER
from maxlake.protocol.limits import CLIENT_ATTEMPTS
from odps import errors
from tests.client.replay import HANG_UP, ReplayServer, Reply
from tests.client.test_streams import BATCHES, ROWS, ipc

ROW_COUNT = BATCHES[0].num_rows
EMPTY = ipc([BATCHES[0].slice(0, 0)])
SESSION = Reply({"SessionId": "s", "SessionStatus": "NORMAL"})
BUSY = Reply({"Code": "ServiceUnavailable", "Message": "stopping"}, 503)
EXPIRED = Reply({"Code": "InvalidSessionStatus", "Message": "the session has expired"}, 409)


def read_all(reader: Any) -> list[pa.RecordBatch]:
    batches: list[pa.RecordBatch] = []
    while (batch := reader.read()) is not None:
        batches.append(batch)
    return batches


# -- reads --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [*range(0, len(ROWS), 997), len(ROWS) - 8, len(ROWS) - 1])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_read_goes_on_at_the_row_it_had_come_to(cut: int, chunked: bool) -> None:
    with ReplayServer(Reply(ROWS, chunked=chunked, cut=cut), Reply(EMPTY)) as server:
        reader = server.client(retry_seconds=5).read_rows_arrow("s", 2, 100, 1600, skip_row_num=3)
        before = read_all(reader)
        assert reader.get_status() is Status.OK
        assert before[:-1] == BATCHES[: len(before) - 1]
        first, second = server.requests
        assert (first.params, first.json | {"SkipRowNum": 0}) == (
            second.params,
            second.json | {"SkipRowNum": 0},
        )
        assert (first.json["SkipRowNum"], second.json["SkipRowNum"]) == (3, 3 + ROW_COUNT * (len(before) - 1))


def test_a_read_survives_as_often_as_it_comes_further() -> None:
    replies = [Reply(ipc(BATCHES[number:]), cut=-20) for number in range(3)]
    with ReplayServer(*replies, Reply(EMPTY)) as server:
        reader = server.client(retry_seconds=5).read_rows_arrow("s", 0)
        assert read_all(reader)[:2] == BATCHES[:2]
        assert len(server.requests) == 4


def test_bytes_go_on_as_rows_do() -> None:
    with ReplayServer(Reply(ROWS, cut=len(ROWS) - 100), Reply(ipc(BATCHES[2:]))) as server:
        assert server.client(retry_seconds=5).read_rows_stream("s", 0).read() == ROWS


def test_another_schema_after_the_break_is_refused() -> None:
    other = ipc([pa.record_batch({"other": [1]})])
    with ReplayServer(Reply(ROWS, cut=len(ROWS) - 100), Reply(other)) as server:
        reader = server.client(retry_seconds=5).read_rows_arrow("s", 0)
        with pytest.raises(MalformedAnswerError, match="another schema"):
            read_all(reader)


def test_rows_that_never_come_are_given_up() -> None:
    with ReplayServer(Reply(ROWS[:-8]), Reply(EMPTY[:-8])) as server:
        reader = server.client(retry_seconds=60).read_rows_arrow("s", 0)
        with pytest.raises(TruncatedStreamError):
            read_all(reader)
        assert len(server.requests) == CLIENT_ATTEMPTS


def test_a_service_that_sends_the_same_rows_again_and_again_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retry_budget, "CLIENT_MOST_ATTEMPTS", 10)
    with ReplayServer(Reply(ROWS[:-8])) as server:
        reader = server.client(retry_seconds=60).read_rows_arrow("s", 0)
        with pytest.raises(TruncatedStreamError):
            read_all(reader)
        assert len(server.requests) == 10


def test_an_expired_session_is_refreshed() -> None:
    with ReplayServer(Reply(ROWS, cut=len(ROWS) - 100), EXPIRED, SESSION, Reply(ipc(BATCHES[2:]))) as server:
        assert read_all(server.client(retry_seconds=5).read_rows_arrow("s", 0)) == BATCHES
        assert [each.action for each in server.requests] == [
            "TableRead",
            "TableRead",
            "TableGetReadSession",
            "TableRead",
        ]
        assert server.requests[2].params["session_refresh"] == "true"
        assert server.last.json["SkipRowNum"] == 2 * ROW_COUNT


def test_time_that_went_well_is_not_held_against_a_call() -> None:
    with ReplayServer(Reply(ROWS, cut=len(ROWS) - 100), Reply(ipc(BATCHES[2:]))) as server:
        reader = server.client(retry_seconds=0.5).read_rows_arrow("s", 0)
        first = [reader.read(), reader.read()]
        time.sleep(0.6)  # a slow consumer
        assert first + read_all(reader) == BATCHES


def test_a_preview_begins_again_only_before_its_first_row() -> None:
    with ReplayServer(BUSY, Reply(ROWS, cut=100), Reply(ROWS)) as server:
        assert read_all(server.client(retry_seconds=5).preview_table_arrow()) == BATCHES
    with ReplayServer(Reply(ROWS, cut=len(ROWS) - 100), Reply(ROWS)) as server:
        reader = server.client(retry_seconds=5).preview_table_arrow()
        with pytest.raises(TruncatedStreamError):
            read_all(reader)
        assert len(server.requests) == 1


# -- calls --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", [BUSY, HANG_UP])
def test_a_call_is_repeated_where_that_is_harmless(trouble: Reply) -> None:
    for call in (
        lambda client: client.create_read_session(),
        lambda client: client.get_read_session("s"),
        lambda client: client.get_write_stream("s", "0", 0),
        lambda client: client.abort_write_session("s"),
    ):
        with ReplayServer(trouble, trouble, SESSION) as server:
            call(server.client(retry_seconds=5))
            assert len(server.requests) == 3


def test_the_service_says_when_to_come_back() -> None:
    later = Reply({"Code": "FlowExceeded", "Message": "later"}, 429, headers={"Retry-After": "1"})
    with ReplayServer(later, SESSION) as server:
        started = time.monotonic()
        server.client(retry_seconds=5).create_read_session()
        assert time.monotonic() - started >= 1
    with ReplayServer(later, SESSION) as server, pytest.raises(errors.ODPSError, match="later"):
        server.client(retry_seconds=0.5).create_read_session()


def test_what_is_refused_for_good_is_not_repeated() -> None:
    with ReplayServer(Reply({"Code": "NoPermission", "Message": "no"}, 403), SESSION) as server:
        with pytest.raises(errors.NoPermission):
            server.client(retry_seconds=5).create_read_session()
        assert len(server.requests) == 1


def test_a_wrong_address_is_told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    with ReplayServer() as server:
        client = server.client(retry_seconds=600)
    started = time.monotonic()
    with pytest.raises(ConnectFailedError):
        client.create_read_session()
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("hours", [-2, 5])
def test_a_wrong_clock_is_set_right_by_the_service(hours: int) -> None:
    theirs = datetime.now(UTC) + timedelta(hours=hours)
    skewed = Reply(
        {"Code": "RequestTimeTooSkewed", "Message": "what time is it?"},
        403,
        headers={"Date": format_datetime(theirs, usegmt=True)},
    )
    with ReplayServer(skewed, SESSION) as server:
        client = server.client()
        client.create_read_session()
        client.create_read_session()
        dates = [parsedate_to_datetime(each.headers["date"]) - theirs for each in server.requests]
        assert abs(dates[0]) > timedelta(hours=1)
        assert all(abs(error) < timedelta(minutes=2) for error in dates[1:])
        assert len(dates) == 3


# -- commits ------------------------------------------------------------------------------------------


def test_a_commit_whose_answer_is_lost_is_looked_up_first() -> None:
    with ReplayServer(HANG_UP, Reply({"Streams": []}), Reply({})) as server:
        assert server.client(retry_seconds=5).commit_write_session("s") is None
        assert [each.action for each in server.requests] == [
            "TableCommitWriteSession",
            "TableGetWriteSession",
            "TableCommitWriteSession",
        ]


def test_a_commit_nobody_knows_of_is_told_as_such() -> None:
    with ReplayServer(HANG_UP, Reply({"Streams": []}), EXPIRED) as server:
        with pytest.raises(CommitOutcomeUnknownError, match="Look at the table") as failed:
            server.client(retry_seconds=5).commit_write_session("s")
        assert isinstance(failed.value, errors.ODPSError)
        assert not failed.value.retryable


def test_a_refused_commit_is_just_that() -> None:
    with ReplayServer(EXPIRED) as server:
        with pytest.raises(errors.ODPSError, match="expired") as failed:
            server.client(retry_seconds=5).commit_write_session("s")
        assert not isinstance(failed.value, CommitOutcomeUnknownError)
        assert len(server.requests) == 1


def test_an_upload_is_not_repeated_behind_the_callers_back() -> None:
    with ReplayServer(HANG_UP) as server:
        writer = server.client(retry_seconds=5).write_rows_stream("s", 0)
        writer.write(b"rows")
        with pytest.raises(BrokenConnectionError, match="not known"):
            writer.finish()
        assert len(server.requests) == 1


# -- exactly-once uploads -----------------------------------------------------------------------------

STORED = Reply({"CommitMessage": "cm", "ExactlyOnceRowOffset": 6})


def once(server: ReplayServer, seconds: float = 5) -> Any:
    client = server.client(retry_seconds=seconds)
    return client.write_rows_stream("s", 0, row_offset=3, access_token="token")


@pytest.mark.parametrize("size", [10, 3_000_000])
@pytest.mark.parametrize("trouble", [HANG_UP, BUSY, Reply({"Code": "FlowExceeded"}, 429, early=True)])
def test_an_upload_with_an_offset_is_sent_again(trouble: Reply, size: int) -> None:
    pieces = [bytes([number]) * size for number in range(5)]
    with ReplayServer(trouble, trouble, STORED) as server:
        writer = once(server)
        for piece in pieces:
            assert writer.write(bytearray(piece))
        assert writer.finish() == ("cm", True)
        assert writer.get_write_stream_response().exactly_once_row_offset == 6
        assert server.last.body == b"".join(pieces)
        assert len({each.target for each in server.requests}) == 1
        assert {each.headers[WRITE_ACCESS_TOKEN_HEADER] for each in server.requests} == {"token"}


def test_an_upload_with_an_offset_is_given_up_in_time() -> None:
    with ReplayServer(HANG_UP) as server:
        writer = once(server, seconds=0.3)
        writer.write(b"rows")
        with pytest.raises(BrokenConnectionError):
            writer.finish()
        assert writer.finish() == (None, False)


def test_an_upload_too_large_to_keep_is_sent_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_spool, "CLIENT_SPOOL_BYTES", 100)
    with ReplayServer(HANG_UP, STORED) as server:
        writer = once(server)
        writer.write(bytes(101))
        with pytest.raises(BrokenConnectionError):
            writer.finish()
        assert len(server.requests) == 1


def test_a_slow_upload_with_an_offset_is_sent_again() -> None:
    with ReplayServer(HANG_UP, STORED) as server:
        writer = once(server, seconds=0.5)
        writer.write(b"rows")
        time.sleep(0.6)
        assert writer.finish() == ("cm", True)
