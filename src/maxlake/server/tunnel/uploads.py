"""Uploads: sessions, their blocks as records or as Arrow, and their end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from maxlake.protocol.columns import Column
from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.messages.tunnel import UploadSession
from maxlake.protocol.tunnel.decoders import ArrowDecoder, BodyDecoder, RecordDecoder
from maxlake.server.tunnel.call import TunnelCall
from maxlake.server.tunnel.compression import decompressed
from maxlake.service import tunnel_uploads

if TYPE_CHECKING:
    from maxlake.server.upload import UploadBody


def create(call: TunnelCall) -> UploadSession:
    """``POST …?uploads``: to ``partition`` where the table has any; ``overwrite`` replaces its rows."""
    return tunnel_uploads.create(
        call.project,
        call.table,
        call.parameters.text("partition") or "",
        call.principal,
        overwrite=call.parameters.boolean("overwrite"),
        create_partition=call.parameters.boolean("create_partition"),
    )


def get(call: TunnelCall) -> UploadSession:
    """``GET …?uploadid=``: the session, and its blocks."""
    return tunnel_uploads.get(call.project, call.table, _upload_id(call), call.principal)


def _upload_id(call: TunnelCall) -> str:
    return call.parameters.identifier("uploadid")


def complete(call: TunnelCall) -> UploadSession:
    """``POST …?uploadid=``: all blocks become visible."""
    return tunnel_uploads.complete(call.project, call.table, _upload_id(call), call.principal)


def write(call: TunnelCall, body: UploadBody) -> None:
    """``PUT …?uploadid=&blockid=``: a block, as Arrow with ``arrow``."""
    number = call.parameters.unsigned("blockid")
    if number is None:
        raise invalid_argument("the query parameter blockid is missing")

    def open_decoder(columns: Sequence[Column]) -> BodyDecoder:
        return ArrowDecoder(columns, call.arrow_form) if call.arrow else RecordDecoder(columns)

    source = decompressed(body, call.encoded)
    tunnel_uploads.write(
        call.project, call.table, _upload_id(call), number, source, open_decoder, call.principal
    )
