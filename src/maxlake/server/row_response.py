"""Rows to the wire: Arrow IPC in pieces. What fails late lacks the end-of-stream marker (wire.md §5)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

import pyarrow as pa

from maxlake.failpoints import BatchPoint, reach
from maxlake.protocol import limits
from maxlake.protocol.enums import Codec
from maxlake.server.dialects import Compression, Layer
from maxlake.server.exchange import Exchange
from maxlake.server.gather import Gather
from maxlake.server.piece_response import send_pieces
from maxlake.server.workers import Workers

if TYPE_CHECKING:
    from maxlake.service.rows import RowStream

#: Arrow's names of the codecs clients ask for (wire.md §6).
_ARROW_CODEC = {Codec.ZSTD: "zstd", Codec.LZ4_FRAME: "lz4"}
_CONTENT_TYPE = "application/vnd.apache.arrow.stream"


def pieces(rows: RowStream, compression: Compression | None) -> Generator[bytes, None, None]:
    """Yield an IPC stream of the rows (schema, batches, end marker) in pieces.

    Every piece but the last holds at least ``ROW_PIECE`` bytes, the last one fewer.
    """
    gather = Gather()
    sink = pa.PythonFile(gather, mode="w")
    options = pa.ipc.IpcWriteOptions()
    target = sink
    if compression is not None:
        codec = _ARROW_CODEC[compression.codec]
        if compression.layer is Layer.WHOLE_BODY:
            target = pa.CompressedOutputStream(sink, codec)
        else:
            options = pa.ipc.IpcWriteOptions(compression=codec)
    try:
        writer = pa.ipc.new_stream(target, rows.schema, options=options)
        for batch in rows.batches:
            reach(BatchPoint.BEFORE_ANSWERING_BATCH)
            writer.write_batch(batch)
            if gather.size >= limits.ROW_PIECE:
                yield gather.take()
        writer.close()
        target.close()
        if gather.size >= limits.ROW_PIECE:
            yield gather.take()
        yield gather.take()
    finally:
        if isinstance(rows.batches, Generator):
            rows.batches.close()


async def send_rows(
    exchange: Exchange, workers: Workers, open_rows: Callable[[], RowStream], compression: Compression | None
) -> None:
    """Answer with rows, as :func:`send_pieces` does."""
    whole_body = compression is not None and compression.layer is Layer.WHOLE_BODY
    headers = (("content-encoding", compression.codec.value),) if compression and whole_body else ()
    await send_pieces(exchange, workers, lambda: pieces(open_rows(), compression), _CONTENT_TYPE, headers)
