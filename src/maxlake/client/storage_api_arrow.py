"""The documented client with record batches instead of bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maxlake.client import builders
from maxlake.client.arrow import ArrowReader, ArrowWriter
from maxlake.client.requests import CreateWriteStreamRequest, WriteStreamRequest
from maxlake.client.storage_api import StorageApiClient
from maxlake.client.stream_upload import StreamUpload
from maxlake.client.upload_spool import UploadSpool

if TYPE_CHECKING:
    from maxlake.client.enums import Compression
    from maxlake.client.options import DataFormat
    from maxlake.client.responses import CloseWriteStreamResponse
    from maxlake.client.upload import Upload


class StorageApiArrowClient(StorageApiClient):
    """A ``StorageApiClient`` that reads and writes ``pyarrow.RecordBatch``."""

    def read_rows_arrow(
        self,
        session_id: str,
        split_index: int | None = None,
        row_offset: int | None = None,
        row_count: int | None = None,
        max_batch_rows: int = 4096,
        skip_row_num: int = 0,
        max_batch_raw_size: int = 0,
        data_format: DataFormat | None = None,
        data_columns: list[str] | None = None,
        compression: Compression | None = None,
        route_token: str | None = None,
    ) -> ArrowReader:
        """Read the rows of a split as batches; the parameters are those of ``read_rows_stream``."""
        return ArrowReader(
            self.read_rows_stream(
                session_id=session_id,
                split_index=split_index,
                row_offset=row_offset,
                row_count=row_count,
                max_batch_rows=max_batch_rows,
                skip_row_num=skip_row_num,
                max_batch_raw_size=max_batch_raw_size,
                data_format=data_format,
                data_columns=data_columns,
                compression=compression,
                route_token=route_token,
            )
        )

    def write_rows_arrow(
        self,
        session_id: str | None = None,
        stream_id: str | int | None = None,
        stream_version: int = 0,
        record_count: int = 0,
        compression: Compression | None = None,
        route_token: str | None = None,
        row_offset: int = -1,
        access_token: str | None = None,
    ) -> ArrowWriter:
        """Return a writer of batches; the parameters are those of ``write_rows_stream``.

        ``compression`` is applied to each batch.
        """
        writer = self.write_rows_stream(
            session_id=session_id,  # pyright: ignore[reportArgumentType] - checked there
            stream_id=stream_id,  # pyright: ignore[reportArgumentType] - checked there
            stream_version=stream_version,
            record_count=record_count,
            compression=compression,
            route_token=route_token,
            row_offset=row_offset,
            access_token=access_token,
        )
        return ArrowWriter(writer, compression)

    def upload_stream(
        self,
        session_id: str,
        stream_id: str | int,
        stream_version: int = 0,
        compression: Compression | None = None,
    ) -> StreamUpload:
        """Open a stream and return an upload of batches to it that survives broken connections.

        ``stream_version`` is the first to be used. ``compression`` is applied to each batch.
        """
        self.create_write_stream(session_id, stream_id, stream_version)
        budget = self._budget()

        def begin(version: int) -> Upload:
            if version > stream_version:
                stream = CreateWriteStreamRequest(session_id, stream_id, version)
                self._call(builders.create_write_stream(self._target, stream, self._token(None)), budget)
            rows = WriteStreamRequest(session_id, stream_id, version)
            return self._upload(builders.write_rows(self._target, rows, self._token(None)), budget.deadline)

        def close(version: int) -> CloseWriteStreamResponse:
            return self.close_write_stream(session_id, stream_id, version)

        spool = UploadSpool(budget, self.memory.reservation())
        return StreamUpload(begin, close, spool, stream_id, stream_version, compression)

    def preview_table_arrow(
        self,
        limit: int | None = None,
        partition: str | None = None,
        columns: list[str] | None = None,
    ) -> ArrowReader:
        """Preview some rows as batches; the parameters are those of ``preview_table``."""
        return ArrowReader(self.preview_table(limit=limit, partition=partition, columns=columns))
