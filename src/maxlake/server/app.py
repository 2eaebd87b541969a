"""The ASGI application: verify, route, answer; and whatever goes wrong, answer that too."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING

from starlette.types import Receive, Scope, Send

from maxlake.protocol.errors import BusyError, ErrorCode
from maxlake.protocol.signing import FindSecret
from maxlake.server.authentication import Authenticator, Clock
from maxlake.server.dispatch import StorageApi
from maxlake.server.errors import json_error, known_error, xml_error
from maxlake.server.exchange import BodyCut, Exchange
from maxlake.server.rest.api import RestApi
from maxlake.server.workers import Workers

if TYPE_CHECKING:
    from maxlake.service.service import Service

_log = logging.getLogger("maxlake.server")

# A user's endpoint may end in /api, which clients then put before the path again (wire.md §1).
_STORAGE_PATH = re.compile(r"(/api)?/api/storage/v[23]/?")


class App:
    """One service behind HTTP. ``find_secret`` knows the access keys, ``clock`` the time (aware)."""

    def __init__(self, service: Service, find_secret: FindSecret, clock: Clock) -> None:
        self.workers = Workers()
        self._authenticator = Authenticator(find_secret, clock)
        self._storage = StorageApi(service, self.workers)
        self._rest = RestApi(service, self.workers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        storage = _STORAGE_PATH.fullmatch(exchange.path) is not None
        try:
            principal = self._authenticator.principal(exchange)
            await (self._storage if storage else self._rest).serve(exchange, principal)
        except asyncio.CancelledError:
            if not exchange.started:
                exchange.body_pending = False  # there is no time to drain it
                await exchange.answer((json_error if storage else xml_error)(_stopping(), exchange))
            raise
        except BodyCut as error:
            _log.info("request %s, %s: %s", exchange.request_id, exchange.path, error)
        except Exception as error:  # noqa: BLE001 - every failure becomes an answer
            problem = known_error(error, exchange)
            if exchange.started:
                _log.warning("request %s: cut while answering: %s", exchange.request_id, problem)
                return  # an answer left open makes the HTTP server close the connection
            await exchange.answer((json_error if storage else xml_error)(problem, exchange))


def _stopping() -> BusyError:
    return BusyError(ErrorCode.SERVICE_UNAVAILABLE, "the server is stopping; repeat the request")
