"""The documented client, awaited: the same methods, of the same requests and answers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from maxlake.aio.calls import Calls
from maxlake.aio.streams import (
    AsyncArrowReader,
    AsyncBlobReader,
    AsyncItems,
    AsyncStreamReader,
    AsyncWriter,
)
from maxlake.client.arrow import ArrowWriter
from maxlake.client.blob_reader import BlobDataIterator, BlobStreamReader
from maxlake.client.storage_api_arrow import StorageApiArrowClient as Client

if TYPE_CHECKING:
    from maxlake.client.blob_writer import BlobStreamWriter
    from maxlake.client.enums import Compression
    from maxlake.client.stream_upload import StreamUpload
    from maxlake.client.streams import StreamWriter

P = ParamSpec("P")
R = TypeVar("R")
Opened = TypeVar("Opened")
_Awaited = Callable[Concatenate["StorageApiArrowClient", P], Coroutine[Any, Any, R]]
Blob = tuple[bytes, str | None]


def _awaited(method: Callable[Concatenate[Client, P], R]) -> _Awaited[P, R]:
    @wraps(method)
    async def twin(self: StorageApiArrowClient, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self.calls.run(method, self.client, *args, **kwargs)

    return twin


def _opened(
    method: Callable[Concatenate[Client, P], R], wrap: Callable[[Calls, R], Opened]
) -> _Awaited[P, Opened]:
    @wraps(method)
    async def twin(self: StorageApiArrowClient, *args: P.args, **kwargs: P.kwargs) -> Opened:
        return wrap(self.calls, await self.calls.run(method, self.client, *args, **kwargs))

    return twin


def _writer(calls: Calls, writer: StreamWriter) -> AsyncWriter[StreamWriter]:
    return AsyncWriter(calls, writer, writer.close)


def _blob_writer(calls: Calls, writer: BlobStreamWriter) -> AsyncWriter[BlobStreamWriter]:
    return AsyncWriter(calls, writer, writer.close)


def _upload(calls: Calls, upload: StreamUpload) -> AsyncWriter[StreamUpload]:
    return AsyncWriter(calls, upload, upload.abort)


class StorageApiArrowClient:
    """``maxlake.client.StorageApiArrowClient`` for coroutines: made of the same arguments.

    Each call runs in a thread of its own, at most CLIENT_AIO_THREADS of them at once. What was cancelled
    goes on until the service answers; a reader or writer is closed then.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: The client behind, for its settings: ``retry_seconds``, ``deadline_seconds``, ``max_memory``.
        self.client = Client(*args, **kwargs)
        self.calls = Calls()

    create_read_session = _awaited(Client.create_read_session)
    get_read_session = _awaited(Client.get_read_session)
    create_write_session = _awaited(Client.create_write_session)
    get_write_session = _awaited(Client.get_write_session)
    commit_write_session = _awaited(Client.commit_write_session)
    abort_write_session = _awaited(Client.abort_write_session)
    create_write_stream = _awaited(Client.create_write_stream)
    get_write_stream = _awaited(Client.get_write_stream)
    close_write_stream = _awaited(Client.close_write_stream)
    write_blob_batch = _awaited(Client.write_blob_batch)

    read_rows_arrow = _opened(Client.read_rows_stream, AsyncArrowReader)
    read_rows_stream = _opened(Client.read_rows_stream, AsyncStreamReader)
    preview_table_arrow = _opened(Client.preview_table, AsyncArrowReader)
    preview_table = _opened(Client.preview_table, AsyncStreamReader)
    write_rows_stream = _opened(Client.write_rows_stream, _writer)
    write_blob_stream = _opened(Client.write_blob_stream, _blob_writer)
    upload_stream = _opened(Client.upload_stream, _upload)
    read_blobs_parallel = _opened(Client.read_blobs_parallel, AsyncItems[Blob])

    async def write_rows_arrow(
        self, *args: Any, compression: Compression | None = None, **kwargs: Any
    ) -> AsyncWriter[ArrowWriter]:
        """Return a writer of batches; arguments as of ``write_rows_arrow`` of the client behind."""
        stream = await self.calls.run(
            Client.write_rows_stream, self.client, *args, compression=compression, **kwargs
        )
        return AsyncWriter(self.calls, ArrowWriter(stream, compression), stream.close)

    async def read_blobs(
        self, blob_references: Sequence[str | bytes], compression: Compression | None = None
    ) -> AsyncItems[Blob]:
        """Return the blobs and their mime types, to be iterated over."""
        blobs = await self.calls.run(self.client.read_blobs, blob_references, compression)
        assert isinstance(blobs, BlobDataIterator)
        return AsyncItems(self.calls, blobs)

    async def read_blob_stream(
        self, blob_references: Sequence[str | bytes], compression: Compression | None = None
    ) -> AsyncBlobReader:
        """Return a reader of the blobs, piece by piece: ``read_blobs(…, stream=True)``."""
        reader = await self.calls.run(self.client.read_blobs, blob_references, compression, stream=True)
        assert isinstance(reader, BlobStreamReader)
        return AsyncBlobReader(self.calls, reader)

    async def close(self) -> None:
        """End its threads, once their calls have ended."""
        self.calls.close()

    async def __aenter__(self) -> StorageApiArrowClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
