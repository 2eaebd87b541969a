"""What a handler of the tunnel is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from maxlake.protocol.enums import TunnelCodec
from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.headers import RETRY_ID_HEADER
from maxlake.protocol.targets import RowTarget, TableTarget
from maxlake.protocol.tunnel.arrow_form import ArrowForm
from maxlake.server import dialects
from maxlake.server.parameters import Parameters

if TYPE_CHECKING:
    from maxlake.service.project import Project

#: Clients want a port, though they only send it back.
_HTTP_PORT = 80


@dataclass(frozen=True, slots=True)
class TunnelCall:
    """One verified request about a table or an instance."""

    project: Project
    target: RowTarget
    parameters: Parameters
    headers: Headers
    principal: str

    @property
    def table(self) -> TableTarget:
        """The table it is about. Raises InvalidArgument for an instance."""
        if not isinstance(self.target, TableTarget):
            raise invalid_argument(f"{self.target} takes no uploads")
        return self.target

    @property
    def arrow(self) -> bool:
        """Whether rows travel as Arrow, not as records."""
        return self.parameters.flag("arrow")

    @property
    def arrow_form(self) -> ArrowForm:
        """What the client takes columns for."""
        dialect = dialects.recognise(self.headers, str(self.target))
        return ArrowForm(dialect.whole_decimal_scale, not isinstance(self.target, TableTarget))

    @property
    def worker(self) -> str:
        """What clients are told serves their slots and buckets: whom they call already."""
        host = self.headers.get("host", "localhost")
        return host if ":" in host else f"{host}:{_HTTP_PORT}"

    @property
    def retry_id(self) -> str:
        """What a repeated request has in common with the first; ``""`` from clients that do not say."""
        return self.headers.get(RETRY_ID_HEADER, "")

    @property
    def accepted(self) -> TunnelCodec | None:
        """How rows are compressed on their way to the client."""
        return dialects.accepted_tunnel_codec(self.headers)

    @property
    def encoded(self) -> TunnelCodec | None:
        """How the body is compressed. Raises InvalidArgument for an unknown way."""
        return dialects.tunnel_content_codec(self.headers.get("content-encoding", ""))
