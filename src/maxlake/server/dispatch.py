"""The Storage API: which action goes to which handler, and in which form it answers (wire.md §1.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.datastructures import Headers

from maxlake.protocol import limits
from maxlake.protocol.enums import Action
from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.headers import RETRY_ID_HEADER, ROUTE_TOKEN_HEADER, WRITE_ACCESS_TOKEN_HEADER
from maxlake.protocol.targets import BlobTarget, InstanceTarget, RowTarget, TableTarget, parse_target
from maxlake.server import blob_handlers, dialects, instance_handlers
from maxlake.server import storage_handlers as handlers
from maxlake.server.blob_response import send_blobs
from maxlake.server.dialects import Compression, Dialect
from maxlake.server.exchange import Exchange, Reply
from maxlake.server.row_response import send_rows
from maxlake.server.storage_handlers import Answer, StorageCall, TargetCall
from maxlake.server.upload import UploadBody, Uploads
from maxlake.server.workers import Stopped, Workers

if TYPE_CHECKING:
    from maxlake.service.blob_reading import FoundBlob
    from maxlake.service.rows import RowStream
    from maxlake.service.service import Service


@dataclass(frozen=True, slots=True)
class JsonAction:
    """JSON in, JSON out. ``routed`` answers carry a route token (wire.md §2.2)."""

    handler: Callable[[Any], Answer]
    routed: bool = False
    of: type[RowTarget] = TableTarget


@dataclass(frozen=True, slots=True)
class LongAction:
    """JSON in, JSON out with a route token. A call that ``is_long`` must not keep others waiting."""

    handler: Callable[[StorageCall, Stopped], Answer]
    is_long: Callable[[StorageCall], bool]


@dataclass(frozen=True, slots=True)
class RowAction:
    """JSON in, an Arrow IPC stream out, compressed as ``compression`` finds the client needs it."""

    handler: Callable[[Any], RowStream]
    compression: Callable[[Dialect, Headers], Compression | None]
    of: type[RowTarget] = TableTarget


@dataclass(frozen=True, slots=True)
class UploadAction:
    """A stream of bytes in, JSON out. ``routed`` answers carry a route token (wire.md §2.2)."""

    handler: Callable[[StorageCall, UploadBody], Answer]
    routed: bool = True


@dataclass(frozen=True, slots=True)
class BlobAction:
    """JSON in that names blobs of any table, the blobs out."""

    find: Callable[[Service, bytes], Sequence[FoundBlob]]


AnyAction = JsonAction | LongAction | RowAction | UploadAction | BlobAction

ACTIONS: dict[Action, AnyAction] = {
    Action.TABLE_CREATE_READ_SESSION: LongAction(handlers.create_read_session, handlers.is_long_to_create),
    Action.TABLE_GET_READ_SESSION: JsonAction(handlers.get_read_session, routed=True),
    Action.TABLE_READ: RowAction(handlers.read_rows, dialects.read_compression),
    Action.TABLE_PREVIEW: RowAction(handlers.preview, dialects.preview_compression),
    Action.TABLE_CREATE_WRITE_SESSION: JsonAction(handlers.create_write_session, routed=True),
    Action.TABLE_GET_WRITE_SESSION: JsonAction(handlers.get_write_session, routed=True),
    Action.TABLE_COMMIT_WRITE_SESSION: JsonAction(handlers.commit_write_session),
    Action.TABLE_ABORT_WRITE_SESSION: JsonAction(handlers.abort_write_session),
    Action.TABLE_CREATE_WRITE_STREAM: JsonAction(handlers.create_write_stream, routed=True),
    Action.TABLE_GET_WRITE_STREAM: JsonAction(handlers.get_write_stream, routed=True),
    Action.TABLE_WRITE: UploadAction(handlers.write_rows),
    Action.TABLE_CLOSE_WRITE_STREAM: JsonAction(handlers.close_write_stream),
    Action.TABLE_GET_WRITE_SCHEMA: JsonAction(handlers.get_write_schema),
    Action.TABLE_WRITE_BLOB: UploadAction(blob_handlers.write_blob, routed=False),
    Action.BLOB_READ: BlobAction(blob_handlers.find_blobs),
    Action.INSTANCE_CREATE_READ_SESSION: JsonAction(
        instance_handlers.create_read_session, routed=True, of=InstanceTarget
    ),
    Action.INSTANCE_GET_READ_SESSION: JsonAction(
        instance_handlers.get_read_session, routed=True, of=InstanceTarget
    ),
    Action.INSTANCE_READ: RowAction(instance_handlers.read_rows, dialects.read_compression, InstanceTarget),
}
_BY_NAME = {action.value: answer for action, answer in ACTIONS.items()}


class StorageApi:
    """Answers ``/api/storage/v2`` and ``v3``, which differ in nothing but the path (wire.md §13)."""

    def __init__(self, service: Service, workers: Workers, uploads: Uploads) -> None:
        self._service = service
        self._workers = workers
        self._uploads = uploads

    async def serve(self, exchange: Exchange, principal: str) -> None:
        """Answer one verified request. Raises MaxlakeError for whatever is wrong with it."""
        if exchange.method not in ("GET", "POST"):
            raise invalid_argument(f"the Storage API takes GET and POST, not {exchange.method}")
        action = self._action(exchange)
        upload = isinstance(action, UploadAction)
        body = b"" if upload else await exchange.read_body(limits.MAX_JSON_BODY)
        if isinstance(action, BlobAction):
            await self._send_blobs(exchange, action, body)
            return
        of = action.of if isinstance(action, (JsonAction, RowAction)) else TableTarget
        call = await self._workers.call(self._call, exchange, body, principal, of)
        match action:
            case JsonAction(handler, routed, _):
                answer = await self._workers.call(handler, call)
                await exchange.answer(_json(answer, exchange, routed=routed))
            case LongAction():
                answer = await self._perhaps_long(exchange, action, call)
                await exchange.answer(_json(answer, exchange, routed=True))
            case RowAction(handler, choose, _):
                compression = choose(call.dialect, exchange.headers)
                await send_rows(exchange, self._workers, lambda: handler(call), compression)
            case UploadAction():
                answer = await self._uploads.receive(exchange, lambda body: action.handler(call, body))
                await exchange.answer(_json(answer, exchange, routed=action.routed))

    async def _send_blobs(self, exchange: Exchange, action: BlobAction, body: bytes) -> None:
        text = exchange.parameters().identifier("Target")
        if not isinstance(parse_target(text), BlobTarget):
            raise invalid_argument(f"{text} is not {BlobTarget()}: references say where blobs are")
        dialect = dialects.recognise(exchange.headers, text)
        await send_blobs(exchange, self._workers, lambda: action.find(self._service, body), dialect)

    async def _perhaps_long(self, exchange: Exchange, action: LongAction, call: StorageCall) -> Answer:
        if not await self._workers.call(action.is_long, call):
            return await self._workers.call(action.handler, call, lambda: False)
        with exchange.watch_disconnect() as gone:
            return await self._workers.long_call(partial(action.handler, call), gone)

    def _action(self, exchange: Exchange) -> AnyAction:
        name = exchange.parameters().text("Action") or ""
        if name not in _BY_NAME:
            raise invalid_argument(f"unknown Action {name[:64]!r}; served are {', '.join(_BY_NAME)}")
        return _BY_NAME[name]

    def _call(self, exchange: Exchange, body: bytes, principal: str, of: type[RowTarget]) -> TargetCall[Any]:
        parameters = exchange.parameters()
        text = parameters.identifier("Target")
        target = parse_target(text)
        if not isinstance(target, of):
            what = "a table" if of is TableTarget else "an instance"
            raise invalid_argument(f"{text} is not {what}, which this action is about")
        return TargetCall(
            project=self._service.project(target.project),
            target=target,
            parameters=parameters,
            body=body,
            principal=principal,
            dialect=dialects.recognise(exchange.headers, text),
            retry_id=exchange.headers.get(RETRY_ID_HEADER, ""),
            access_token=exchange.headers.get(WRITE_ACCESS_TOKEN_HEADER, ""),
            content_encoding=exchange.headers.get("content-encoding", ""),
        )


def _json(answer: Answer, exchange: Exchange, *, routed: bool) -> Reply:
    token = ((ROUTE_TOKEN_HEADER, dialects.route_token(exchange.host)),) if routed else ()
    return Reply(msgspec.json.encode(answer), "application/json", headers=token)
