"""``maxlake doctor``: what stands between this machine and its tables, and how to mend it."""

from __future__ import annotations

import secrets
import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import maxlake
from maxlake.cli.connection import ENVIRONMENT, Connection, say, tell
from maxlake.cli.endpoint_check import Greeting, greet
from maxlake.client import StorageApiArrowClient
from maxlake.client.errors import odps_errors
from maxlake.protocol.errors import ErrorCode, MaxlakeError
from maxlake.protocol.limits import MAX_CLOCK_SKEW

#: A skew that is no harm yet, and will be.
_NOTABLE_SKEW = 60


class Failed(Exception):  # noqa: N818 - a finding, no error of ours
    """What is wrong, and what to do about it."""

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(what)
        self.what = what
        self.advice = advice


@dataclass(frozen=True)
class Finding:
    """The outcome of a check: ``ok`` with what was found, else what to do; ``None`` where it was not made."""

    check: str
    ok: bool | None
    found: str
    advice: str = ""


def doctor(*, quota: str | None = None, json: bool = False, connection: Connection = ENVIRONMENT) -> None:
    """Check step by step what a read and a write need, and say what to mend. Exits with 1 if anything fails.

    The last step makes a table of one row, reads it, and removes it.

    Parameters
    ----------
    quota
        Quota that the calls are for.
    json
        Write a JSON object a line for each check.
    """
    examination = Examination(connection, quota)
    healthy = True
    for name, check in examination.checks:
        finding = _examined(name, check) if healthy else Finding(name, None, "not checked")
        healthy = healthy and bool(finding.ok)
        if json:
            tell(asdict(finding))
        else:
            _show(finding)
    if not healthy:
        sys.exit(1)


class Examination:
    """The checks, in their order: each needs those before it."""

    def __init__(self, connection: Connection, quota: str | None) -> None:
        self._connection = connection
        self._quota = quota
        self._odps: Any = None
        self._greeting = Greeting("", None)
        self.checks: list[tuple[str, Callable[[], str]]] = [
            ("settings", self._settings),
            ("endpoint", self._endpoint),
            ("clock", self._clock),
            ("access key", self._key),
            ("right to list", self._listing),
            ("storage endpoint", self._storage),
            ("round trip", self._round_trip),
        ]

    def _settings(self) -> str:
        try:
            self._odps = self._connection.odps()
        except (ValueError, OSError) as error:
            raise Failed(str(error), "set what is missing, or give it on the command line") from error
        if self._quota is not None:
            self._odps.quota_name = self._quota
        return f"project {self._odps.project} at {self._odps.endpoint}"

    def _endpoint(self) -> str:
        try:
            self._greeting = greet(self._odps.endpoint)
        except OSError as error:
            raise Failed(*_unreachable(error)) from error
        return self._greeting.security

    def _clock(self) -> str:
        told = self._greeting.date
        if told is None:
            return "the service does not tell its time"
        skew = abs((datetime.now(UTC) - told).total_seconds())
        if skew > MAX_CLOCK_SKEW:
            raise Failed(
                f"{skew:,.0f} s from the service's: signatures are refused above {MAX_CLOCK_SKEW} s",
                "let the clock be set by NTP, as by timedatectl set-ntp true",
            )
        warning = ": set it before it is too far" if skew > _NOTABLE_SKEW else ""
        return f"{skew:,.0f} s from the service's{warning}"

    def _key(self) -> str:
        try:
            self._odps.get_project(self._odps.project).reload()
        except _SERVICE_ERRORS as error:
            raise Failed(str(error), _advice(error)) from error
        return f"accepted: {getattr(self._odps.account, 'access_id', None) or 'temporary'}"

    def _listing(self) -> str:
        try:
            first = next(iter(self._odps.list_tables()), None)
        except _SERVICE_ERRORS as error:
            raise Failed(str(error), "ask the project's owner for the right odps:List") from error
        return "granted" if first is not None else "granted; there are no tables"

    def _storage(self) -> str:
        try:
            endpoint = str(StorageApiArrowClient(self._odps, self._scratch()).tunnel_rest.endpoint)
        except _SERVICE_ERRORS as error:
            raise Failed(str(error), _advice(error)) from error
        try:
            greet(endpoint)
        except OSError as error:
            what, advice = _unreachable(error)
            raise Failed(f"{endpoint}: {what}", f"{advice}; ODPS_TUNNEL_ENDPOINT names another") from error
        return endpoint

    def _round_trip(self) -> str:
        begun = time.monotonic()
        table = self._scratch()
        try:
            self._odps.create_table(table.name, "id bigint", lifecycle=1)
            try:
                maxlake.write(table.name, {"id": [1]}, odps=self._odps)
                rows = maxlake.read(table.name, odps=self._odps).to_arrow()
            finally:
                self._odps.delete_table(table.name, if_exists=True)
        except _SERVICE_ERRORS as error:
            raise Failed(str(error), _advice(error)) from error
        if rows.to_pydict() != {"id": [1]}:
            raise Failed(f"1 row was written, {rows.to_pydict()} came back", "report this: rows were changed")
        return f"a row written and read in {time.monotonic() - begun:.1f} s"

    def _scratch(self) -> Any:
        """Return a table of no other's name, which is not there yet."""
        return self._odps.get_table(f"maxlake_doctor_{secrets.token_hex(4)}")


_SERVICE_ERRORS = (MaxlakeError, odps_errors.BaseODPSError, OSError)
_ADVICE: dict[str, str] = {
    ErrorCode.UNAUTHORIZED: "the access id is not known here: look for another one, or another endpoint",
    ErrorCode.SIGNATURE_NOT_MATCH: "the secret does not belong to the access id: set both anew",
    ErrorCode.REQUEST_TIME_TOO_SKEWED: "let the clock be set by NTP",
    ErrorCode.NO_SUCH_PROJECT: "name another project, or another endpoint: projects live in one region",
    ErrorCode.NO_PERMISSION: "ask the project's owner for the right",
}


def _advice(error: BaseException) -> str:
    code = str(getattr(error, "code", ""))
    return _ADVICE.get(code, "ask whoever runs the service, with the request id")


def _unreachable(error: OSError) -> tuple[str, str]:
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error}", "name the authority's file by SSL_CERT_FILE, or look at the clock"
    return (
        f"cannot be reached: {error}",
        "look at endpoint, proxy and firewall; is the service running?",
    )


def _examined(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, check())
    except Failed as failed:
        return Finding(name, False, failed.what, failed.advice)


def _show(finding: Finding) -> None:
    mark = {True: "ok  ", False: "FAIL", None: "-   "}[finding.ok]
    say(f"{mark} {finding.check}: {finding.found}")
    if finding.advice:
        say(f"     → {finding.advice}")
