"""What the byte server answers: one table, whose rows are bytes of a file; uploads are dropped.

Run as a program by ``byte_server``: the table comes by standard input, the address goes to standard output,
then for each further line what was received.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from maxlake.protocol.columns import Column, TableSchema, read_schema, write_schema
from maxlake.protocol.enums import Action, SessionStatus, SplitMode, StreamState
from maxlake.protocol.errors import ErrorCode, MaxlakeError, NotFoundError, invalid_argument
from maxlake.protocol.headers import REQUEST_ID_HEADER
from maxlake.protocol.messages.read import (
    CreateReadSessionRequest,
    ReadAddress,
    ReadRowsRequest,
    ReadSessionResponse,
    SessionStats,
)
from maxlake.protocol.messages.write import (
    CloseStreamResponse,
    CommitResponse,
    CreateWriteSessionResponse,
    Empty,
    GetWriteSessionResponse,
    StreamSchema,
    StreamStatus,
    WriteRowsResponse,
)
from maxlake.protocol.targets import DEFAULT_SCHEMA
from maxlake.protocol.types.arrow import from_arrow
from maxlake.server.rest.tables import described
from maxlake.server.rest.xml import document
from maxlake.service.tables import Table
from maxlake.testing.byte_server import Received, Setup
from maxlake.testing.listener import Answer, ConnectionCut, Headers, Listener, Request, json_answer
from maxlake.testing.row_file import END, FilePiece

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket

    from maxlake.protocol.messages.base import Message
    from maxlake.testing.listener import Sendable

#: Sessions do not expire; clients are told this moment, in ms since the epoch.
_NEVER = 4102444800000
#: The one write session; a read session's id says into how many splits it is cut.
_WRITE_SESSION = "discarded"
_ONE_ANSWER = (REQUEST_ID_HEADER, "byte-server")

_SETUP = msgspec.json.Decoder(Setup)
_CREATE_READ_SESSION = msgspec.json.Decoder(CreateReadSessionRequest)
_READ_ROWS = msgspec.json.Decoder(ReadRowsRequest)


class RowsAnswer:
    """A stream of rows, sent by the kernel from the file."""

    status = 200
    headers: Headers = (("Content-Type", "application/octet-stream"), _ONE_ANSWER)

    def __init__(self, piece: FilePiece) -> None:
        self._piece = piece
        self.length = piece.length

    def send_body(self, connection: socket) -> None:
        """Send schema, batches and end marker."""
        with Path(self._piece.path).open("rb") as file:
            _send(connection, file.fileno(), 0, self._piece.schema_end)
            _send(connection, file.fileno(), self._piece.start, self._piece.end)
        connection.sendall(END)


def _send(connection: socket, file: int, start: int, end: int) -> None:
    while start < end:
        sent = os.sendfile(connection.fileno(), file, start, end - start)
        if not sent:
            raise ConnectionCut
        start += sent


class ByteAnswers:
    """Answers requests. Signatures are not looked at: nothing is protected here."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._rows = setup.rows
        self._received = Received()
        self._lock = Lock()
        with pa.OSFile(setup.rows.path) as file:
            fields = pa.ipc.read_schema(file)
        self._columns = TableSchema(tuple(Column(field.name, from_arrow(field.type)) for field in fields))
        self._actions: dict[Action, Callable[[Request], Message]] = {
            Action.TABLE_CREATE_READ_SESSION: self._create_read_session,
            Action.TABLE_GET_READ_SESSION: self._get_read_session,
            Action.TABLE_CREATE_WRITE_SESSION: lambda _: CreateWriteSessionResponse(
                session_id=_WRITE_SESSION
            ),
            Action.TABLE_GET_WRITE_SESSION: lambda _: GetWriteSessionResponse(streams=()),
            Action.TABLE_CREATE_WRITE_STREAM: lambda _: self._stream,
            Action.TABLE_GET_WRITE_STREAM: self._get_write_stream,
            Action.TABLE_WRITE: self._write,
            Action.TABLE_CLOSE_WRITE_STREAM: lambda _: CloseStreamResponse(),
            Action.TABLE_COMMIT_WRITE_SESSION: lambda _: CommitResponse(),
            Action.TABLE_ABORT_WRITE_SESSION: lambda _: Empty(),
        }

    def received(self) -> Received:
        """Return what came so far."""
        with self._lock:
            return msgspec.structs.replace(self._received)

    def __call__(self, request: Request) -> Sendable:
        """Answer one request."""
        try:
            return self._storage(request) if request.action else self._rest(request)
        except msgspec.MsgspecError as error:
            return _refused(invalid_argument(f"{request.action or request.path} is not understood: {error}"))
        except MaxlakeError as error:
            return _refused(error)

    def _storage(self, request: Request) -> Sendable:
        if request.action == Action.TABLE_READ:
            return RowsAnswer(self._read(request))
        answer = self._actions.get(request.action)  # pyright: ignore[reportArgumentType, reportCallIssue]
        if answer is None:
            served = ", ".join([*self._actions, Action.TABLE_READ])
            raise invalid_argument(f"the byte server does not serve {request.action!r}, only {served}")
        return json_answer(answer(request), headers=(_ONE_ANSWER,))

    def _create_read_session(self, request: Request) -> Message:
        asked = _CREATE_READ_SESSION.decode(request.body)
        if asked.filter_predicate or asked.required_data_columns or asked.required_partitions:
            raise invalid_argument("the byte server sends all rows and columns: ask for no part of them")
        options = asked.split_options
        parallel = options.split_mode is SplitMode.PARALLELISM
        return self._read_session(options.split_mode, options.split_number if parallel else 1)

    def _get_read_session(self, request: Request) -> Message:
        mode, count = _read_session_id(request)
        return self._read_session(mode, count)

    def _read_session(self, mode: SplitMode, splits: int) -> Message:
        return ReadSessionResponse(
            session_id=f"{mode}-{splits}",
            session_status=SessionStatus.NORMAL,
            expiration_time=_NEVER,
            splits_count=0 if mode is SplitMode.ROW_OFFSET else splits,
            record_count=self._rows.row_count,
            split_mode=mode,
            data_schema=read_schema(self._columns.columns, ()),
            table_schema=self._stream.table_schema,
            session_stats=SessionStats(
                estimated_size=self._rows.size, estimated_row_count=self._rows.row_count
            ),
            latest_version=1,
        )

    def _read(self, request: Request) -> FilePiece:
        """Find the rows that are addressed: a split or all of them, from an offset, so many (wire.md §5)."""
        address = msgspec.convert(request.parameters, ReadAddress, strict=False)
        how = _READ_ROWS.decode(request.body)
        _, splits = _read_session_id(request)
        if how.data_columns:
            raise invalid_argument("the byte server sends all columns: leave data_columns out")
        if address.index is not None and address.index >= splits:
            raise invalid_argument(f"there is no split {address.index}, only {splits}")
        first, last = 0, self._rows.row_count
        if address.index is not None:
            first, last = self._rows.split(address.index, splits)
        start = first + (address.offset or 0)
        end = last if address.count is None else min(last, start + address.count)
        return self._rows.piece(start + how.skip_row_num, end)

    @cached_property
    def _stream(self) -> StreamSchema:
        schema = write_schema(self._columns.columns, ())
        return StreamSchema(table_schema=schema, table_id="1", schema_version=1)

    def _get_write_stream(self, request: Request) -> Message:
        if "ExactlyOnceMode" in request.parameters:
            raise invalid_argument("the byte server forgets rows, so it cannot store them once")
        return StreamStatus(
            status=StreamState.OPEN,
            record_count=0,
            byte_size=0,
            table_schema=self._stream.table_schema,
            table_id="1",
            schema_version=1,
            latest_schema_version=1,
        )

    def _write(self, request: Request) -> Message:
        byte_count = sum(len(piece) for piece in request.receive())
        row_count = msgspec.convert(request.parameters.get("Count", "0"), int, strict=False)
        with self._lock:
            self._received.uploads += 1
            self._received.byte_count += byte_count
            self._received.row_count += row_count
        return WriteRowsResponse(commit_message=_WRITE_SESSION, record_count=row_count)

    def _rest(self, request: Request) -> Answer:
        """Answer what PyODPS asks before it speaks to the Storage API."""
        path = request.path.removeprefix("/api")
        project = f"/projects/{self._setup.project}"
        if path == "/logview/host":
            return Answer(200, (), b"")
        if path == "/tenants":
            return json_answer({"TenantId": "1", "TenantState": "NORMAL", "TenantMeta": {}, "Parameters": {}})
        if path == f"{project}/tunnel":
            return Answer(200, (), dict(request.headers)["Host"].encode())
        if path == f"{project}/tables/{self._setup.table}":
            extended = "extended" in request.parameters
            body = document(described(self._table, self._setup.project, extended=extended))
            return Answer(200, (("Content-Type", "application/xml"),), body)
        raise NotFoundError(ErrorCode.NO_SUCH_OBJECT, f"the byte server does not serve {path}")

    @cached_property
    def _table(self) -> Table:
        now = datetime.now(UTC)
        return Table(
            table_id=1,
            schema=DEFAULT_SCHEMA,
            name=self._setup.table,
            columns=self._columns,
            comment="",
            owner="",
            lifecycle=None,
            properties={},
            primary_key=(),
            created_at=now,
            modified_at=now,
            ddl_at=now,
            record_count=self._rows.row_count,
            size=self._rows.size,
            file_count=1,
            schema_version=1,
        )


def _refused(error: MaxlakeError) -> Answer:
    members = {"Code": error.code.value, "Message": str(error), "RequestId": "", "HostId": ""}
    return json_answer(members, error.status_code, (_ONE_ANSWER,))


def _read_session_id(request: Request) -> tuple[SplitMode, int]:
    mode, _, count = request.parameters.get("SessionId", "").partition("-")
    if mode not in set(SplitMode) or not count.isdecimal():
        raise NotFoundError(ErrorCode.NO_SUCH_OBJECT, "there is no such read session; create one")
    return SplitMode(mode), int(count)


def main() -> None:
    """Serve until standard input ends."""
    answers = ByteAnswers(_SETUP.decode(sys.stdin.buffer.readline()))
    listener = Listener(answers)
    with listener.running():
        _say(listener.address.encode())
        while sys.stdin.buffer.readline():
            _say(msgspec.json.encode(answers.received()))


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
