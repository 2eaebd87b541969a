"""Errors on the wire: JSON for the Storage API, XML for REST (wire.md §3.2, drift.md A.16)."""

from __future__ import annotations

import logging
import re

import msgspec

from maxlake.protocol.errors import BusyError, ErrorCode, InternalError, MaxlakeError
from maxlake.server.exchange import Exchange, Reply
from maxlake.server.rest.xml import document, element

_log = logging.getLogger("maxlake.server")

# Phrases that make PyODPS re-send with another signature instead of showing the error (wire.md §3.3).
_RESIGNING = re.compile(
    r"need ak v3 support|accesskey acl denied|ODPS-0410051|invalid or missing", re.IGNORECASE
)


def known_error(error: Exception, exchange: Exchange) -> MaxlakeError:
    """Return ``error`` as one of ours; what nobody expected is logged whole and told to nobody."""
    if isinstance(error, MaxlakeError):
        if error.code is ErrorCode.INTERNAL_SERVER_ERROR:
            _log.error("request %s: %s", exchange.request_id, error, exc_info=error)
        return error
    _log.error(
        "request %s, %s %s: unexpected error",
        exchange.request_id,
        exchange.method,
        exchange.path,
        exc_info=error,
    )
    return InternalError(
        ErrorCode.INTERNAL_SERVER_ERROR,
        f"the server failed; its log says why under request id {exchange.request_id}",
    )


def stopping() -> BusyError:
    """Return the error for what the server did not do because it ends."""
    return BusyError(ErrorCode.SERVICE_UNAVAILABLE, "the server is stopping; repeat the request")


def json_error(error: MaxlakeError, exchange: Exchange) -> Reply:
    """Return the Storage API's error body: four texts, because C++ reads a map of texts."""
    return Reply(msgspec.json.encode(_members(error, exchange)), "application/json", error.status_code)


def xml_error(error: MaxlakeError, exchange: Exchange) -> Reply:
    """Return REST's error body: all four elements, because PyODPS wants all of them."""
    children = [element(name, text) for name, text in _members(error, exchange).items()]
    return Reply(document(element("Error", None, *children)), "application/xml", error.status_code)


def _members(error: MaxlakeError, exchange: Exchange) -> dict[str, str]:
    message = _RESIGNING.sub(lambda found: found[0].replace(" ", "_").replace("-", "_"), str(error))
    host = exchange.headers.get("host", "maxlake")
    return {"Code": error.code.value, "Message": message, "RequestId": exchange.request_id, "HostId": host}
