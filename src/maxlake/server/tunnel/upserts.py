"""Upserts: sessions, their rows as records, and their end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.messages.tunnel import UpsertSession
from maxlake.server.tunnel.call import TunnelCall
from maxlake.server.tunnel.compression import decompressed
from maxlake.service import tunnel_upserts

if TYPE_CHECKING:
    from maxlake.server.upload import UploadBody


def create(call: TunnelCall) -> UpsertSession:
    """``POST …/upserts``: to ``partition`` where the table has any."""
    partition = call.parameters.text("partition") or ""
    return tunnel_upserts.create(call.project, call.table, partition, call.principal, call.worker)


def get(call: TunnelCall) -> UpsertSession:
    """``GET …/upserts?upsertid=``: the session, and what became of it."""
    return tunnel_upserts.get(call.project, call.table, _upsert_id(call), call.principal, call.worker)


def _upsert_id(call: TunnelCall) -> str:
    return call.parameters.identifier("upsertid")


def write(call: TunnelCall, body: UploadBody) -> None:
    """``PUT …/upserts?upsertid=&bucketid=``: rows of the bucket, as records."""
    if call.arrow:
        raise invalid_argument("upserts are records: for Arrow use a write session of the Storage API")
    bucket = call.parameters.unsigned("bucketid")
    if bucket != tunnel_upserts.BUCKET:
        raise invalid_argument(f"bucketid is {tunnel_upserts.BUCKET}, the session has no other, not {bucket}")
    source = decompressed(body, call.encoded)
    tunnel_upserts.write(call.project, call.table, _upsert_id(call), source, call.principal)


def commit(call: TunnelCall) -> UpsertSession:
    """``POST …/upserts?upsertid=``: all rows become visible."""
    return tunnel_upserts.commit(call.project, call.table, _upsert_id(call), call.principal, call.worker)


def abort(call: TunnelCall) -> UpsertSession:
    """``DELETE …/upserts?upsertid=``: nothing ever becomes visible."""
    return tunnel_upserts.abort(call.project, call.table, _upsert_id(call), call.principal, call.worker)
