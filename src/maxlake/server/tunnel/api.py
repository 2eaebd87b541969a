"""Which request of the tunnel goes to which handler, and how it is answered (rest.md §8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from maxlake.protocol import limits
from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.targets import DEFAULT_SCHEMA, InstanceTarget, RowTarget, TableTarget
from maxlake.server.exchange import Exchange, Reply
from maxlake.server.piece_response import Pieces, send_pieces
from maxlake.server.routes import Routes
from maxlake.server.tunnel import downloads, streams, uploads, upserts
from maxlake.server.tunnel.call import TunnelCall
from maxlake.server.upload import Uploads
from maxlake.server.workers import Workers

if TYPE_CHECKING:
    from maxlake.server.upload import UploadBody
    from maxlake.service.service import Service


@dataclass(frozen=True, slots=True)
class SessionAction:
    """Answered with a session as JSON."""

    handler: Callable[[TunnelCall], msgspec.Struct]


@dataclass(frozen=True, slots=True)
class RowsAction:
    """Answered with rows."""

    handler: Callable[[TunnelCall], Pieces]


@dataclass(frozen=True, slots=True)
class BlockAction:
    """Takes rows, answered with nothing but success."""

    handler: Callable[[TunnelCall, UploadBody], None]
    headers: Callable[[TunnelCall], tuple[tuple[str, str], ...]] = lambda _: ()


AnyAction = SessionAction | RowsAction | BlockAction

#: By method, and the parameters that say what is meant, the first that is there.
_ACTIONS: dict[tuple[str, str], AnyAction] = {
    ("POST", "downloads"): SessionAction(downloads.create),
    ("GET", "data"): RowsAction(downloads.pieces),
    ("GET", "downloadid"): SessionAction(downloads.get),
    ("POST", "uploads"): SessionAction(uploads.create),
    ("GET", "uploadid"): SessionAction(uploads.get),
    ("POST", "uploadid"): SessionAction(uploads.complete),
    ("PUT", "uploadid"): BlockAction(uploads.write),
}
#: What makes a request the tunnel's: one of these in its query, or a resource of its own below the table.
_SESSIONS = ("downloads", "downloadid", "uploads", "uploadid")
#: By resource, the parameter that names a session of it, and what is done by method and whether one is named.
_RESOURCES: dict[str, tuple[str, dict[tuple[str, bool], AnyAction]]] = {
    "upserts": (
        "upsertid",
        {
            ("POST", False): SessionAction(upserts.create),
            ("GET", True): SessionAction(upserts.get),
            ("PUT", True): BlockAction(upserts.write),
            ("POST", True): SessionAction(upserts.commit),
            ("DELETE", True): SessionAction(upserts.abort),
        },
    ),
    "streams": (
        "uploadid",
        {
            ("POST", False): SessionAction(streams.create),
            ("GET", True): SessionAction(streams.get),
            ("PUT", True): BlockAction(streams.write, streams.routed),
            ("POST", True): SessionAction(streams.abort),
        },
    ),
}


def _table(names: dict[str, str], call_schema: str) -> RowTarget:
    return TableTarget(names["project"], names.get("schema", call_schema), names["table"])


def _instance(names: dict[str, str], _: str) -> RowTarget:
    return InstanceTarget(names["project"], names["instance"])


_TARGETS: Routes[Callable[[dict[str, str], str], RowTarget]] = Routes(
    {
        (method, path): target
        for path, target in (
            ("/projects/{project}/tables/{table}", _table),
            ("/projects/{project}/schemas/{schema}/tables/{table}", _table),
            ("/projects/{project}/instances/{instance}", _instance),
            *((f"/projects/{{project}}/tables/{{table}}/{name}", _table) for name in _RESOURCES),
            *(
                (f"/projects/{{project}}/schemas/{{schema}}/tables/{{table}}/{name}", _table)
                for name in _RESOURCES
            ),
        )
        for method in ("GET", "POST", "PUT", "DELETE")
    }
)


class TunnelApi:
    """Answers requests on tables and instances that name a session of the tunnel, or ask for one."""

    def __init__(self, service: Service, workers: Workers, uploads: Uploads) -> None:
        self._service = service
        self._workers = workers
        self._uploads = uploads

    def takes(self, exchange: Exchange) -> bool:
        """Tell whether a request is the tunnel's. Raises InvalidArgument for a malformed query."""
        parameters = exchange.parameters()
        return _resource(exchange) in _RESOURCES or any(map(parameters.flag, _SESSIONS))

    async def serve(self, exchange: Exchange, principal: str) -> None:
        """Answer one verified request. Raises MaxlakeError for whatever is wrong with it."""
        action = _action(exchange)
        if not isinstance(action, BlockAction):
            await exchange.read_body(limits.MAX_JSON_BODY)  # there is nothing in it
        call = await self._workers.call(self._call, exchange, principal)
        match action:
            case SessionAction(handler):
                session = await self._workers.call(handler, call)
                await exchange.answer(Reply(msgspec.json.encode(session), "application/json"))
            case RowsAction(handler):
                encoding = call.accepted
                headers = (("content-encoding", encoding.value),) if encoding else ()
                await send_pieces(
                    exchange, self._workers, lambda: handler(call), "application/octet-stream", headers
                )
            case BlockAction(handler, headers):
                await self._uploads.receive(exchange, lambda body: handler(call, body))
                await exchange.answer(Reply(b"", "application/octet-stream", headers=headers(call)))

    def _call(self, exchange: Exchange, principal: str) -> TunnelCall:
        target_of, names = _TARGETS.find(exchange)
        parameters = exchange.parameters()
        return TunnelCall(
            project=self._service.project(names["project"]),
            target=target_of(names, parameters.text("curr_schema") or DEFAULT_SCHEMA),
            parameters=parameters,
            headers=exchange.headers,
            principal=principal,
        )


def _resource(exchange: Exchange) -> str:
    """Return what a path names below a table, ``""`` for nothing; tables may have any name."""
    names = exchange.path.removeprefix("/api").split("/")[2:]
    below_table = len(names) in (4, 6) and names[-3] == "tables"
    return names[-1] if below_table else ""


def _action(exchange: Exchange) -> AnyAction:
    parameters = exchange.parameters()
    if (resource := _resource(exchange)) in _RESOURCES:
        session, actions = _RESOURCES[resource]
        action = actions.get((exchange.method, parameters.flag(session)))
    else:
        named = (name for method, name in _ACTIONS if method == exchange.method and parameters.flag(name))
        action = _ACTIONS.get((exchange.method, next(named, "")))
    if action is None:
        raise invalid_argument(f"the tunnel takes no {exchange.method} with these parameters")
    return action
