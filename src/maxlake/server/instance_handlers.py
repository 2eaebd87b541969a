"""One function per action on the rows of a query (wire.md §12). They run in worker threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maxlake.protocol.messages.base import decode
from maxlake.protocol.messages.read import CreateReadSessionRequest, ReadAddress, ReadInstanceRequest

if TYPE_CHECKING:
    from maxlake.server.storage_handlers import Answer, InstanceCall
    from maxlake.service.rows import RowStream


def create_read_session(call: InstanceCall) -> Answer:
    """InstanceCreateReadSession, with V2's body or MaxStorage's, which has nothing we need."""
    from maxlake.service import instance_sessions  # noqa: PLC0415 - see rest/instances.py

    request = decode(call.body, CreateReadSessionRequest)
    return instance_sessions.create(call.project, call.target, request, call.principal)


def get_read_session(call: InstanceCall) -> Answer:
    """InstanceGetReadSession; ``session_refresh=true`` extends the session."""
    from maxlake.service import instance_sessions  # noqa: PLC0415

    return instance_sessions.get(
        call.project,
        call.target,
        call.session_id,
        refresh=call.parameters.boolean("session_refresh"),
        principal=call.principal,
    )


def read_rows(call: InstanceCall) -> RowStream:
    """InstanceRead: by split, by offset, or all; C++ names no session."""
    from maxlake.service import instance_sessions  # noqa: PLC0415

    address = ReadAddress(
        session_id=call.parameters.text("SessionId") or "",
        index=call.parameters.unsigned("Index"),
        offset=call.parameters.unsigned("Offset"),
        count=call.parameters.unsigned("Count"),
    )
    request = decode(call.body, ReadInstanceRequest)
    return instance_sessions.read(call.project, call.target, address, request, call.principal)
