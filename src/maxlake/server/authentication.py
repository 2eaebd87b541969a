"""Who asks: the one rule that every request but ``/logview/host`` is signed (auth.md §5)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from maxlake.protocol import signing
from maxlake.protocol.signing import FindSecret
from maxlake.server.exchange import Exchange

Clock = Callable[[], datetime]

#: PyODPS asks for it while it constructs its entry object, unsigned in some versions (rest.md §2).
_OPEN_PATHS = frozenset({"/logview/host", "/api/logview/host"})


class Authenticator:
    """Verifies signatures against known access keys and the clock."""

    def __init__(self, find_secret: FindSecret, clock: Clock) -> None:
        self._find_secret = find_secret
        self._clock = clock

    def principal(self, exchange: Exchange) -> str:
        """Return the access id that signed the request, ``""`` where no signature is asked for.

        Raises DeniedError (401 or 403) and BadRequestError as ``signing.verify`` does.
        """
        if exchange.path in _OPEN_PATHS:
            return ""
        headers = tuple(exchange.headers.items())
        request = signing.SignedRequest(exchange.method, exchange.raw_target, headers)
        return signing.verify(request, self._find_secret, self._clock())
