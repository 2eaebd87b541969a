"""Where requests go and how they are signed: all that PyODPS is asked for, by its public names only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from odps.rest import default_user_agent

from maxlake import __version__
from odps import options

if TYPE_CHECKING:
    from maxlake.client.exchange import HttpRequest


@dataclass
class SignableRequest:
    """A request in the form PyODPS accounts sign: they add to ``headers``."""

    method: str
    url: str
    headers: dict[str, str]


class StorageEndpoint:
    """The storage service as one caller sees it.

    ``rest`` is PyODPS' REST client of the tunnel endpoint: it holds the endpoint, the account and
    what else a signature covers. ``params`` and ``headers`` are added to every request.
    """

    def __init__(self, rest: Any, params: dict[str, str], headers: dict[str, str]) -> None:
        self.url: str = rest.endpoint
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"the endpoint must be an http or https URL, not {self.url!r}")
        self.secure = parts.scheme == "https"
        self.host: str = parts.hostname
        self.port: int = parts.port or (443 if self.secure else 80)
        self.authority = parts.netloc.rpartition("@")[2]
        self._clock_error = timedelta(0)
        self._rest = rest
        self._params = params | self._caller()
        self._headers = headers | self._identity()

    def sign(self, request: HttpRequest) -> SignableRequest:
        """Return ``request`` complete with common parameters and headers, dated and signed."""
        query = urlencode(request.params | self._params)
        ours = {"Accept-Encoding": "identity"} | request.headers | self._headers
        spelled = {name.lower() for name in ours}
        custom = {name: str(value) for name, value in (options.custom_headers or {}).items()}
        headers = {name: value for name, value in custom.items() if name.lower() not in spelled} | ours
        if self._clock_error:
            headers["Date"] = format_datetime(datetime.now(UTC) + self._clock_error, usegmt=True)
        signed = SignableRequest(request.method, f"{self.url}{request.path}?{query}", headers)
        self._rest.account.sign_request(signed, self.url, region_name=self._rest.region_name)
        if self._rest.app_account is not None:
            self._rest.app_account.sign_request(signed, self.url, region_name=self._rest.region_name)
        return signed

    def reload_account(self) -> bool:
        """Fetch fresh temporary credentials; ``False`` if the account has none to fetch."""
        reload = getattr(self._rest.account, "reload", None)
        if reload is None:
            return False
        reload(True)
        return True

    def set_clock(self, date: str | None) -> bool:
        """Date requests by the service's clock from now on; ``False`` if it did not tell its time."""
        try:
            told = parsedate_to_datetime(date or "")
        except ValueError:
            return False
        self._clock_error = told - datetime.now(UTC)
        return True

    def _caller(self) -> dict[str, str]:
        named = {"curr_project": self._rest.project, "curr_schema": self._rest.schema}
        return {name: value for name, value in named.items() if value is not None}

    def _identity(self) -> dict[str, str]:
        # Not beginning with "pyodps/": from 0.13.2 on, that means a client which reads compressed
        # answers differently (drift.md A.0, A.1).
        agent = f"maxlake/{__version__} {default_user_agent()}"
        namespace = {"x-odps-namespace-id": self._rest.namespace} if self._rest.namespace else {}
        return {"User-Agent": agent, "x-odps-user-agent": agent} | namespace
