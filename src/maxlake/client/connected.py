"""What every call of the documented client needs: whom it talks to, about what, and how."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

from odps.models import Instance, Table
from odps.tunnel import TableTunnel

from maxlake.client import parsers
from maxlake.client.builders import Target
from maxlake.client.deadline import Deadline
from maxlake.client.endpoint import StorageEndpoint
from maxlake.client.memory_budget import MemoryBudget
from maxlake.client.transport import Transport
from maxlake.protocol.limits import CLIENT_RETRY_SECONDS
from odps import ODPS, options

if TYPE_CHECKING:
    from maxlake.client.download import Download
    from maxlake.client.exchange import Answer, HttpRequest
    from maxlake.client.retry_budget import RetryBudget
    from maxlake.client.upload import Upload

_TAGS_HEADER = "odps-tunnel-tags"
_OF_THIS_PROCESS = ("_lock", "_rest", "_transport")


class ConnectedClient:
    """The caller, the table or instance, and the connections to the service. Documented by its subclass."""

    #: How long a call goes on trying, in seconds, while the service cannot be reached or is busy and the call
    #: comes no further; 0 for not at all.
    retry_seconds: float = CLIENT_RETRY_SECONDS
    #: How long one operation may take in all, in seconds, retries and your own time in it included: a call
    #: until its answer, a reader until its last row, a writer until its end. ``None``: as long as it likes.
    deadline_seconds: float | None = None

    def __init__(
        self,
        odps: ODPS,
        table_or_instance: Any = None,
        rest_endpoint: str | None = None,
        quota_name: str | None = None,
        tags: str | list[str] | None = None,
    ) -> None:
        if not isinstance(odps, ODPS):  # pyright: ignore[reportUnnecessaryIsInstance] - callers err
            raise ValueError(f"odps must be an ODPS entry object, not {odps!r}")  # noqa: TRY004 - documented
        if not isinstance(table_or_instance, (Table, Instance)):
            raise ValueError(f"a Table or an Instance is needed, not {table_or_instance!r}")  # noqa: TRY004
        self._odps = odps
        self._subject = table_or_instance
        self._target = _target_of(table_or_instance)
        self._rest_endpoint = rest_endpoint
        self._quota_name = quota_name
        self._tags = header_text(_joined(options.tunnel.tags if tags is None else tags), "tags")
        self._route_token: str | None = None
        #: Counts what is in flight; another client's makes one budget for both.
        self.memory = MemoryBudget()
        self._lock = Lock()
        self._rest: Any = None
        self._transport: Transport | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this process; the copy connects anew."""
        return {name: value for name, value in vars(self).items() if name not in _OF_THIS_PROCESS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=Lock(), _rest=None, _transport=None)

    @property
    def table(self) -> Any:
        """The table, ``None`` for an instance's result."""
        return None if self._target.is_instance else self._subject

    @property
    def max_memory(self) -> int:
        """Bytes that the client holds for everything in flight, 256 MiB unless you say otherwise.

        Beyond it uploads wait for the service, copies go to disk, and what is read ahead waits for you.
        """
        return self.memory.limit

    @max_memory.setter
    def max_memory(self, limit: int) -> None:
        self.memory.limit = limit

    @property
    def tunnel_rest(self) -> Any:
        """PyODPS' REST client of the tunnel endpoint, which is discovered at first use."""
        if self._rest is None:
            tunnel = TableTunnel(
                self._odps,
                project=self._subject.project,
                endpoint=self._rest_endpoint,
                quota_name=self._quota_name,
            )
            self._rest = tunnel.tunnel_rest
        return self._rest

    @property
    def route_token(self) -> str | None:
        """The route token of the latest answer that carried one; sent where no other is given."""
        return self._route_token

    def _call(self, request: HttpRequest, budget: RetryBudget | None = None) -> Answer:
        answer = self._connected().call(request, budget or self._budget())
        self._follow_route(parsers.route_token_of(answer.headers))
        return answer

    def _download(self, request: HttpRequest, deadline: Deadline) -> Download:
        download = self._connected().download(request, deadline)
        self._follow_route(parsers.route_token_of(download.headers))
        return download

    def _budget(self, deadline: Deadline | None = None) -> RetryBudget:
        return self._connected().budget(self.retry_seconds, deadline or self._deadline())

    def _deadline(self) -> Deadline:
        return Deadline(self.deadline_seconds)

    def _upload(self, request: HttpRequest, deadline: Deadline) -> Upload:
        return self._connected().upload(request, deadline, self.memory.reservation())

    def _connected(self) -> Transport:
        with self._lock:
            if self._transport is None:
                params = {"quotaName": self._quota_name} if self._quota_name else {}
                headers = {_TAGS_HEADER: self._tags} if self._tags else {}
                self._transport = Transport(StorageEndpoint(self.tunnel_rest, params, headers))
            return self._transport

    def _follow_route(self, token: str | None) -> None:
        if token is not None:
            self._route_token = token

    def _token(self, given: str | None) -> str | None:
        return self._route_token if given is None else header_text(given, "route_token")

    def _require_table(self, call: str) -> None:
        if self._target.is_instance:
            raise ValueError(f"{call} needs a table, but this client reads the result of an instance")


def _target_of(subject: Any) -> Target:
    project = str(subject.project.name)
    if isinstance(subject, Instance):
        return Target.instance(project, str(subject.id))
    schema = subject.get_schema()
    return Target.table(project, schema.name if schema is not None else None, subject.name)


def _joined(tags: Any) -> str:
    return tags if isinstance(tags, str) else ",".join(tags or ())


def header_text(value: str, name: str) -> str:
    """Return ``value`` if a header can hold it, else raise ``ValueError`` naming the argument."""
    if not (value.isascii() and (value.isprintable() or not value)):
        raise ValueError(f"{name} must be printable ASCII, not {value!r}")
    return value


def require(**arguments: object) -> None:
    """Raise ``ValueError`` for an argument that is ``None`` or empty; 0 is neither."""
    for name, value in arguments.items():
        if value is None or value == "":
            raise ValueError(f"{name} must not be None or empty")
