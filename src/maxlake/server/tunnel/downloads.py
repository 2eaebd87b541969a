"""Downloads: sessions, and their rows as records or as Arrow (rest.md §8.1, §8.2)."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import TYPE_CHECKING

from maxlake.protocol import limits
from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.messages.tunnel import DownloadSession
from maxlake.protocol.tunnel.encoders import ArrowEncoder, RowEncoder
from maxlake.protocol.tunnel.record_writer import RecordWriter
from maxlake.server.tunnel.call import TunnelCall
from maxlake.server.tunnel.compression import Compressor, compressor
from maxlake.service import tunnel_downloads
from maxlake.service.tunnel_downloads import RowRange

if TYPE_CHECKING:
    from maxlake.service.rows import RowStream

_ROW_RANGE = re.compile(r"\(\s*([0-9]{1,18})\s*,\s*([0-9]{1,18})\s*\)")


def create(call: TunnelCall) -> DownloadSession:
    """``POST …?downloads``: rows as they are now, those of ``partition`` where the table has any."""
    partition = call.parameters.text("partition") or ""
    return tunnel_downloads.create(call.project, call.target, partition, call.principal)


def get(call: TunnelCall) -> DownloadSession:
    """``GET …?downloadid=``: the session again."""
    return tunnel_downloads.get(call.project, call.target, _download_id(call), call.principal)


def _download_id(call: TunnelCall) -> str:
    return call.parameters.identifier("downloadid")


def pieces(call: TunnelCall) -> Generator[bytes, None, None]:
    """``GET …?downloadid=&data``: the rows ``rowrange=(start,count)``, of ``columns`` in the order given.

    As Arrow the columns come in the table's order: so PyODPS takes them.
    """
    found = tunnel_downloads.read(
        call.project,
        call.target,
        _download_id(call),
        _row_range(call),
        call.principal,
        table_order=call.arrow,
    )
    encoder = ArrowEncoder(found.types, call.arrow_form) if call.arrow else RecordWriter(found.types)
    return _encoded(found.rows, encoder, compressor(call.accepted))


def _row_range(call: TunnelCall) -> RowRange:
    text = call.parameters.text("rowrange") or ""
    found = _ROW_RANGE.fullmatch(text)
    if found is None:
        raise invalid_argument(f"rowrange is not (start,count): {text[:64]!r}")
    names = (call.parameters.text("columns") or "").split(",")
    return RowRange(int(found[1]), int(found[2]), tuple(name.strip() for name in names if name.strip()))


def _encoded(rows: RowStream, encoder: RowEncoder, compressed: Compressor) -> Generator[bytes, None, None]:
    """Yield the rows in pieces: all but the last hold at least ``ROW_PIECE`` bytes, the last one fewer."""
    gathered = bytearray()
    try:
        for batch in rows.batches:
            gathered += compressed.feed(encoder.feed(batch))
            if len(gathered) >= limits.ROW_PIECE:
                piece, gathered = bytes(gathered), bytearray()
                yield piece
        gathered += compressed.feed(encoder.finish())
        gathered += compressed.finish()
        if len(gathered) >= limits.ROW_PIECE:
            yield bytes(gathered)
            gathered.clear()
        yield bytes(gathered)
    finally:
        if isinstance(rows.batches, Generator):
            rows.batches.close()
