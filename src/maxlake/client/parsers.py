"""From HTTP answers to responses: pure functions. They raise ``MalformedAnswerError``, never guess."""

from __future__ import annotations

from threading import Lock
from typing import Any, TypeVar

import msgspec

from maxlake.client.errors import MalformedAnswerError
from maxlake.client.exchange import Answer
from maxlake.client.responses import (
    CloseWriteStreamResponse,
    CreateReadSessionResponse,
    CreateWriteSessionResponse,
    CreateWriteStreamResponse,
    GetWriteSessionResponse,
    GetWriteStreamResponse,
    WriteBlobResponse,
    WriteStreamResponse,
)
from maxlake.protocol.enums import SessionStatus
from maxlake.protocol.headers import REQUEST_ID_HEADER, ROUTE_TOKEN_HEADER

R = TypeVar("R", bound=msgspec.Struct)

_CONTENT = msgspec.json.Decoder(dict[str, Any])
#: Msgspec learns a type where it is first converted to, and crashes where two threads are first.
_converting = Lock()

#: Spelled in either case by services (wire.md §4.2).
_STATUS_KEYS = ("SessionStatus", "Status")
#: What a session on an instance is called while others are INIT (wire.md §12).
_STATUS_WORDS = {"INITIATING": SessionStatus.INIT}


def request_id_of(headers: dict[str, str]) -> str | None:
    """Return the request id of an answer."""
    return headers.get(REQUEST_ID_HEADER)


def route_token_of(headers: dict[str, str]) -> str | None:
    """Return the route token an answer carries, if any."""
    return headers.get(ROUTE_TOKEN_HEADER)


def read_session(answer: Answer) -> CreateReadSessionResponse:
    """Parse the answer to creating or getting a read session (wire.md §4.2, §12)."""
    content = _content(answer)
    for key in _STATUS_KEYS:
        if isinstance(content.get(key), str):
            content[key] = _STATUS_WORDS.get(content[key].upper(), content[key].upper())
    response = _convert(answer, content, CreateReadSessionResponse)
    response.session_id = _required_session_id(answer, response.session_id or response.download_id)
    response.session_status = response.session_status or response.status
    response.route_token = route_token_of(answer.headers)
    return response


def write_session(answer: Answer) -> CreateWriteSessionResponse:
    """Parse the answer to creating a write session."""
    response = _convert(answer, _content(answer), CreateWriteSessionResponse)
    response.session_id = _required_session_id(answer, response.session_id)
    response.route_token = route_token_of(answer.headers)
    return response


def write_session_state(answer: Answer) -> GetWriteSessionResponse:
    """Parse the streams of a write session; an object of versions by id becomes the documented list."""
    response = _convert(answer, _content(answer), GetWriteSessionResponse)
    if isinstance(response.streams, dict):
        versions: dict[str, Any] = response.streams
        response.streams = [
            {"StreamId": name, "StreamVersion": version} for name, version in versions.items()
        ]
    response.route_token = route_token_of(answer.headers)
    return response


def write_stream(answer: Answer) -> CreateWriteStreamResponse:
    """Parse the answer to creating a write stream."""
    response = _convert(answer, _content(answer), CreateWriteStreamResponse)
    response.route_token = route_token_of(answer.headers)
    return response


def write_stream_state(answer: Answer) -> GetWriteStreamResponse:
    """Parse the state of a write stream."""
    response = _convert(answer, _content(answer), GetWriteStreamResponse)
    response.route_token = route_token_of(answer.headers)
    return response


def closed_stream(answer: Answer) -> CloseWriteStreamResponse:
    """Parse the answer to closing a write stream."""
    return _convert(answer, _content(answer), CloseWriteStreamResponse)


def uploaded(answer: Answer) -> tuple[str | None, WriteStreamResponse]:
    """Parse the answer to an upload: the commit message, and what exactly-once callers need."""
    content = _content(answer)
    message = content.get("CommitMessage")
    if message is not None and not isinstance(message, str):
        raise _malformed(answer, "CommitMessage is not a text")
    return message, _convert(answer, content, WriteStreamResponse)


def written_blobs(answer: Answer) -> WriteBlobResponse:
    """Parse the answer to an upload of one blob or many."""
    return _convert(answer, _content(answer), WriteBlobResponse)


def acknowledged(answer: Answer) -> None:
    """Check the answer to a commit or an abort: any JSON object."""
    _content(answer)


def _content(answer: Answer) -> dict[str, Any]:
    try:
        return _CONTENT.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(answer, f"the body is not a JSON object ({error})") from error


def _convert(answer: Answer, content: dict[str, Any], kind: type[R]) -> R:
    try:
        with _converting:
            response = msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise _malformed(answer, f"not a {kind.__name__}: {error}") from error
    response.request_id = request_id_of(answer.headers)  # pyright: ignore[reportAttributeAccessIssue]
    return response


def _required_session_id(answer: Answer, session_id: str | None) -> str:
    if not session_id:
        raise _malformed(answer, "the answer names no session")
    return session_id


def _malformed(answer: Answer, what: str) -> MalformedAnswerError:
    return MalformedAnswerError(
        f"the service answered 200, but {what}",
        code="MalformedAnswer",
        request_id=request_id_of(answer.headers),
        status_code=answer.status,
    )
