"""What a REST handler is given, and the forms its answers take."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

from maxlake.protocol.targets import DEFAULT_SCHEMA
from maxlake.server.exchange import Reply
from maxlake.server.parameters import Parameters
from maxlake.server.rest import xml

if TYPE_CHECKING:
    from maxlake.service.project import Project
    from maxlake.service.service import Service


@dataclass(frozen=True, slots=True)
class RestCall:
    """One verified REST request. ``names`` are the parts of the path, ``host`` what the caller dialled."""

    service: Service
    names: dict[str, str]
    parameters: Parameters
    body: bytes
    principal: str
    host: str
    path: str

    @property
    def project(self) -> Project:
        """The project of the path. Raises NoSuchProject."""
        return self.service.project(self.names["project"])

    @property
    def schema(self) -> str:
        """The schema named by ``curr_schema``, else ``default``."""
        return self.parameters.text("curr_schema") or DEFAULT_SCHEMA


def xml_reply(root: Element, *headers: tuple[str, str]) -> Reply:
    """Return a document as answer."""
    return Reply(xml.document(root), "application/xml", headers=headers)


def text_reply(text: str) -> Reply:
    """Return plain text as answer."""
    return Reply(text.encode(), "text/plain; charset=utf-8")


def http_date(moment: datetime) -> str:
    """Return a moment as an RFC 1123 date in GMT, to the second."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def seconds(moment: datetime) -> int:
    """Return a moment as whole seconds since the epoch."""
    return int(moment.timestamp())
