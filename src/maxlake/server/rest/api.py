"""REST: which path and method goes to which handler (rest.md §1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from maxlake.protocol import limits
from maxlake.server.exchange import Exchange, Reply
from maxlake.server.rest import instances, projects, schemas, tables
from maxlake.server.rest.call import RestCall
from maxlake.server.routes import Routes
from maxlake.server.workers import Workers

if TYPE_CHECKING:
    from maxlake.service.service import Service

Handler = Callable[[RestCall], Reply]

_HANDLERS: dict[tuple[str, str], Handler] = {
    ("GET", "/logview/host"): projects.logview_host,
    ("GET", "/tenants"): projects.tenant,
    ("GET", "/projects"): projects.list_all,
    ("GET", "/projects/{project}"): projects.show,
    ("GET", "/projects/{project}/tunnel"): projects.tunnel,
    ("PUT", "/projects/{project}/logs"): projects.take_logs,
    ("POST", "/projects/{project}/authorization"): projects.bearer_token,
    ("GET", "/projects/{project}/tables"): tables.list_all,
    ("GET", "/projects/{project}/tables/{table}"): tables.show,
    ("GET", "/projects/{project}/schemas"): schemas.list_all,
    ("POST", "/projects/{project}/schemas"): schemas.create,
    ("GET", "/projects/{project}/schemas/{schema}"): schemas.show,
    ("DELETE", "/projects/{project}/schemas/{schema}"): schemas.delete,
    ("GET", "/projects/{project}/instances"): instances.list_all,
    ("GET", "/projects/{project}/cachedinstances"): instances.list_queueing,
    ("POST", "/projects/{project}/instances"): instances.create,
    ("GET", "/projects/{project}/instances/{instance}"): instances.show,
    ("PUT", "/projects/{project}/instances/{instance}"): instances.stop,
}
_ROUTES = Routes(_HANDLERS)


class RestApi:
    """Answers every path but the Storage API's."""

    def __init__(self, service: Service, workers: Workers) -> None:
        self._service = service
        self._workers = workers

    async def serve(self, exchange: Exchange, principal: str) -> None:
        """Answer one verified request. Raises NoSuchObject for unknown paths, and what handlers raise."""
        handler, names = _ROUTES.find(exchange)
        call = RestCall(
            service=self._service,
            names=names,
            parameters=exchange.parameters(),
            body=await exchange.read_body(limits.MAX_XML_BODY),
            principal=principal,
            host=exchange.host,
            path=exchange.path,
        )
        await exchange.answer(await self._workers.call(handler, call))
