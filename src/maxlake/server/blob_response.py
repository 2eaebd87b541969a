"""Blobs to the wire: perhaps in frames, perhaps compressed, always in checked blocks (wire.md §11.4)."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from maxlake.protocol import limits
from maxlake.protocol.crc_blocks import CrcBlockWriter
from maxlake.protocol.enums import Codec
from maxlake.protocol.frames import NO_FRAMES, frame_head, frame_tail
from maxlake.protocol.messages.blobs import BlobFooter, BlobHeader
from maxlake.server.blob_handlers import ARROW_CODEC
from maxlake.server.dialects import BlobForm, Dialect, blob_form
from maxlake.server.exchange import Exchange
from maxlake.server.piece_response import Pieces, send_pieces
from maxlake.server.workers import Workers

if TYPE_CHECKING:
    from maxlake.service.blob_reading import FoundBlob

_CONTENT_TYPE = "application/octet-stream"


async def send_blobs(
    exchange: Exchange, workers: Workers, find: Callable[[], Sequence[FoundBlob]], dialect: Dialect
) -> None:
    """Answer with blobs. What ``find`` raises is an answer; a blob found bad later cuts it."""
    found = await workers.call(find)
    form = blob_form(dialect, exchange.headers, len(found))
    headers = (("content-encoding", form.codec.value),) if form.codec else ()
    await send_pieces(exchange, workers, lambda: pieces(found, form), _CONTENT_TYPE, headers)


def pieces(found: Sequence[FoundBlob], form: BlobForm) -> Pieces:
    """Yield blobs as they go over the wire."""
    try:
        yield from _pieces(found, form)
    finally:
        for blob in found:
            blob.close()


def _pieces(found: Sequence[FoundBlob], form: BlobForm) -> Pieces:
    payload = _framed(found) if form.framed else found[0].pieces()
    if form.codec is not None:
        payload = _compressed(payload, form.codec)
    blocks = CrcBlockWriter()
    rest: list[bytes] = []
    size = 0
    for piece in payload:
        rest.append(piece)
        size += len(piece)
        if size >= limits.ROW_PIECE:
            yield blocks.feed(b"".join(rest))
            rest.clear()
            size = 0
    yield blocks.feed(b"".join(rest)) + blocks.finish()


def _framed(found: Sequence[FoundBlob]) -> Iterator[bytes]:
    if not found:
        yield NO_FRAMES
    for blob in found:
        reference = blob.reference
        header = BlobHeader(content_type=reference.mime_type, custom_file_name=reference.file_name)
        yield frame_head(header, reference.location.length)
        yield from blob.pieces()
        yield frame_tail(BlobFooter())


class _Sink(io.RawIOBase):
    """Keeps what Arrow writes until it is taken."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


def _compressed(payload: Iterable[bytes], codec: Codec) -> Iterator[bytes]:
    sink = _Sink()
    # Closed by Arrow, it still has what it was given.
    stream = pa.CompressedOutputStream(pa.PythonFile(sink, mode="w"), ARROW_CODEC[codec])
    for piece in payload:
        stream.write(piece)
        yield sink.take()
    stream.close()
    yield sink.take()
