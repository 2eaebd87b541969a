"""Streams: what they are written to, and their rows as records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.messages.tunnel import StreamUploadSession
from maxlake.server.tunnel.call import TunnelCall
from maxlake.server.tunnel.compression import decompressed
from maxlake.service import tunnel_streams

if TYPE_CHECKING:
    from maxlake.server.upload import UploadBody


def create(call: TunnelCall) -> StreamUploadSession:
    """``POST …/streams``: to ``partition`` where the table has any."""
    if call.parameters.boolean("dynamic_partition"):
        raise invalid_argument(
            "the tunnel's records have no partition columns: create a stream for each partition, or stream "
            "through the Storage API"
        )
    return tunnel_streams.create(
        call.project,
        call.table,
        call.parameters.text("partition") or "",
        call.worker,
        create_partition=call.parameters.flag("create_partition"),
    )


def get(call: TunnelCall) -> StreamUploadSession:
    """``GET …/streams?uploadid=``: the stream."""
    return tunnel_streams.get(call.project, call.table, _stream_id(call), call.worker)


def _stream_id(call: TunnelCall) -> str:
    return call.parameters.identifier("uploadid")


def abort(call: TunnelCall) -> StreamUploadSession:
    """``POST …/streams?uploadid=``: nothing is to be dropped; rows that were acknowledged stay."""
    return get(call)


def write(call: TunnelCall, body: UploadBody) -> None:
    """``PUT …/streams?uploadid=&slotid=``: rows, as records."""
    if call.arrow:
        raise invalid_argument("streams take records: for Arrow stream through the Storage API")
    partition = call.parameters.text("partition") or ""
    source = decompressed(body, call.encoded)
    tunnel_streams.write(call.project, call.table, _stream_id(call), partition, source, call.retry_id)


def routed(call: TunnelCall) -> tuple[tuple[str, str], ...]:
    """Return the headers by which a client learns that its slots are what they were."""
    return (("odps-tunnel-routed-server", call.worker), ("odps-tunnel-slot-num", "1"))
