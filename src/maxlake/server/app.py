"""The ASGI application: verify, route, answer; and whatever goes wrong, answer that too."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.types import Receive, Scope, Send

from maxlake.protocol.errors import ErrorCode, MaxlakeError
from maxlake.protocol.signing import FindSecret
from maxlake.server.authentication import Authenticator, Clock
from maxlake.server.dispatch import StorageApi
from maxlake.server.errors import json_error, known_error, stopping, xml_error
from maxlake.server.exchange import BodyCut, Exchange, Reply
from maxlake.server.rest.api import RestApi
from maxlake.server.tunnel.api import TunnelApi
from maxlake.server.upload import Uploads
from maxlake.server.workers import StillRunningError, Workers

if TYPE_CHECKING:
    from maxlake.service.service import Service

_log = logging.getLogger("maxlake.server")

# A user's endpoint may end in /api, which clients then put before the path again (wire.md §1).
_STORAGE_PATH = re.compile(r"(/api)?/api/storage/v[23]/?")
# The rest of the body would not come, or there is no time for it.
_NOT_WORTH_DRAINING = (ErrorCode.REQUEST_TIMEOUT, ErrorCode.SERVICE_UNAVAILABLE)


class App:
    """One service behind HTTP. ``find_secret`` knows the access keys, ``clock`` the time (aware)."""

    def __init__(self, service: Service, find_secret: FindSecret, clock: Clock) -> None:
        self.workers = Workers()
        self._authenticator = Authenticator(find_secret, clock)
        uploads = Uploads(self.workers, service.settings.upload_memory)
        self._storage = StorageApi(service, self.workers, uploads)
        self._tunnel = TunnelApi(service, self.workers, uploads)
        self._rest = RestApi(service, self.workers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        storage = _STORAGE_PATH.fullmatch(exchange.path) is not None
        try:
            exchange.check_host()
            principal = self._authenticator.principal(exchange)
            await self._api(exchange, storage=storage).serve(exchange, principal)
        except asyncio.CancelledError:
            # The server ends, and no handler has begun (see Workers).
            await _refuse(stopping(), exchange, json_error if storage else xml_error)
            raise
        except StillRunningError:
            _log.warning("request %s: cut, the server ends before it", exchange.request_id)
            await exchange.cut()
        except BodyCut as error:
            _log.info("request %s, %s: %s", exchange.request_id, exchange.path, error)
        except Exception as error:  # noqa: BLE001 - every failure becomes an answer
            await _refuse(known_error(error, exchange), exchange, json_error if storage else xml_error)

    def _api(self, exchange: Exchange, *, storage: bool) -> StorageApi | TunnelApi | RestApi:
        if storage:
            return self._storage
        return self._tunnel if self._tunnel.takes(exchange) else self._rest


async def _refuse(
    problem: MaxlakeError, exchange: Exchange, form: Callable[[MaxlakeError, Exchange], Reply]
) -> None:
    if exchange.started:
        _log.warning("request %s: cut while answering: %s", exchange.request_id, problem)
        return  # an answer left open makes the HTTP server close the connection
    if problem.code in _NOT_WORTH_DRAINING:
        exchange.leave_body()
    await exchange.answer(form(problem, exchange))
